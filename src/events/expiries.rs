//! The event of a key that expires: told once, also if nobody was connected or
//! the gateway was down at that moment.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Events;
use crate::store::{EventKind, KeyStore, StoreError};

/// Between two looks at the list of keys. Nothing hangs on it but the event.
const LOOKS: Duration = Duration::from_secs(30);
/// Keys read at a time.
const PAGE: usize = 500;

/// Looks for keys that expired since it looked last.
pub struct ExpiryEvents {
    events: Arc<Events>,
    keys: Arc<dyn KeyStore>,
}

impl ExpiryEvents {
    /// Looks through `keys`.
    pub fn new(events: Arc<Events>, keys: Arc<dyn KeyStore>) -> Self {
        Self { events, keys }
    }

    /// Notes each key that expired since the last look. How far it has looked
    /// is written in one step with the events, so each is told once.
    ///
    /// # Errors
    /// [`StoreError`]; then it looks again from where it was.
    pub async fn look(&self) -> Result<(), StoreError> {
        let since = self.events.ring().expiries_until;
        let now = self.keys.clock().now();
        if now <= since {
            return Ok(());
        }
        let mut expired = Vec::new();
        let mut after = None;
        loop {
            let page = self.keys.list(after, PAGE).await?;
            expired.extend(page.records.into_iter().filter(|record| {
                record.revoked_at.is_none() && record.expires_at > since && record.expires_at <= now
            }));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        expired.sort_by_key(|record| record.expires_at);
        // Under one lock: no flush can write the events without the mark, or
        // the mark without the events.
        let mut ring = self.events.ring();
        let mut last = None;
        for record in expired {
            let detail = format!("expired at {}", record.expires_at);
            let key = Some(record.id);
            last = Some(ring.push(now, EventKind::KeyExpired, key, None, detail));
        }
        ring.expiries_until = now;
        drop(ring);
        if let Some(last) = last {
            self.events.tell(last);
        }
        Ok(())
    }

    /// Looks until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        loop {
            if let Err(error) = self.look().await {
                tracing::warn!(%error, "expired keys are not looked for; trying again");
            }
            tokio::select! {
                () = tokio::time::sleep(LOOKS) => {}
                () = self.keys.clock().moved() => {}
                () = shutdown.cancelled() => return,
            }
        }
    }
}
