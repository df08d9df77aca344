//! The contract for registrations: which agents ever joined under which key.

use std::net::IpAddr;

use async_trait::async_trait;
use uuid::Uuid;

use super::key_store::StoreError;
use crate::keys::{KeyId, Timestamp};

/// An agent under a key: made by its first join, kept until the key is deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The key it joined with.
    pub key: KeyId,
    /// The agent's resource id. Self-declared.
    pub agent: Uuid,
    /// Its first join.
    pub first_seen: Timestamp,
    /// Its last join.
    pub last_seen: Timestamp,
    /// Where its last join came from.
    pub last_address: IpAddr,
    /// How often it joined.
    pub joins: u64,
}

/// Keeps registrations.
#[async_trait]
pub trait InstanceStore: Send + Sync + 'static {
    /// At most `limit` registrations after the one of `after`, in order of key
    /// and agent.
    ///
    /// # Errors
    /// [`StoreError`]. A damaged row is left out: its agent registers again.
    async fn registrations(
        &self,
        after: Option<(KeyId, Uuid)>,
        limit: usize,
    ) -> Result<Vec<Registration>, StoreError>;

    /// Writes rows, each replacing the one of its key and agent, in one step.
    ///
    /// # Errors
    /// [`StoreError`]; then none is written.
    async fn save_registrations(&self, rows: Vec<Registration>) -> Result<(), StoreError>;

    /// Removes the rows of a key.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn forget_registrations(&self, key: KeyId) -> Result<(), StoreError>;
}
