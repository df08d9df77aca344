//! All keys at once, for lists that filter and sort.
//!
//! Invariant: what is told is what the store had when it was asked: the rows
//! are read again whenever its revision has moved.

use std::sync::Arc;

use tokio::sync::Mutex;

use crate::keys::{KeyRecord, Position};
use crate::store::{KeyStore, StoreError};

/// Rows read at a time.
const PAGE: usize = 1_000;

/// The rows of the last list.
#[derive(Default)]
pub(super) struct Listing {
    last: Mutex<Option<Rows>>,
}

struct Rows {
    position: Position,
    records: Arc<Vec<KeyRecord>>,
}

impl Listing {
    /// All keys in order of creation.
    pub async fn all(&self, store: &dyn KeyStore) -> Result<Arc<Vec<KeyRecord>>, StoreError> {
        // One reads for all who ask at once.
        let mut last = self.last.lock().await;
        // Asked before the rows are read: newer rows are read twice, older ones
        // never taken for new.
        let (_, position) = store.gateways().await?;
        if let Some(rows) = last.as_ref().filter(|rows| rows.position == position) {
            return Ok(Arc::clone(&rows.records));
        }
        let mut records = Vec::new();
        let mut after = None;
        loop {
            let page = store.list(after, PAGE).await?;
            if !page.unreadable.is_empty() {
                tracing::error!(keys = ?page.unreadable, "damaged records: these keys admit nobody");
            }
            records.extend(page.records);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let records = Arc::new(records);
        *last = Some(Rows {
            position,
            records: Arc::clone(&records),
        });
        Ok(records)
    }
}
