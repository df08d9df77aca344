//! The timers that end sessions when their key expires.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::gate::KnownBy;
use super::registry::Registry;
use crate::gateway::auth::{AuthError, Authenticator};
use crate::keys::KeyId;

/// Longest sleep: a jump of the wall clock is noticed by a look at the clock, and
/// the timers stand still while the host is suspended.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// Ends the sessions of keys that expire, after one last look at each key: it
/// may have been extended in its last second.
pub struct ExpiryTimers {
    registry: Arc<Registry>,
    authenticator: Arc<Authenticator>,
}

impl ExpiryTimers {
    /// Timers over `registry`.
    pub fn new(registry: Arc<Registry>, authenticator: Arc<Authenticator>) -> Self {
        Self {
            registry,
            authenticator,
        }
    }

    /// Runs until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let this = Arc::new(self);
        // Keys are looked at side by side: a store that does not answer delays
        // each of them by the deadline, not one after the other.
        let mut looks = JoinSet::new();
        loop {
            let moved = this.registry.clock().moved();
            let now = this.registry.clock().now();
            let (due, next) = this.registry.deadlines().due(now);
            for key in due {
                let this = Arc::clone(&this);
                looks.spawn(async move { this.fire(key).await });
            }
            let sleep = next.map_or(LONGEST_SLEEP, |at| {
                at.saturating_since(now).min(LONGEST_SLEEP)
            });
            tokio::select! {
                () = tokio::time::sleep(sleep) => {}
                () = this.registry.deadlines().sooner() => {}
                () = moved => {}
                Some(_) = looks.join_next() => {}
                () = shutdown.cancelled() => return,
            }
        }
    }

    async fn fire(&self, key: KeyId) {
        if !self.registry.is_due(key) {
            self.registry.wait_for_expiry(key);
            return;
        }
        let mut is_proven = true;
        match self.authenticator.reload(key).await {
            Ok((record, position)) => match record.revoked_at {
                Some(at) => {
                    let known = KnownBy::Store;
                    self.registry.end_revoked(key, at, record.expires_at, known);
                }
                None => self.registry.observe(key, position, record.expires_at),
            },
            Err(AuthError::Absent | AuthError::Deleted) => {}
            Err(error) => {
                let expiry = self.registry.expiry_of(key);
                is_proven = expiry.is_some_and(|at| self.authenticator.has_heard_since(at));
                tracing::warn!(%key, %error, "the store did not confirm the expiry in time; the key is treated as expired");
            }
        }
        let closing = self.registry.expire(key, is_proven);
        if closing.total() > 0 {
            tracing::info!(%key, sessions = closing.total(), "key expired: its sessions are ended");
        }
        // Not yet: the clock was ahead, and the look set it right.
        self.registry.wait_for_expiry(key);
    }
}

impl Registry {
    /// Has the timers forget a key whose gate was dropped.
    pub(super) fn stop_timing(&self, key: KeyId) {
        self.deadlines().disarm(key);
        // A session may have come since: what it asked for is gone, too.
        self.wait_for_expiry(key);
    }
}
