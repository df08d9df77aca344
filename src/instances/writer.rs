//! Writing behind: dirty rows to the store, batch by batch.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{BATCH, Connected, Instances};
use crate::store::{StoreClock, StoreError};

/// Between two looks at who is connected, and from the start to the first: time
/// to come back.
const AGING: Duration = Duration::from_secs(60);

impl Instances {
    /// Writes what is dirty, batch by batch.
    ///
    /// # Errors
    /// [`StoreError`]; what was not written is dirty still.
    pub async fn flush(&self) -> Result<(), StoreError> {
        let _writing = self.writing.lock().await;
        loop {
            let mut batch = self.rows().take_dirty(BATCH);
            batch.uses = self.uses().take_dirty(BATCH);
            if batch.is_empty() {
                return Ok(());
            }
            if let Err(error) = self.store.save_instances(batch.clone()).await {
                self.rows().put_back(&batch);
                self.uses().put_back(&batch.uses);
                return Err(error);
            }
        }
    }

    /// Writes every `interval` until `shutdown`, then once more. Notes the keys
    /// that `connected` returns as used; forgets agents that were not among its
    /// agents for too long by the store's `clock`, and tells `forgotten` of each.
    pub async fn run(
        self: Arc<Self>,
        interval: Duration,
        clock: StoreClock,
        connected: impl Fn() -> Connected + Send,
        forgotten: impl Fn(Uuid) + Send,
        shutdown: CancellationToken,
    ) {
        let mut aged = clock.now();
        let mut wait = AGING;
        loop {
            let stopping = tokio::select! {
                () = tokio::time::sleep(interval) => false,
                () = shutdown.cancelled() => true,
            };
            let now = clock.now();
            // By the clock that counts their absence, should it be moved.
            if now.saturating_since(aged) >= wait {
                aged = now;
                wait = self.at_most_a_tenth(AGING);
                let Connected { agents, keys } = connected();
                keys.into_iter().for_each(|key| self.used(key, now));
                self.age(&agents, now).into_iter().for_each(&forgotten);
            }
            if stopping {
                self.uses().settle();
            }
            if let Err(error) = self.flush().await {
                tracing::warn!(%error, "agents and registrations are not written; trying again");
            }
            if stopping {
                return;
            }
        }
    }
}
