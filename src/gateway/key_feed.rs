//! How changes of keys reach this gateway's gates: the tail of the store's feed.
//!
//! Owns: this gateway's position in the feed and its lease. Must not know: who
//! asked for a change, how a stream is closed.
//! Invariant: the gate is raised first, the cache touched after; the position
//! moves only over changes that are applied.

mod lost_keys;
mod outcomes;
#[cfg(test)]
mod poll_test;
mod recent_changes;
mod resync;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::gateway::auth::{Authenticator, StoreView};
use crate::gateway::events::Events;
use crate::gateway::sessions::{EndedSessions, Registry};
use crate::keys::{KeyId, KeyRecord, Position, latest_expiry};
use crate::metrics::registry::Metrics;
use crate::store::{Bound, Change, Feed, FeedStore, Heartbeat, KeyChange, Standing, StoreError};
use lost_keys::LostKeys;
use outcomes::Outcomes;
use recent_changes::RecentChanges;

/// Between two sweeps of spent gates; each looks at every gate.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Applies changes of keys to this gateway.
pub struct KeyFeedFollower {
    store: Arc<dyn FeedStore>,
    registry: Arc<Registry>,
    authenticator: Arc<Authenticator>,
    view: Arc<StoreView>,
    events: Arc<Events>,
    metrics: Arc<Metrics>,
    interval: Duration,
    position: Mutex<Position>,
    bound: OnceLock<Bound>,
    outcomes: Outcomes,
    recent: RecentChanges,
    lost: LostKeys,
}

/// What a follower works with.
pub struct FollowerParts {
    /// The store.
    pub store: Arc<dyn FeedStore>,
    /// The gates and live sessions.
    pub registry: Arc<Registry>,
    /// The cache of keys.
    pub authenticator: Arc<Authenticator>,
    /// What is known of the store, and since when.
    pub view: Arc<StoreView>,
    /// Events.
    pub events: Arc<Events>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// The lease is renewed at least this often.
    pub interval: Duration,
    /// Where the gateway enrolled.
    pub position: Position,
}

impl KeyFeedFollower {
    /// For a gateway that enrolled at `position`; the lease is renewed at least
    /// once every `interval`.
    pub fn new(parts: FollowerParts) -> Self {
        let FollowerParts {
            store,
            registry,
            authenticator,
            view,
            events,
            metrics,
            interval,
            position,
        } = parts;
        Self {
            outcomes: Outcomes::new(store.clock().clone()),
            recent: RecentChanges::default(),
            lost: LostKeys::new(Arc::clone(&events), Arc::clone(&metrics)),
            store,
            registry,
            authenticator,
            view,
            events,
            metrics,
            interval,
            position: Mutex::new(position),
            bound: OnceLock::new(),
        }
    }

    /// Applies one change, from the feed or straight from the call that made
    /// it. Returns the sessions that the change ended, also where another
    /// caller applied it first.
    pub async fn apply(&self, change: &KeyChange) -> EndedSessions {
        let closing = self.registry.apply(change);
        self.recent.note(&change.change);
        self.lost.found(change.change.key());
        let cache = self.authenticator.cache();
        let epoch = change.position.epoch;
        match &change.change {
            Change::Created(_) => {}
            Change::Edited(record) => {
                if cache.contains(record.id) {
                    cache.put(record.clone(), epoch).await;
                }
            }
            // Into the cache in any case: its agents retry forever, and
            // are refused with KEY_REVOKED from memory.
            Change::Revoked(record) => cache.put(record.clone(), epoch).await,
            Change::Deleted { key, .. } => cache.forget(*key).await,
        }
        closing
    }

    /// Applies a revoke that no store has taken yet. Returns the key as it is
    /// now, if it is known here, and the sessions that this ended.
    pub async fn revoke_here(&self, key: KeyId) -> (Option<KeyRecord>, EndedSessions) {
        let now = self.registry.clock().now();
        let cached = self.authenticator.cache().record(key).await;
        let Some(mut record) = cached.or_else(|| self.recent.record(key)) else {
            // No key lives longer than that: its expiry is judged by date.
            let keep_until = latest_expiry(now).saturating_add(2 * DAY);
            return (None, self.registry.end_revoked(key, now, keep_until));
        };
        record.revoked_at = record.revoked_at.or(Some(now));
        let change = KeyChange {
            position: Position {
                epoch: self.view.epoch(),
                revision: record.revision,
            },
            change: Change::Revoked(record.clone()),
        };
        (Some(record), self.apply(&change).await)
    }

    /// Follows the feed until `shutdown`. Renews the lease at each turn.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let mut swept_at = Instant::now();
        // The first at once: a start may have taken long.
        let mut at_once = true;
        while !shutdown.is_cancelled() {
            let position = self.position();
            if !at_once {
                tokio::select! {
                    () = self.store.changed(position) => {}
                    () = self.outcomes.pressing() => {}
                    () = tokio::time::sleep(self.interval) => {}
                    () = shutdown.cancelled() => return,
                }
            }
            // A store that hangs must not hold up the stop.
            let turned = tokio::select! {
                turned = self.poll_once() => turned,
                () = shutdown.cancelled() => return,
            };
            match turned {
                Ok(is_behind) => {
                    self.log_recovery();
                    at_once = is_behind;
                }
                Err(error) => {
                    self.metrics.store_failures.inc();
                    self.log_failure(&error);
                    // A store that fails at once must not make this loop spin;
                    // but one wait is enough, the view grows older meanwhile.
                    tokio::select! {
                        () = tokio::time::sleep(self.interval) => {}
                        () = shutdown.cancelled() => return,
                    }
                    at_once = true;
                }
            }
            // While the store is not heard, what a sweep forgets can't be loaded
            // again, and its key could not join.
            let is_heard = self.view.staleness().loads_uncached(self.view.age());
            if is_heard && swept_at.elapsed() >= SWEEP_INTERVAL {
                swept_at = Instant::now();
                for key in self.registry.sweep() {
                    self.authenticator.cache().forget(key).await;
                }
            }
        }
    }

    /// One turn: renew, then apply what is new. Returns whether there is more
    /// to come; only without is the view as fresh as the call.
    async fn poll_once(&self) -> Result<bool, StoreError> {
        let position = self.position();
        let news = self.outcomes.news();
        let sent = Instant::now();
        let feed = self
            .store
            .renew(Heartbeat {
                gateway: self.registry.gateway(),
                position,
                live_sessions: self.registry.live_total() as u64,
                standing: self.standing(),
                outcomes: news.clone(),
            })
            .await?;
        self.outcomes.told(&news);
        self.protection(feed.unprotected.as_deref());
        if follows(position, &feed) {
            for entry in &feed.entries {
                let closing = self.apply(entry).await;
                let (key, revision) = (entry.change.key(), entry.position.revision);
                match &entry.change {
                    Change::Revoked(_) | Change::Deleted { .. } => {
                        self.outcomes.note(key, revision, closing);
                    }
                    Change::Created(_) | Change::Edited(_) => {}
                }
                self.advance(entry.position);
            }
        } else {
            self.resync(feed.position).await?;
        }
        let is_behind = self.position() != feed.position;
        if !is_behind {
            self.view.refreshed(sent);
        }
        Ok(is_behind)
    }

    /// Tells, once a change, whether the store is set up to lose none.
    fn protection(&self, unprotected: Option<&str>) {
        if !self.view.unprotected_by(unprotected) {
            return;
        }
        self.metrics
            .store_unprotected
            .set(i64::from(unprotected.is_some()));
        match unprotected {
            Some(why) => tracing::error!("the store may lose changes: {why}"),
            None => tracing::info!("the store is protected against the loss of changes again"),
        }
    }

    fn log_failure(&self, error: &StoreError) {
        let StoreError::Foreign(_) = error else {
            tracing::warn!(%error, "the feed of key changes can't be read; retrying");
            return;
        };
        // Once: an alarm each second would be ignored.
        if self.view.set_foreign(Some(error.to_string())) {
            self.metrics.store_foreign.set(1);
            tracing::error!(%error, sessions = self.registry.live_total(), "another store answers: its changes are not applied, and keys that are not cached get UNAVAILABLE");
        }
    }

    fn log_recovery(&self) {
        if self.view.set_foreign(None) {
            self.metrics.store_foreign.set(0);
            tracing::info!("the store that this gateway knows, or one in its place, answers again");
        }
    }

    /// This gateway is bound there: from now on its heartbeats say so.
    pub fn bound(&self, bound: Bound) {
        // Set once, at the start.
        let _ = self.bound.set(bound);
    }

    fn standing(&self) -> Standing {
        Standing {
            view_age: self.view.age(),
            bound: self.bound.get().copied(),
            ends_after: self.view.staleness().ends_all_after(),
        }
    }

    fn position(&self) -> Position {
        *self.position.lock()
    }

    fn advance(&self, to: Position) {
        *self.position.lock() = to;
        self.metrics
            .applied_revision
            .set(i64::try_from(to.revision.0).unwrap_or(i64::MAX));
    }
}

/// Whether the feed goes on exactly where `position` stands.
fn follows(position: Position, feed: &Feed) -> bool {
    let mut at = position;
    for entry in &feed.entries {
        if entry.position.epoch != at.epoch || entry.position.revision != at.revision.next() {
            return false;
        }
        at = entry.position;
    }
    if feed.entries.is_empty() {
        feed.position == position
    } else {
        feed.position.epoch == position.epoch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Epoch, Revision, Timestamp};

    fn at(epoch: u128, revision: u64) -> Position {
        Position {
            epoch: Epoch(epoch),
            revision: Revision(revision),
        }
    }

    fn feed(position: Position, entries: &[Position]) -> Feed {
        let entry = |position: &Position| KeyChange {
            position: *position,
            change: Change::Deleted {
                key: "key_0123456789ABCDEF".parse().unwrap(),
                expires_at: Timestamp::from_millis(0),
            },
        };
        Feed {
            position,
            entries: entries.iter().map(entry).collect(),
            unprotected: None,
        }
    }

    #[test]
    fn anything_but_the_next_step_is_a_resync() {
        let here = at(1, 5);
        assert!(follows(here, &feed(at(1, 5), &[])));
        assert!(follows(here, &feed(at(1, 7), &[at(1, 6), at(1, 7)])));
        assert!(follows(here, &feed(at(1, 9), &[at(1, 6)])), "more to come");
        assert!(!follows(here, &feed(at(1, 7), &[at(1, 7)])), "a gap");
        assert!(!follows(here, &feed(at(1, 6), &[])), "ahead, no entries");
        assert!(!follows(here, &feed(at(1, 4), &[])), "behind");
        assert!(!follows(here, &feed(at(2, 5), &[])), "another history");
        assert!(!follows(here, &feed(at(2, 6), &[at(2, 6)])));
    }
}
