//! Mistakes that a gateway might have, planted between it and its store: to prove
//! that the checker of histories finds them.

use std::sync::{Mutex, OnceLock};

use muster::keys::{Epoch, KeyId, Position};
use muster::store::{Change, ChangeError, Feed, FeedStore, KeyChange, Lookup, Written};

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// The feed brings nothing, and says that there is nothing.
    DeafTail,
    /// Every history of the store is taken for the first.
    OneHistory,
    /// One key that can't be read is taken for a store that can't be read.
    OneBadRowIsAll,
    /// A revoke that the store did not answer is reported as done.
    SwallowedTimeouts,
}

/// The one that is planted, if any.
#[derive(Default)]
pub struct Planted {
    bug: Mutex<Option<Bug>>,
    first: OnceLock<Epoch>,
}

impl Planted {
    pub fn set(&self, bug: Bug) {
        *self.bug.lock().unwrap() = Some(bug);
    }

    pub fn is(&self, bug: Bug) -> bool {
        *self.bug.lock().unwrap() == Some(bug)
    }

    /// The history that the gateway is told of.
    pub fn epoch(&self, real: Epoch) -> Epoch {
        let first = *self.first.get_or_init(|| real);
        if self.is(Bug::OneHistory) {
            first
        } else {
            real
        }
    }

    /// The feed that a gateway at `position` is given.
    pub fn feed(&self, feed: Feed, position: Position) -> Feed {
        let other = self.epoch(feed.position.epoch) != feed.position.epoch;
        if !self.is(Bug::DeafTail) && !other {
            return feed;
        }
        Feed {
            position,
            entries: Vec::new(),
            ..feed
        }
    }
}

/// A revoke as if it had been written.
pub async fn pretended(store: &impl FeedStore, id: KeyId) -> Result<Written, ChangeError> {
    let loaded = store.load(id).await?;
    let (enrolled, now) = store.gateways().await?;
    let Lookup::Present(mut record) = loaded.lookup else {
        return Err(ChangeError::NotFound(id));
    };
    record.revision = now.revision.next();
    record.revoked_at = Some(store.clock().now());
    Ok(Written {
        change: KeyChange {
            position: Position {
                revision: record.revision,
                ..now
            },
            change: Change::Revoked(record),
        },
        is_new: true,
        enrolled,
        receipt: 0,
    })
}
