//! Writing behind: dirty rows to the store, batch by batch.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{BATCH, Instances};
use crate::store::{StoreClock, StoreError};

/// Between two looks for agents to be forgotten, and from the start to the
/// first: time to come back.
const AGING: Duration = Duration::from_secs(60);

impl Instances {
    /// Writes what is dirty, batch by batch.
    ///
    /// # Errors
    /// [`StoreError`]; what was not written is dirty still.
    pub async fn flush(&self) -> Result<(), StoreError> {
        let _writing = self.writing.lock().await;
        loop {
            let batch = self.rows().take_dirty(BATCH);
            if batch.registrations.is_empty()
                && batch.agents.is_empty()
                && batch.forgotten.is_empty()
            {
                return Ok(());
            }
            if let Err(error) = self.store.save_instances(batch.clone()).await {
                self.rows().put_back(&batch);
                return Err(error);
            }
        }
    }

    /// Writes every `interval` until `shutdown`, then once more; forgets agents
    /// that were not among those `connected` returns for too long by the store's
    /// `clock`, and tells `forgotten` of each.
    pub async fn run(
        self: Arc<Self>,
        interval: Duration,
        clock: StoreClock,
        connected: impl Fn() -> HashSet<Uuid> + Send,
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
                self.age(&connected(), now).into_iter().for_each(&forgotten);
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
