//! What is left of deleted keys: registrations and last uses that the gateway which
//! deleted the key could not remove any more.
//!
//! Must not know: who deleted a key. Invariant: what was deleted lately is looked at
//! until nothing is left of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::gateway::registrations::Instances;
use crate::keys::KeyId;

/// How long the gateway that deletes a key has for it.
const LEFT_ALONE: Duration = Duration::from_secs(10);
/// Deletes that are remembered at a time; what is left of more than that stays.
const KEPT: usize = 10_000;

pub(super) struct DeletedKeys {
    noted: Mutex<BTreeMap<KeyId, Instant>>,
    instances: Arc<Instances>,
}

impl DeletedKeys {
    pub fn new(instances: Arc<Instances>) -> Self {
        Self {
            noted: Mutex::default(),
            instances,
        }
    }

    #[cfg(test)]
    pub fn instances(&self) -> &Arc<Instances> {
        &self.instances
    }

    /// A key was deleted, here or elsewhere.
    pub fn note(&self, key: KeyId) {
        let mut noted = self.noted.lock();
        if noted.len() < KEPT {
            noted.insert(key, Instant::now());
        }
    }

    /// Removes what is left of those that were deleted a while ago.
    pub async fn clean_up(&self) {
        let due: Vec<_> = {
            let noted = self.noted.lock();
            let old = noted.iter().filter(|(_, at)| at.elapsed() >= LEFT_ALONE);
            old.map(|(key, _)| *key).collect()
        };
        for key in due {
            let has_any =
                self.instances.counts(key).ever > 0 || self.instances.last_used(key).is_some();
            if has_any && let Err(error) = self.instances.forget_key(key).await {
                tracing::warn!(%key, %error, "the registrations of a deleted key are still stored");
                continue;
            }
            self.noted.lock().remove(&key);
        }
    }
}
