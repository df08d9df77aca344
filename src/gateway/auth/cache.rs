//! The hot cache of key records, filled by single-flight loads.
//!
//! Invariant: only records are cached, never absence and never a failure. A
//! record stays until the feed changes it or it is evicted; how long it counts
//! when the feed is not heard is for the policy to say.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use moka::future::Cache;

use super::store_view::StoreView;
use super::{AuthError, AuthOptions, too_old};
use crate::keys::{Epoch, KeyId, KeyRecord, Position};
use crate::metrics::registry::Metrics;
use crate::store::{KeyStore, Lookup, StoreError};

/// Loads begun again because the history changed meanwhile, before giving up.
const LOAD_ATTEMPTS: u32 = 3;

/// A record, and the history it was read from.
pub(super) struct Cached {
    pub record: KeyRecord,
    epoch: Epoch,
    confirmed_expired: AtomicBool,
}

impl Cached {
    fn new(record: KeyRecord, epoch: Epoch) -> Arc<Self> {
        Arc::new(Self {
            record,
            epoch,
            confirmed_expired: AtomicBool::new(false),
        })
    }

    pub fn position(&self) -> Position {
        Position {
            epoch: self.epoch,
            revision: self.record.revision,
        }
    }

    /// The store was asked after the expiry and had no later one.
    pub fn is_confirmed_expired(&self) -> bool {
        self.confirmed_expired.load(Ordering::Relaxed)
    }

    pub fn confirm_expired(&self) {
        self.confirmed_expired.store(true, Ordering::Relaxed);
    }
}

/// The cache of key records.
pub struct KeyCache {
    records: Cache<KeyId, Arc<Cached>>,
    store: Arc<dyn KeyStore>,
    view: Arc<StoreView>,
    load_deadline: Duration,
    metrics: Arc<Metrics>,
}

impl KeyCache {
    pub(super) fn new(
        store: Arc<dyn KeyStore>,
        view: Arc<StoreView>,
        options: &AuthOptions,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            records: Cache::new(options.cache_capacity),
            store,
            view,
            load_deadline: options.load_deadline,
            metrics,
        }
    }

    /// From the cache, else by one load that all callers meanwhile share; not
    /// by a load once the view is too old for that.
    pub(super) async fn get(&self, key: KeyId) -> Result<Arc<Cached>, AuthError> {
        if let Some(cached) = self.records.get(&key).await {
            self.metrics.cache_hits.inc();
            return Ok(cached);
        }
        let age = self.view.age();
        if !self.view.staleness().loads_uncached(age) {
            return Err(too_old(age));
        }
        self.metrics.cache_misses.inc();
        self.records
            .try_get_with(key, self.load(key))
            .await
            .map_err(|shared| AuthError::clone(&shared))
    }

    /// By a load of its own: one under way may have begun too early. At any age
    /// of the view: no agent is refused as expired, which is final,
    /// while the store might still say otherwise.
    pub(super) async fn reload(&self, key: KeyId) -> Result<Arc<Cached>, AuthError> {
        let loaded = self.load(key).await;
        match &loaded {
            Ok(cached) => self.records.insert(key, Arc::clone(cached)).await,
            Err(AuthError::Deleted) => self.records.invalidate(&key).await,
            // Absent, too: since it was here, the store lost it.
            Err(_) => {}
        }
        loaded
    }

    /// Takes over a record that a change brought, after the gate was raised.
    pub async fn put(&self, record: KeyRecord, epoch: Epoch) {
        self.records
            .insert(record.id, Cached::new(record, epoch))
            .await;
    }

    pub async fn forget(&self, key: KeyId) {
        self.records.invalidate(&key).await;
    }

    /// What is known of a key without asking anybody.
    pub async fn record(&self, key: KeyId) -> Option<KeyRecord> {
        let cached = self.records.get(&key).await;
        cached.map(|cached| cached.record.clone())
    }

    /// Whether the key is in the cache.
    pub fn contains(&self, key: KeyId) -> bool {
        self.records.contains_key(&key)
    }

    /// The keys in the cache, for a resync.
    pub fn keys(&self) -> Vec<KeyId> {
        self.records.iter().map(|(key, _)| *key).collect()
    }

    async fn load(&self, key: KeyId) -> Result<Arc<Cached>, AuthError> {
        let attempts = async {
            for _ in 0..LOAD_ATTEMPTS {
                let before = self.view.history();
                let loaded = self.store.load(key).await?;
                if loaded.epoch == before.epoch && before == self.view.history() {
                    return match loaded.lookup {
                        Lookup::Present(record) => Ok(Cached::new(record, loaded.epoch)),
                        Lookup::Deleted(_) => Err(AuthError::Deleted),
                        Lookup::Absent if loaded.had_keys => Err(AuthError::Absent),
                        Lookup::Absent => {
                            let why = "no key was ever created in it, so that one is missing proves nothing";
                            Err(StoreError::Failed(why.into()).into())
                        }
                    };
                }
            }
            Err(StoreError::Failed("its history is changing".into()).into())
        };
        let loaded = tokio::time::timeout(self.load_deadline, attempts)
            .await
            .unwrap_or_else(|_| {
                Err(StoreError::Failed("no answer within the deadline".into()).into())
            });
        if let Err(AuthError::Unavailable(error)) = &loaded {
            self.metrics.store_failures.inc();
            if matches!(error, StoreError::Corrupt { .. }) {
                self.metrics.store_corrupt.inc();
                tracing::error!(%key, %error, "damaged record: this key admits nobody; restore the store from a backup, or create a new key");
            } else {
                tracing::warn!(%key, %error, "load of a key failed");
            }
        }
        loaded
    }
}
