//! Keys that this gateway knows and its store lacks: lost data.
//!
//! Must not know: how a gateway knows them. Invariant: each is reported once,
//! for as long as it is missing.

use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::gateway::events::Events;
use crate::keys::KeyId;
use crate::metrics::registry::Metrics;
use crate::store::EventKind;

/// The keys that are missing.
pub(super) struct LostKeys {
    keys: Mutex<BTreeSet<KeyId>>,
    events: Arc<Events>,
    metrics: Arc<Metrics>,
}

impl LostKeys {
    pub fn new(events: Arc<Events>, metrics: Arc<Metrics>) -> Self {
        Self {
            keys: Mutex::default(),
            events,
            metrics,
        }
    }

    /// The store lacks a key that is known here.
    pub fn missing(&self, key: KeyId) {
        let mut keys = self.keys.lock();
        if !keys.insert(key) {
            return;
        }
        self.show(&keys);
        drop(keys);
        tracing::error!(%key, "the store lost a key that this gateway knows: its sessions stay, new ones get UNAVAILABLE; restore the store from a backup, or give its agents another key");
        let detail = "the store lacks it: its sessions stay, new ones are put off";
        self.events
            .note(EventKind::KeyLost, Some(key), None, detail);
    }

    /// The store has it, or its end.
    pub fn found(&self, key: KeyId) {
        let mut keys = self.keys.lock();
        if keys.remove(&key) {
            self.show(&keys);
            drop(keys);
            tracing::info!(%key, "the store has this key again, or its end");
        }
    }

    pub fn contains(&self, key: KeyId) -> bool {
        self.keys.lock().contains(&key)
    }

    pub fn all(&self) -> Vec<KeyId> {
        self.keys.lock().iter().copied().collect()
    }

    fn show(&self, keys: &BTreeSet<KeyId>) {
        let count = i64::try_from(keys.len()).unwrap_or(i64::MAX);
        self.metrics.keys_lost.set(count);
    }
}
