//! How changes of keys reach this gateway's gates: the tail of the store's feed.
//!
//! Owns: this gateway's position in the feed and its lease. Must not know: who
//! asked for a change, how a stream is closed.
//! Invariant: the gate is raised first, the cache touched after; the position
//! moves only over changes that are applied.

mod outcomes;
#[cfg(test)]
mod turn_test;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use outcomes::Outcomes;

use crate::auth::{Authenticator, View};
use crate::keys::{KeyId, Position, Timestamp};
use crate::sessions::{Closing, Registry};
use crate::store::{Change, Feed, Heartbeat, KeyChange, KeyStore, Lookup, StoreError};
use crate::telemetry::Metrics;

/// Between two sweeps of spent gates; each looks at every gate.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);

/// Applies changes of keys to this gateway.
pub struct Revocations {
    store: Arc<dyn KeyStore>,
    registry: Arc<Registry>,
    authenticator: Arc<Authenticator>,
    view: Arc<View>,
    metrics: Arc<Metrics>,
    interval: Duration,
    position: Mutex<Position>,
    outcomes: Outcomes,
}

impl Revocations {
    /// For a gateway that enrolled at `position`; the lease is renewed at least
    /// once every `interval`.
    pub fn new(
        store: Arc<dyn KeyStore>,
        registry: Arc<Registry>,
        authenticator: Arc<Authenticator>,
        view: Arc<View>,
        metrics: Arc<Metrics>,
        interval: Duration,
        position: Position,
    ) -> Self {
        Self {
            outcomes: Outcomes::new(store.clock().clone()),
            store,
            registry,
            authenticator,
            view,
            metrics,
            interval,
            position: Mutex::new(position),
        }
    }

    /// Applies one change, from the feed or straight from the door that made
    /// it. Returns the sessions that the change ended, by whomever it was
    /// applied first.
    pub async fn apply(&self, change: &KeyChange) -> Closing {
        let closing = self.registry.apply(change);
        let cache = self.authenticator.cache();
        let epoch = change.position.epoch;
        match &change.change {
            Change::Created(_) => {}
            Change::Edited(record) => {
                if cache.contains(record.id) {
                    cache.put(record.clone(), epoch).await;
                }
            }
            // Into the cache in any case: its agents will knock for ever, and
            // are told KEY_REVOKED from memory.
            Change::Revoked(record) => cache.put(record.clone(), epoch).await,
            Change::Deleted { key, .. } => cache.forget(*key).await,
        }
        closing
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
                turned = self.turn() => turned,
                () = shutdown.cancelled() => return,
            };
            match turned {
                Ok(is_behind) => at_once = is_behind,
                Err(error) => {
                    self.metrics.store_failures.inc();
                    tracing::warn!(%error, "the feed of key changes can't be read; trying again");
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
    async fn turn(&self) -> Result<bool, StoreError> {
        let position = self.position();
        let news = self.outcomes.news();
        let sent = Instant::now();
        let feed = self
            .store
            .renew(Heartbeat {
                gateway: self.registry.gateway(),
                position,
                live_sessions: self.registry.live_total() as u64,
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
            None => tracing::info!("the store is set up to lose no change without need"),
        }
    }

    /// Reads again every key that this gateway knows, because the feed has a
    /// gap or another history; then takes the position that revealed it.
    async fn resync(&self, target: Position) -> Result<(), StoreError> {
        tracing::warn!(epoch = %target.epoch, revision = %target.revision, "reading all known keys again");
        self.view.turn(target.epoch);
        let known: BTreeSet<KeyId> = self
            .registry
            .keys()
            .into_iter()
            .chain(self.authenticator.cache().keys())
            .collect();
        for key in known {
            self.reread(key).await?;
        }
        self.view.turn(target.epoch);
        self.advance(target);
        Ok(())
    }

    async fn reread(&self, key: KeyId) -> Result<(), StoreError> {
        let loaded = self.store.load(key).await?;
        let cache = self.authenticator.cache();
        match loaded.lookup {
            Lookup::Present(record) => {
                let position = Position {
                    epoch: loaded.epoch,
                    revision: record.revision,
                };
                match record.revoked_at {
                    Some(at) => {
                        let closing = self.registry.end_revoked(key, at, record.expires_at);
                        self.outcomes.note(key, record.revision, closing);
                    }
                    None => self.registry.correct(key, position, record.expires_at),
                }
                if cache.contains(key) {
                    cache.put(record, loaded.epoch).await;
                }
            }
            Lookup::Deleted => {
                self.registry.end_deleted(key, Timestamp::from_millis(0));
                cache.forget(key).await;
            }
            Lookup::Absent => {
                cache.forget(key).await;
                if self.registry.vouches_for(key) {
                    self.metrics.store_corrupt.inc();
                    tracing::error!(%key, "the store lost a key that this gateway knows: its sessions are kept, new ones get UNAVAILABLE; restore the store from a backup");
                }
            }
        }
        Ok(())
    }

    fn position(&self) -> Position {
        *self.position.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn advance(&self, to: Position) {
        *self.position.lock().unwrap_or_else(PoisonError::into_inner) = to;
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
    use crate::keys::{Epoch, Revision};

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
