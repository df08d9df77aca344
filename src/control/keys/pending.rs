//! Revokes that the store did not take: applied here, and tried again until it
//! answers.
//!
//! Must not know: their callers. Invariant: one task for each key; it ends with
//! an answer of the store, whatever that is, or with the process.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::pending_file::{LeftRevokesError, PendingFile, PendingRevoke};
use crate::gateway::key_feed::KeyFeedFollower;
use crate::keys::KeyId;
use crate::metrics::registry::Metrics;
use crate::store::{ChangeError, KeyStore, StoreError, Written};

/// Before the second try, and before any.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));

/// Revokes that wait at most: each holds a task, and a gate that may be of no key.
const MOST: usize = 1_000;

/// The revokes that wait for the store.
pub(super) struct Pending {
    store: Arc<dyn KeyStore>,
    key_feed: Arc<KeyFeedFollower>,
    metrics: Arc<Metrics>,
    keys: Mutex<HashMap<KeyId, PendingRevoke>>,
    file: PendingFile,
}

impl Pending {
    pub fn new(
        store: Arc<dyn KeyStore>,
        key_feed: Arc<KeyFeedFollower>,
        metrics: Arc<Metrics>,
        file: PendingFile,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            key_feed,
            metrics,
            keys: Mutex::default(),
            file,
        })
    }

    /// Whether one more may wait.
    pub fn has_room(&self, key: KeyId) -> bool {
        let keys = self.keys.lock();
        keys.len() < MOST || keys.contains_key(&key)
    }

    /// Takes up what an earlier process left, to be gone on with one by one. The file
    /// still has all of it, and is not written before the first is done.
    pub fn take_up(&self) -> Result<Vec<PendingRevoke>, LeftRevokesError> {
        let left = self.file.left()?;
        let mut keys = self.keys.lock();
        keys.extend(left.iter().map(|revoke| (revoke.key, revoke.clone())));
        self.count(&keys);
        Ok(left)
    }

    /// Keeps one, and goes on trying. Returns whether it outlives this process.
    pub fn add(
        self: &Arc<Self>,
        revoke: PendingRevoke,
        written: impl FnOnce(&Written) + Send + 'static,
    ) -> bool {
        let key = revoke.key;
        let (is_new, is_kept) = self.change(|keys| keys.insert(key, revoke).is_none());
        if is_new {
            self.go_on(key, written);
        }
        is_kept
    }

    /// Goes on trying, in the background; `written` is called on success.
    pub fn go_on(self: &Arc<Self>, key: KeyId, written: impl FnOnce(&Written) + Send + 'static) {
        let this = Arc::clone(self);
        tokio::spawn(async move {
            match this.until_answered(key).await {
                Ok(done) => {
                    written(&done);
                    this.key_feed.apply(&done.change).await;
                }
                // There never was such a key, or it was deleted.
                Err(error @ ChangeError::NotFound(_)) => {
                    tracing::warn!(%key, %error, "a pending revoke is of no key");
                    this.key_feed.no_such_key(key);
                }
                Err(error) => {
                    tracing::error!(%key, %error, "a pending revoke is abandoned: the store refuses it; this gateway goes on refusing the key");
                }
            }
            this.change(|keys| keys.remove(&key).is_some());
        });
    }

    async fn until_answered(&self, key: KeyId) -> Result<Written, ChangeError> {
        let mut wait = WAITS.0;
        loop {
            tokio::time::sleep(wait).await;
            match self.store.revoke(key).await {
                Err(ChangeError::Store(error)) if may_pass(&error) => {
                    tracing::warn!(%key, %error, "a revoke is still pending");
                }
                answered => return answered,
            }
            wait = (wait * 2).min(WAITS.1);
        }
    }

    /// Returns what `change` does, and whether all are kept. The file is small, and
    /// changes only while the store is down.
    fn change(
        &self,
        change: impl FnOnce(&mut HashMap<KeyId, PendingRevoke>) -> bool,
    ) -> (bool, bool) {
        let mut keys = self.keys.lock();
        let changed = change(&mut keys);
        let is_kept = self.file.keep(keys.values());
        self.count(&keys);
        (changed, is_kept)
    }

    fn count(&self, keys: &HashMap<KeyId, PendingRevoke>) {
        let count = i64::try_from(keys.len()).unwrap_or(i64::MAX);
        self.metrics.revokes_pending.set(count);
    }
}

/// Whether the store has not answered, or another store has.
pub(super) fn may_pass(error: &StoreError) -> bool {
    match error {
        StoreError::Failed(_)
        | StoreError::NotWritten(_)
        | StoreError::NoWrites(_)
        | StoreError::Foreign(_) => true,
        // The store's answer: the record is what stands in the way.
        StoreError::Corrupt { .. } => false,
    }
}
