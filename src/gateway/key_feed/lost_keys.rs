//! Keys that this gateway knows and its store lacks: lost data.
//!
//! Must not know: how a gateway knows them. Invariant: each is reported once,
//! for as long as it is missing and would not have expired.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::again::Again;
use crate::gateway::events::Events;
use crate::keys::{KeyId, Timestamp};
use crate::metrics::registry::Metrics;
use crate::store::EventKind;

/// The keys that are missing.
pub(super) struct LostKeys {
    keys: Mutex<BTreeMap<KeyId, Lost>>,
    events: Arc<Events>,
    metrics: Arc<Metrics>,
}

struct Lost {
    expires_at: Timestamp,
    again: Again,
}

impl LostKeys {
    pub fn new(events: Arc<Events>, metrics: Arc<Metrics>) -> Self {
        Self {
            keys: Mutex::default(),
            events,
            metrics,
        }
    }

    /// The store lacks a key that is known here, and expires then.
    pub fn missing(&self, key: KeyId, expires_at: Timestamp) {
        let mut keys = self.keys.lock();
        if keys.contains_key(&key) {
            return;
        }
        let again = Again::new();
        keys.insert(key, Lost { expires_at, again });
        self.show(keys.len());
        drop(keys);
        tracing::error!(%key, "the store lost a key that this gateway knows: its sessions stay, new ones get UNAVAILABLE; restore the store from a backup, or give its agents another key");
        let detail = "the store lacks it: its sessions stay, new ones are put off";
        self.events
            .note(EventKind::KeyLost, Some(key), None, detail);
    }

    /// The store has it, or its end.
    pub fn found(&self, key: KeyId) {
        let mut keys = self.keys.lock();
        if keys.remove(&key).is_some() {
            self.show(keys.len());
            drop(keys);
            tracing::info!(%key, "the store has this key again, or its end");
        }
    }

    /// Whether it is missing at `now`.
    pub fn contains(&self, key: KeyId, now: Timestamp) -> bool {
        let keys = self.keys.lock();
        keys.get(&key).is_some_and(|lost| lost.expires_at > now)
    }

    /// Forgets those that have expired: the store need not have them any more.
    pub fn forget_expired(&self, now: Timestamp) {
        let mut keys = self.keys.lock();
        keys.retain(|_, lost| lost.expires_at > now);
        self.show(keys.len());
    }

    /// At most `limit` that are to be looked for again now.
    pub fn due(&self, limit: usize) -> Vec<KeyId> {
        let mut keys = self.keys.lock();
        // Those that have waited longest first, so that none waits for ever.
        let mut order: Vec<_> = keys
            .iter()
            .map(|(key, lost)| (lost.again.at(), *key))
            .collect();
        order.sort_unstable();
        let due = order.into_iter().map(|(_, key)| key).take(limit);
        due.filter(|key| keys.get_mut(key).is_some_and(|lost| lost.again.is_due()))
            .collect()
    }

    pub fn all(&self) -> Vec<KeyId> {
        self.keys.lock().keys().copied().collect()
    }

    fn show(&self, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.keys_lost.set(count);
    }
}
