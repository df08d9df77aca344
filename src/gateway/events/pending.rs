//! Events on their way to the store.
//!
//! Invariant: bounded; when there are too many, the oldest go, and are counted.

use std::collections::VecDeque;

use super::KEPT;
use crate::store::NewEvent;

#[derive(Default)]
pub(super) struct Pending {
    queue: VecDeque<NewEvent>,
    dropped: u64,
}

impl Pending {
    pub fn push(&mut self, event: NewEvent) {
        self.queue.push_back(event);
        if self.queue.len() > 2 * KEPT {
            self.queue.pop_front();
            self.dropped += 1;
        }
    }

    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// The oldest, up to `limit`.
    pub fn take(&mut self, limit: usize) -> Vec<NewEvent> {
        let count = limit.min(self.queue.len());
        self.queue.drain(..count).collect()
    }

    /// How many were dropped since it was asked last.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}
