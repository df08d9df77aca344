//! Which of the store's histories counts for this gateway right now.

use std::sync::{PoisonError, RwLock};

use crate::keys::Epoch;

/// The tail's epoch, and a count of the resyncs that began or ended. A load
/// counts only if neither changed while it was under way.
#[derive(Debug)]
pub struct View {
    history: RwLock<History>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct History {
    pub epoch: Epoch,
    turns: u64,
}

impl View {
    /// The view of a gateway that just enrolled in `epoch`.
    pub fn new(epoch: Epoch) -> Self {
        Self {
            history: RwLock::new(History { epoch, turns: 0 }),
        }
    }

    /// A resync begins or ends; from now on loads count in `epoch` alone.
    pub fn turn(&self, epoch: Epoch) {
        let mut history = self.history.write().unwrap_or_else(PoisonError::into_inner);
        history.epoch = epoch;
        history.turns += 1;
    }

    pub(super) fn history(&self) -> History {
        *self.history.read().unwrap_or_else(PoisonError::into_inner)
    }
}
