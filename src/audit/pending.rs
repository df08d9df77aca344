//! Records that wait for the store, and refusals that come again and again.
//!
//! Invariant: a caller who is refused the same thing in a loop makes one record
//! a minute, which says how often: he can't push out a year of history.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::store::{Deed, DeedResult};

/// Records that wait at most; past it the oldest are in the log alone.
const WAITING: usize = 10_000;
/// An equal refusal within this time is counted.
const AGAIN: Duration = Duration::from_secs(60);
/// Different refusals that are remembered.
const REFUSALS: usize = 1_000;

#[derive(Default)]
pub(super) struct Pending {
    waiting: VecDeque<Deed>,
    lost: u64,
    refusals: HashMap<Refusal, Told>,
}

#[derive(PartialEq, Eq, Hash)]
struct Refusal {
    actor: String,
    action: String,
    target: Option<String>,
    reason: Option<String>,
}

struct Told {
    at: Instant,
    again: u64,
}

impl Pending {
    /// Takes a record; `false`: it is an equal refusal, and counted.
    pub fn push(&mut self, mut deed: Deed, now: Instant) -> bool {
        if deed.result == DeedResult::Refused {
            match self.again(&deed, now) {
                None => return false,
                Some(0) => {}
                Some(times) => {
                    let gap = if deed.detail.is_empty() { "" } else { "; " };
                    deed.detail += &format!("{gap}and {times} times before since the last record");
                }
            }
        }
        if self.waiting.len() == WAITING {
            self.waiting.pop_front();
            self.lost += 1;
        }
        self.waiting.push_back(deed);
        true
    }

    /// How often it came since it was told last; `None`: it need not be told.
    fn again(&mut self, deed: &Deed, now: Instant) -> Option<u64> {
        let refusal = Refusal {
            actor: deed.actor.clone(),
            action: deed.action.clone(),
            target: deed.target.clone(),
            reason: deed.reason.clone(),
        };
        if let Some(told) = self.refusals.get_mut(&refusal) {
            if now.duration_since(told.at) < AGAIN {
                told.again += 1;
                return None;
            }
            told.at = now;
            return Some(std::mem::take(&mut told.again));
        }
        if self.refusals.len() == REFUSALS {
            self.refusals
                .retain(|_, told| now.duration_since(told.at) < AGAIN);
        }
        if self.refusals.len() < REFUSALS {
            self.refusals.insert(refusal, Told { at: now, again: 0 });
        }
        Some(0)
    }

    /// The oldest `most`.
    pub fn take(&mut self, most: usize) -> Vec<Deed> {
        let count = most.min(self.waiting.len());
        self.waiting.drain(..count).collect()
    }

    /// How many were dropped since the last time.
    pub fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }
}
