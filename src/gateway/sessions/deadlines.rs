//! When the next key expires: what the expiry timers wait for.
//!
//! Insert-only until it fires: the timer looks at the gate again, so an
//! entry that an edit overtook does no harm, and entries that race with each
//! other can't lose the earlier one.

use parking_lot::Mutex;
use std::collections::BTreeSet;

use tokio::sync::Notify;

use crate::keys::{KeyId, Timestamp};

#[derive(Debug, Default)]
pub(super) struct Deadlines {
    pending: Mutex<BTreeSet<(Timestamp, KeyId)>>,
    sooner: Notify,
}

impl Deadlines {
    /// Asks to be fired for `key` at `at`.
    pub fn arm(&self, key: KeyId, at: Timestamp) {
        let is_first = {
            let mut pending = self.pending.lock();
            pending.insert((at, key));
            pending.first() == Some(&(at, key))
        };
        if is_first {
            self.sooner.notify_one();
        }
    }

    /// Takes out the keys that are due at `now`, and returns when the next is.
    pub fn due(&self, now: Timestamp) -> (Vec<KeyId>, Option<Timestamp>) {
        let mut pending = self.pending.lock();
        let mut due = Vec::new();
        while let Some((at, key)) = pending.first().copied() {
            if at > now {
                return (due, Some(at));
            }
            pending.pop_first();
            due.push(key);
        }
        (due, None)
    }

    /// Waits until an entry became the first.
    pub async fn sooner(&self) {
        self.sooner.notified().await;
    }
}
