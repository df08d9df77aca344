//! The event of a key that expires: noted once by all gateways together, also if
//! nobody was connected or every gateway was down at that time.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Events;
use crate::store::{AppendOnce, EventKind, KeyStore, StoreError};

/// Between two looks at the list of keys, at least. Nothing hangs on it but the
/// event: sessions end by timers of their own.
const LOOKS: Duration = Duration::from_secs(30);
/// Between two looks, also this multiple of the time of the last one: where a look
/// reads 1,000,000 keys for seconds, it may not take a tenth of a core for ever.
const RESTS: u32 = 100;
/// Keys read at a time.
const PAGE: usize = 500;

/// Looks for keys that expired since a gateway last reported one.
pub struct ExpiryEvents {
    events: Arc<Events>,
    keys: Arc<dyn KeyStore>,
}

impl ExpiryEvents {
    /// Looks through `keys`.
    pub fn new(events: Arc<Events>, keys: Arc<dyn KeyStore>) -> Self {
        Self { events, keys }
    }

    /// Notes each key that expired since the last one that was noted. How far
    /// it has looked moves in one step with the events, and only from where it
    /// was: of several gateways that find the same, one notes it. Where nothing
    /// has expired, nothing is written.
    ///
    /// # Errors
    /// [`StoreError`]; then it looks again from where it was.
    pub async fn look(&self) -> Result<(), StoreError> {
        let from = self.events.store.expiries_until().await?;
        let until = self.keys.clock().now();
        let mut expired = Vec::new();
        // A new store has no expiries from before it.
        if let Some(since) = from {
            let mut after = None;
            loop {
                let page = self.keys.list(after, PAGE).await?;
                expired.extend(page.records.into_iter().filter(|record| {
                    record.revoked_at.is_none()
                        && record.expires_at > since
                        && record.expires_at <= until
                }));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            if expired.is_empty() {
                return Ok(());
            }
        }
        expired.sort_by_key(|record| record.expires_at);
        let event = |record: &crate::keys::KeyRecord| {
            let detail = format!("expired at {}", record.expires_at);
            let key = Some(record.id);
            self.events
                .made(until, EventKind::KeyExpired, key, None, detail)
        };
        let new: Vec<_> = expired.iter().map(event).collect();
        self.events
            .append(new, AppendOnce::Expiries { from, until })
            .await
    }

    /// Looks until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        loop {
            let moved = self.keys.clock().moved();
            let begun = Instant::now();
            if let Err(error) = self.look().await {
                tracing::warn!(%error, "expired keys could not be looked up; retrying");
            }
            let wait = LOOKS.max(begun.elapsed() * RESTS);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = moved => {}
                () = shutdown.cancelled() => return,
            }
        }
    }
}
