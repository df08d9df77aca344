//! The feed: every change of every key, in the order of revisions.

use crate::keys::{KeyId, KeyRecord, Position, Timestamp};

/// What happened to a key.
#[derive(Debug, Clone)]
pub enum Change {
    /// It was created.
    Created(KeyRecord),
    /// Its name or its expiry was edited.
    Edited(KeyRecord),
    /// It was revoked: final.
    Revoked(KeyRecord),
    /// It was deleted: final.
    Deleted {
        /// Which key.
        key: KeyId,
        /// When it would have expired. Until then its marker is kept.
        expires_at: Timestamp,
    },
}

impl Change {
    /// Which key it happened to.
    pub fn key(&self) -> KeyId {
        match self {
            Self::Created(record) | Self::Edited(record) | Self::Revoked(record) => record.id,
            Self::Deleted { key, .. } => *key,
        }
    }
}

/// An entry of the feed.
#[derive(Debug, Clone)]
pub struct KeyChange {
    /// The revision that this change made.
    pub position: Position,
    /// What happened.
    pub change: Change,
}

/// What a gateway gets when it renews its lease.
#[derive(Debug, Clone)]
pub struct Feed {
    /// Where the store is now.
    pub position: Position,
    /// The changes after the gateway's position, in order; when the store has
    /// more, it gives the rest at the next call.
    pub entries: Vec<KeyChange>,
    /// The store is set up so that it may lose changes without need: how, and
    /// what to do about it.
    pub unprotected: Option<String>,
}

impl Feed {
    /// Nothing is missing between `after` and its entries.
    pub(in crate::store) fn follows(&self, after: Position) -> bool {
        let first = self.entries.first().map(|entry| entry.position.revision);
        first.unwrap_or_else(|| self.position.revision.next()) == after.revision.next()
    }
}
