//! The store's clock, as a gateway sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;

use crate::keys::Timestamp;

/// Tells the store's time: this host's wall clock and the offset that the store
/// showed last. Gateways that share a store thus agree on what has expired.
///
/// Clones share the offset.
#[derive(Debug, Clone, Default)]
pub struct StoreClock {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    offset_millis: AtomicI64,
    moved: Notify,
}

impl StoreClock {
    /// The store's time now.
    pub fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX));
        let offset = self.shared.offset_millis.load(Ordering::Relaxed);
        Timestamp::from_millis(since_epoch.saturating_add(offset))
    }

    /// Takes over how far the store's clock is ahead of this host's (behind:
    /// negative), in milliseconds, and wakes those who wait on [`Self::moved`].
    pub fn set_offset_millis(&self, offset: i64) {
        let before = self.shared.offset_millis.swap(offset, Ordering::Relaxed);
        if before != offset {
            self.shared.moved.notify_waiters();
        }
    }

    /// Waits for the next change of the offset.
    pub async fn moved(&self) {
        self.shared.moved.notified().await;
    }
}
