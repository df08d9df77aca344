//! What a store keeps of a key, and the counters that order its changes.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::id::{Digest, KeyId};
use super::timestamp::Timestamp;

/// The store's counter: one up on each change of any key. Says which of two
/// records of one history is the newer; clocks never do.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Revision(pub u64);

impl Revision {
    /// The revision that follows this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// One history of a store. Revisions of two epochs can't be compared: a
/// failover may have rewritten what one of them counted.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Epoch(pub u128);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A place in a store's history.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Position {
    /// Which history.
    pub epoch: Epoch,
    /// How far in it.
    pub revision: Revision,
}

/// A key as the store keeps it. Holds the digest of its secret, never the
/// secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// Which group of keys it belongs to; `default` for now.
    pub namespace: String,
    /// The public id.
    pub id: KeyId,
    /// 1 to 128 characters, not necessarily unique.
    pub name: String,
    /// SHA-256 of the secret.
    pub digest: Digest,
    /// When it was made.
    pub created_at: Timestamp,
    /// When anything of it last changed.
    pub modified_at: Timestamp,
    /// From this time on it admits no agent.
    pub expires_at: Timestamp,
    /// Set once, by the revoke.
    pub revoked_at: Option<Timestamp>,
    /// The store's revision of its last change.
    pub revision: Revision,
}

/// A key's or an admin token's state, computed and never stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyStatus {
    /// Admits agents that present it.
    Valid,
    /// Past its expiry.
    Expired,
    /// Revoked; wins over expired.
    Revoked,
}

impl KeyStatus {
    /// The word for it: `valid`, `expired`, `revoked`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

impl KeyRecord {
    /// The key's state at the time `now`.
    pub fn status(&self, now: Timestamp) -> KeyStatus {
        if self.revoked_at.is_some() {
            KeyStatus::Revoked
        } else if now >= self.expires_at {
            KeyStatus::Expired
        } else {
            KeyStatus::Valid
        }
    }
}
