//! All keys at once, for lists that filter and sort.
//!
//! Invariant: a list is what the store had when it was asked: what changed
//! since the last time is read from the feed, or all where that is not possible.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Mutex;

use crate::keys::{KeyId, KeyRecord, Position};
use crate::store::{Change, FeedStore, StoreError};

/// Rows read at a time.
const PAGE: usize = 1_000;

/// Keys by their id.
pub type Keys = BTreeMap<KeyId, Arc<KeyRecord>>;

/// The rows of the last list.
#[derive(Default)]
pub(super) struct Listing {
    last: Mutex<Option<Rows>>,
}

struct Rows {
    /// All changes up to here are in.
    position: Position,
    keys: Arc<Keys>,
}

impl Listing {
    pub async fn all(&self, store: &dyn FeedStore) -> Result<Arc<Keys>, StoreError> {
        // One reads for all callers at once.
        let mut last = self.last.lock().await;
        if let Some(mut rows) = last.take()
            && rows.catch_up(store).await?
        {
            return Ok(Arc::clone(&last.insert(rows).keys));
        }
        let rows = Rows::read(store).await?;
        Ok(Arc::clone(&last.insert(rows).keys))
    }
}

impl Rows {
    async fn read(store: &dyn FeedStore) -> Result<Self, StoreError> {
        // Asked before the rows are read: a change that is in a row already is
        // taken in once more, and none is left out.
        let (_, position) = store.gateways().await?;
        let mut keys = Keys::new();
        let mut after = None;
        loop {
            let page = store.list(after, PAGE).await?;
            if !page.unreadable.is_empty() {
                tracing::error!(keys = ?page.unreadable, "damaged records: these keys admit nobody");
            }
            let records = page.records.into_iter();
            keys.extend(records.map(|record| (record.id, Arc::new(record))));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Ok(Self {
            position,
            keys: Arc::new(keys),
        })
    }

    /// Takes in what changed; false: the feed does not reach back so far.
    async fn catch_up(&mut self, store: &dyn FeedStore) -> Result<bool, StoreError> {
        loop {
            let Some(feed) = store.changes(self.position).await? else {
                return Ok(false);
            };
            let Some(last) = feed.entries.last().map(|entry| entry.position) else {
                return Ok(true);
            };
            // Copied only while a list still looks at it.
            let keys = Arc::make_mut(&mut self.keys);
            for entry in feed.entries {
                match entry.change {
                    Change::Created(record) | Change::Edited(record) | Change::Revoked(record) => {
                        keys.insert(record.id, Arc::new(record));
                    }
                    Change::Deleted { key, .. } => {
                        keys.remove(&key);
                    }
                }
            }
            self.position = last;
            if last.revision >= feed.position.revision {
                return Ok(true);
            }
        }
    }
}
