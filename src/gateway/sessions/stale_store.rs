//! The watch over the age of the view: ends sessions once it is past its bound,
//! where the policy says so, and logs when that begins and ends.
//!
//! Must not know: why the store is not heard. Invariant: in strict, a session
//! lives no longer than the bound and the spread after the last contact with the
//! store; no session is ended while the view is within its bound.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::registry::Registry;
use crate::gateway::auth::{StaleMode, StoreView};

/// Between two looks while the view is stale.
const LOOK: Duration = Duration::from_millis(100);
/// Longest time without a look: the timers stand still while the host is
/// suspended, and the view grows older.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// The clock of the timers is this fine.
const MILLISECOND: Duration = Duration::from_millis(1);

/// Watches the age of the view.
pub struct StaleWatch {
    registry: Arc<Registry>,
    view: Arc<StoreView>,
}

impl StaleWatch {
    /// A watch over the sessions of `registry`.
    pub fn new(registry: Arc<Registry>, view: Arc<StoreView>) -> Self {
        Self { registry, view }
    }

    /// Runs until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let stale_after = self.view.staleness().stale_after;
        loop {
            let age = self.view.age();
            if self.view.staleness().is_stale(age) {
                self.tell_stale(age);
                tokio::select! {
                    () = self.while_stale() => {}
                    () = shutdown.cancelled() => return,
                }
                tracing::info!("contact to the store is back");
            }
            let left = stale_after.saturating_sub(self.view.age()) + MILLISECOND;
            tokio::select! {
                () = tokio::time::sleep(left.min(LONGEST_SLEEP)) => {}
                () = shutdown.cancelled() => return,
            }
        }
    }

    fn tell_stale(&self, age: Duration) {
        let seconds = age.as_secs();
        match self.view.staleness().mode {
            StaleMode::Strict => tracing::error!(
                view_age_seconds = seconds,
                sessions = self.registry.live_total(),
                "no contact with the store for too long: ending all sessions, refusing new ones"
            ),
            StaleMode::BestEffort => tracing::error!(
                view_age_seconds = seconds,
                sessions = self.registry.live_total(),
                "no contact with the store for too long: sessions stay open, even if their key has been revoked since"
            ),
        }
    }

    /// Until the view is within its bound again.
    async fn while_stale(&self) {
        let staleness = self.view.staleness();
        let began = Instant::now();
        let at_first = self.registry.live_numbers();
        let mut ended = 0;
        loop {
            let age = self.view.age();
            if !staleness.is_stale(age) {
                return;
            }
            let since = began.elapsed();
            if staleness.ends_sessions(age) {
                let due = staleness.ended_by(at_first.len(), since);
                for number in &at_first[ended..due] {
                    self.registry.end_stale(*number);
                }
                ended = due;
                // A session that slipped in between a check and the bound.
                if since >= staleness.spread {
                    for number in self.registry.live_numbers() {
                        self.registry.end_stale(number);
                    }
                }
            }
            // Not past the end of the spread, which is a stated bound.
            let left = staleness.spread.saturating_sub(since);
            let look = if left.is_zero() { LOOK } else { left.min(LOOK) };
            tokio::time::sleep(look).await;
        }
    }
}
