//! Records that wait for the store, and refusals that come again and again.
//!
//! Invariant: an actor that is refused in a loop, with one thing or many, makes
//! at most about 70 records an hour, which say how often: it can't push out a year
//! of history. What may have changed something is always recorded.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::SIGN_IN;
use crate::store::{AuditEntry, AuditResult};

/// Records that wait at most; past it the oldest are in the log alone.
const WAITING: usize = 10_000;
/// Alike within this time are counted.
pub(super) const AGAIN: Duration = Duration::from_secs(60);
/// Records of one actor within an [`HOUR`]; of the rest one for each
/// action.
const TOLD: u32 = 60;
const HOUR: Duration = Duration::from_secs(3_600);

#[derive(Default)]
pub(super) struct Pending {
    waiting: VecDeque<AuditEntry>,
    lost: u64,
    groups: HashMap<Group, Again>,
    quotas: HashMap<String, Quota>,
}

/// What is alike. Those past the quota have neither target nor reason.
#[derive(PartialEq, Eq, Hash)]
struct Group {
    actor: String,
    action: String,
    result: AuditResult,
    target: Option<String>,
    reason: Option<String>,
}

/// How often it came since it was recorded.
struct Again {
    until: Instant,
    times: u64,
    last: AuditEntry,
}

/// What is left of [`TOLD`].
struct Quota {
    until: Instant,
    left: u32,
}

impl Pending {
    /// Takes a record; `false`: it is one of many, and counted.
    pub fn push(&mut self, deed: AuditEntry, now: Instant) -> bool {
        if !changed_nothing(&deed) {
            self.wait(deed);
            return true;
        }
        self.settle(|again| again.until <= now);
        let mut group = Group {
            actor: deed.actor.clone(),
            action: deed.action.clone(),
            result: deed.result,
            target: deed.target.clone(),
            reason: deed.reason.clone(),
        };
        let mut until = now + AGAIN;
        if !self.groups.contains_key(&group)
            && let Some(end) = self.past_quota(&deed.actor, now)
        {
            (group.target, group.reason, until) = (None, None, end);
        }
        if let Some(again) = self.groups.get_mut(&group) {
            again.times += 1;
            again.last = deed;
            return false;
        }
        let again = Again {
            until,
            times: 0,
            last: deed.clone(),
        };
        self.groups.insert(group, again);
        self.wait(deed);
        true
    }

    /// Until when the actor has no more; else it takes one.
    fn past_quota(&mut self, actor: &str, now: Instant) -> Option<Instant> {
        self.quotas.retain(|_, quota| quota.until > now);
        let quota = self.quotas.entry(actor.to_owned()).or_insert(Quota {
            until: now + HOUR,
            left: TOLD,
        });
        if quota.left == 0 {
            return Some(quota.until);
        }
        quota.left -= 1;
        None
    }

    /// Tells how often what came again came, of those whose time is over.
    pub fn settle_until(&mut self, now: Instant) {
        self.settle(|again| again.until <= now);
    }

    /// The same of all.
    pub fn settle_all(&mut self) {
        self.settle(|_| true);
    }

    fn settle(&mut self, is_over: impl Fn(&Again) -> bool) {
        let over = self.groups.extract_if(|_, again| is_over(again));
        let mut counts: Vec<_> = over.filter(|(_, again)| again.times > 0).collect();
        counts.sort_by_key(|(_, again)| again.last.at);
        for (
            _,
            Again {
                times, mut last, ..
            },
        ) in counts
        {
            let gap = if last.detail.is_empty() { "" } else { "; " };
            last.detail += &format!("{gap}{times} more like it since the first");
            self.wait(last);
        }
    }

    fn wait(&mut self, deed: AuditEntry) {
        if self.waiting.len() == WAITING {
            self.waiting.pop_front();
            self.lost += 1;
        }
        self.waiting.push_back(deed);
    }

    /// The oldest `most`.
    pub fn take(&mut self, most: usize) -> Vec<AuditEntry> {
        let count = most.min(self.waiting.len());
        self.waiting.drain(..count).collect()
    }

    /// How many were dropped since the last time.
    pub fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }
}

fn changed_nothing(deed: &AuditEntry) -> bool {
    match deed.result {
        AuditResult::Ok => deed.action == SIGN_IN,
        AuditResult::Refused | AuditResult::Failed => true,
        AuditResult::Unknown => false,
    }
}
