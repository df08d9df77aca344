//! The feed: every change of every key, in the order of revisions.

use super::error::StoreError;
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
#[derive(Debug, Clone, Default)]
pub struct Feed {
    /// Where the store is now.
    pub position: Position,
    /// The changes after the gateway's position, in order; when the store has
    /// more, it gives the rest at the next call.
    pub entries: Vec<KeyChange>,
    /// The store is set up so that it may lose changes without need: how, and
    /// what to do about it.
    pub unprotected: Option<String>,
    /// What could not be read or written beside the entries: a damaged entry,
    /// which is missing among them, a row of the gateway's own.
    pub damaged: Vec<StoreError>,
}

impl Feed {
    /// It goes on exactly where `after` stands: in the same history, and nothing is
    /// missing before, between or, where there are none, in place of its entries.
    pub fn follows(&self, after: Position) -> bool {
        let mut at = after;
        for entry in &self.entries {
            if entry.position.epoch != at.epoch || entry.position.revision != at.revision.next() {
                return false;
            }
            at = entry.position;
        }
        if self.entries.is_empty() {
            self.position == after
        } else {
            self.position.epoch == after.epoch
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Epoch, Revision};

    fn at(epoch: u128, revision: u64) -> Position {
        Position {
            epoch: Epoch(epoch),
            revision: Revision(revision),
        }
    }

    fn feed(position: Position, entries: &[Position]) -> Feed {
        let entry = |position: &Position| KeyChange {
            position: *position,
            change: Change::Deleted {
                key: "key_0123456789ABCDEF".parse().unwrap(),
                expires_at: Timestamp::from_millis(0),
            },
        };
        Feed {
            position,
            entries: entries.iter().map(entry).collect(),
            ..Feed::default()
        }
    }

    #[test]
    fn anything_but_the_next_step_is_a_gap() {
        let here = at(1, 5);
        assert!(feed(at(1, 5), &[]).follows(here));
        assert!(feed(at(1, 7), &[at(1, 6), at(1, 7)]).follows(here));
        assert!(feed(at(1, 9), &[at(1, 6)]).follows(here), "more to come");
        assert!(!feed(at(1, 7), &[at(1, 7)]).follows(here), "a gap");
        assert!(
            !feed(at(1, 8), &[at(1, 6), at(1, 8)]).follows(here),
            "within"
        );
        assert!(!feed(at(1, 6), &[]).follows(here), "ahead, no entries");
        assert!(!feed(at(1, 4), &[]).follows(here), "behind");
        assert!(!feed(at(2, 5), &[]).follows(here), "another history");
        assert!(!feed(at(2, 6), &[at(2, 6)]).follows(here));
    }
}
