//! When the next key expires: what the expiry timers wait for.
//!
//! Owns: one entry a key, the earliest time that was asked for. Must not know:
//! gates, clocks. Invariant: an entry is never later than what its key's gate
//! says. One that an edit overtook fires too early and does no harm: the timer
//! looks at the gate and asks again.

use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap};

use tokio::sync::Notify;

use crate::keys::{KeyId, Timestamp};

#[derive(Debug, Default)]
pub(super) struct Deadlines {
    pending: Mutex<Pending>,
    sooner: Notify,
}

/// The same entries twice.
#[derive(Debug, Default)]
struct Pending {
    by_time: BTreeSet<(Timestamp, KeyId)>,
    by_key: HashMap<KeyId, Timestamp>,
}

impl Pending {
    fn remove(&mut self, key: KeyId) {
        if let Some(at) = self.by_key.remove(&key) {
            self.by_time.remove(&(at, key));
        }
    }
}

impl Deadlines {
    /// Asks to be fired for `key` at `at`, or earlier if that was asked for before.
    pub fn arm(&self, key: KeyId, at: Timestamp) {
        let is_first = {
            let mut pending = self.pending.lock();
            if pending.by_key.get(&key).is_some_and(|armed| *armed <= at) {
                return;
            }
            pending.remove(key);
            pending.by_key.insert(key, at);
            pending.by_time.insert((at, key));
            pending.by_time.first() == Some(&(at, key))
        };
        if is_first {
            self.sooner.notify_one();
        }
    }

    /// Drops what was asked for `key`.
    pub fn disarm(&self, key: KeyId) {
        self.pending.lock().remove(key);
    }

    /// Takes out the keys that are due at `now`, and returns when the next is.
    pub fn due(&self, now: Timestamp) -> (Vec<KeyId>, Option<Timestamp>) {
        let mut pending = self.pending.lock();
        let mut due = Vec::new();
        while let Some((at, key)) = pending.by_time.first().copied() {
            if at > now {
                return (due, Some(at));
            }
            pending.remove(key);
            due.push(key);
        }
        (due, None)
    }

    /// Keys with an entry.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.pending.lock().by_time.len()
    }

    /// Waits until an entry became the first.
    pub async fn sooner(&self) {
        self.sooner.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Id;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn a_key_has_one_entry_however_often_its_expiry_moves() {
        let (one, two) = (KeyId(Id::random().unwrap()), KeyId(Id::random().unwrap()));
        let deadlines = Deadlines::default();
        deadlines.arm(two, at(9_999));
        for step in 0..10_000 {
            // To and fro: 5,000 is the earliest.
            deadlines.arm(one, at(5_000 + step * 7_919 % 10_000));
        }
        assert_eq!(deadlines.len(), 2);
        assert_eq!(deadlines.due(at(4_999)), (vec![], Some(at(5_000))));
        assert_eq!(deadlines.due(at(5_000)), (vec![one], Some(at(9_999))));
        assert_eq!(deadlines.len(), 1);
        deadlines.arm(one, at(20_000));
        deadlines.disarm(two);
        deadlines.disarm(two);
        assert_eq!(deadlines.due(at(10_000)), (vec![], Some(at(20_000))));
        assert_eq!(deadlines.len(), 1);
    }
}
