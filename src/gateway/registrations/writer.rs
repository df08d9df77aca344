//! Writing behind: dirty rows to the store, batch by batch.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{BATCH, Connected, Instances, at_most_a_tenth};
use crate::store::{StoreClock, StoreError};

/// Between two looks at the connected agents, and from the start to the first: time
/// to come back.
const AGING: Duration = Duration::from_secs(60);

/// Which agents are forgotten, and the callback for each.
pub struct Cleanup<C, E, L, F> {
    /// Returns the agents that are connected here, and the keys in use.
    pub connected: C,
    /// Returns the agents that are connected to other gateways; `None`: it is not
    /// known, and no agent is forgotten where there may be others.
    pub elsewhere: E,
    /// Returns after how long without a connection an agent is forgotten; zero:
    /// never; `None`: it is not known, and no agent is.
    pub limit: L,
    /// Called for each forgotten agent that no other gateway forgot before.
    pub forgotten: F,
}

impl Instances {
    /// Writes what is dirty, batch by batch.
    ///
    /// # Errors
    /// [`StoreError`]; what was not written is dirty still.
    pub async fn flush(&self) -> Result<(), StoreError> {
        self.flush_and_tell(&|_| {}).await
    }

    /// The same, and reports each agent that it forgot, if no other gateway did
    /// so before.
    ///
    /// # Errors
    /// As [`Self::flush`].
    pub async fn flush_and_tell(&self, forgotten: &impl Fn(Uuid)) -> Result<(), StoreError> {
        let _storing = self.storing.lock().await;
        loop {
            let mut batch = self.rows.lock().take_dirty(BATCH);
            batch.uses = self.uses.lock().take_dirty(BATCH);
            if batch.is_empty() {
                return Ok(());
            }
            match self.store.save_instances(batch.clone()).await {
                Ok(gone) => gone.into_iter().for_each(forgotten),
                Err(error) => {
                    self.rows.lock().put_back(&batch);
                    self.uses.lock().put_back(&batch.uses);
                    return Err(error);
                }
            }
        }
    }

    /// Every `interval` until `shutdown` takes over what other gateways wrote,
    /// and writes; then writes once more.
    pub async fn run<C, E, L, F>(
        self: Arc<Self>,
        interval: Duration,
        clock: StoreClock,
        cleanup: Cleanup<C, E, L, F>,
        shutdown: CancellationToken,
    ) where
        C: Fn() -> Connected + Send + Sync,
        E: AsyncFn() -> Option<HashSet<Uuid>> + Send + Sync,
        L: AsyncFn() -> Option<Duration> + Send + Sync,
        F: Fn(Uuid) + Send + Sync,
    {
        let Cleanup {
            connected,
            elsewhere,
            limit,
            forgotten,
        } = cleanup;
        let mut aged = clock.now();
        let mut wait = AGING;
        let mut is_behind = false;
        loop {
            let stopping = tokio::select! {
                () = tokio::time::sleep(interval) => false,
                () = shutdown.cancelled() => true,
            };
            let followed = match stopping {
                // At the stop the other gateways' writes do not matter.
                true => {
                    self.uses.lock().settle();
                    Ok(())
                }
                false => self.follow(&connected).await,
            };
            let done = followed.and(self.flush_and_tell(&forgotten).await);
            if let Err(error) = &done
                && !is_behind
            {
                tracing::warn!(%error, "agents and registrations could not be written or read; retrying");
            }
            is_behind = done.is_err();
            if stopping {
                return;
            }
            let now = clock.now();
            // By the clock that counts their absence, should it be moved. Not by
            // rows that are out of date: an agent may have come elsewhere. What
            // it forgets has been written, and so is reported by the next write.
            if now.saturating_since(aged) >= wait && !is_behind {
                aged = now;
                // Asked each time: any gateway may have it changed.
                let limit = limit().await.unwrap_or(Duration::ZERO);
                wait = at_most_a_tenth(AGING, limit);
                let elsewhere = elsewhere().await;
                let Connected { agents, keys } = connected();
                keys.into_iter().for_each(|key| self.used(key, now));
                self.age(&agents, elsewhere.as_ref(), limit, now);
            }
        }
    }
}
