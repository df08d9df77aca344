//! The last events as the store numbered them, and the place of a reader.
//!
//! Must not know: where events come from. Invariant: a reader meets each number
//! once and in order, until the store goes back behind it: then it goes on at
//! the last event that both histories share.

use std::collections::VecDeque;

use crate::keys::Epoch;
use crate::store::{Event, EventPage};

/// Events kept: in the store and in the ring. Twice as many may wait for the store.
pub const KEPT: usize = 10_000;
/// Events that a reader gets at once.
pub(super) const BATCH: usize = 500;

/// A reader's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// It has all up to here.
    pub(super) since: u64,
    /// The returns of the store that it knows of.
    pub(super) returns: usize,
}

/// A run of events for a reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// In order.
    pub events: Vec<Event>,
    /// Events before these that are not kept any more.
    pub missed: u64,
    /// Where to go on.
    pub next: Cursor,
}

/// The last events.
pub(super) struct Ring {
    events: VecDeque<Event>,
    pub epoch: Epoch,
    /// All that is kept up to here was taken in.
    pub last: u64,
    /// For each time that the store went back: the last number that stayed.
    returns: Vec<u64>,
}

impl Ring {
    pub fn new(epoch: Epoch) -> Self {
        Self {
            events: VecDeque::new(),
            epoch,
            last: 0,
            returns: Vec::new(),
        }
    }

    /// Whether a page goes on where this ring ends.
    pub fn is_continued_by(&self, page: &EventPage) -> bool {
        page.epoch == self.epoch && page.last >= self.last
    }

    pub fn take_in(&mut self, page: EventPage) {
        self.events.extend(page.events);
        let excess = self.events.len().saturating_sub(KEPT);
        self.events.drain(..excess);
        self.last = self.last.max(page.upto);
    }

    /// Takes over what was read anew of a store that may have gone back: then
    /// it answers the last number that stayed.
    pub fn begin_again(&mut self, fresh: Self) -> Option<u64> {
        let stayed = self.shared_with(&fresh);
        let went_back = stayed < self.last;
        if went_back {
            self.returns.push(stayed);
        }
        (self.events, self.epoch, self.last) = (fresh.events, fresh.epoch, fresh.last);
        went_back.then_some(stayed)
    }

    /// The last number under which both have the same.
    fn shared_with(&self, fresh: &Self) -> u64 {
        if fresh.first() > self.last {
            // The other goes on beyond: nothing speaks against it.
            return self.last;
        }
        let of_fresh = |id| {
            fresh
                .events
                .get(fresh.events.partition_point(|e| e.id < id))
        };
        let mut own = self.events.iter().rev();
        own.find(|event| of_fresh(event.id) == Some(event))
            .map_or(0, |event| event.id)
    }

    /// Where a reader begins that has all up to `since`.
    pub fn cursor(&self, since: u64) -> Cursor {
        let since = match since {
            // From the first that is kept: nothing is missed by asking so.
            0 => self.first().saturating_sub(1),
            since => since.min(self.last),
        };
        let returns = self.returns.len();
        Cursor { since, returns }
    }

    pub fn after(&self, at: Cursor) -> Batch {
        let returns = self.returns.iter().skip(at.returns);
        let since = returns.fold(at.since, |since, stayed| since.min(*stayed));
        let start = self.events.partition_point(|event| event.id <= since);
        let run = self.events.iter().skip(start).take(BATCH);
        let events: Vec<_> = run.cloned().collect();
        let since_then = match events.last() {
            Some(event) if events.len() == BATCH => event.id,
            _ => self.last.max(since),
        };
        Batch {
            events,
            missed: self.first().saturating_sub(since + 1),
            next: Cursor {
                since: since_then,
                returns: self.returns.len(),
            },
        }
    }

    /// What a reader waits for: whether there is something after its place.
    pub fn head(&self) -> Cursor {
        Cursor {
            since: self.last,
            returns: self.returns.len(),
        }
    }

    /// The id of the first event that is kept, or of the next.
    fn first(&self) -> u64 {
        self.events.front().map_or(self.last + 1, |event| event.id)
    }
}
