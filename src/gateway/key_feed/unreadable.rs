//! Keys that a resync could not read: each is that key's trouble alone.
//!
//! Must not know: how a key is read, what becomes of its sessions. Invariant: each
//! is reported once, for as long as it can't be read, and is read again later and
//! later.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::again::Again;
use crate::gateway::events::Events;
use crate::keys::KeyId;
use crate::metrics::registry::Metrics;
use crate::store::{EventKind, StoreError};

/// The keys that can't be read.
pub(super) struct UnreadableKeys {
    keys: Mutex<BTreeMap<KeyId, Trouble>>,
    events: Arc<Events>,
    metrics: Arc<Metrics>,
}

struct Trouble {
    /// What is known here of the key is from then.
    since: Instant,
    again: Again,
}

impl UnreadableKeys {
    pub fn new(events: Arc<Events>, metrics: Arc<Metrics>) -> Self {
        Self {
            keys: Mutex::default(),
            events,
            metrics,
        }
    }

    /// A key could not be read; what is known here of it is from `since`.
    pub fn add(&self, key: KeyId, error: &StoreError, since: Instant) {
        let mut keys = self.keys.lock();
        let mut is_new = false;
        keys.entry(key).or_insert_with(|| {
            is_new = true;
            Trouble {
                since,
                again: Again::new(),
            }
        });
        self.show(keys.len());
        drop(keys);
        if !is_new {
            return;
        }
        self.metrics.store_corrupt.inc();
        tracing::error!(%key, %error, "a key can't be read: no agent gets in with it, and whether it was revoked is not known; restore its row from a backup, or create a new key for its agents and end this one: muster keys delete KEY");
        let detail = format!("no agent gets in with it until it can be read: {error}");
        self.events
            .note(EventKind::KeyUnreadable, Some(key), None, detail);
    }

    /// It can be read.
    pub fn found(&self, key: KeyId) {
        let mut keys = self.keys.lock();
        if keys.remove(&key).is_some() {
            self.show(keys.len());
            drop(keys);
            tracing::info!(%key, "this key can be read again");
        }
    }

    /// At most `limit` that are to be read again now.
    pub fn due(&self, limit: usize) -> Vec<KeyId> {
        let mut keys = self.keys.lock();
        // Those that have waited longest first, so that none waits for ever.
        let mut order: Vec<_> = keys
            .iter()
            .map(|(key, trouble)| (trouble.again.at(), *key))
            .collect();
        order.sort_unstable();
        let due = order.into_iter().map(|(_, key)| key).take(limit);
        due.filter(|key| {
            keys.get_mut(key)
                .is_some_and(|trouble| trouble.again.is_due())
        })
        .collect()
    }

    /// Those of which nothing was heard for longer than `bound`.
    pub fn older_than(&self, bound: Duration) -> Vec<KeyId> {
        let keys = self.keys.lock();
        let old = keys
            .iter()
            .filter(|(_, trouble)| trouble.since.elapsed() > bound);
        old.map(|(key, _)| *key).collect()
    }

    fn show(&self, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.keys_unreadable.set(count);
    }
}
