//! How changes of keys reach this gateway's gates: the tail of the store's feed.
//!
//! Owns: this gateway's position in the feed and its lease. Must not know: who
//! asked for a change, how a stream is closed.
//! Invariant: the gate is raised first, the cache touched after; the position
//! moves only over changes that are applied.

mod again;
mod damage;
mod deleted_keys;
mod lost_keys;
mod outcomes;
mod recent_changes;
mod reread;
mod resync;
#[cfg(test)]
mod resync_test;
#[cfg(test)]
mod turn_test;
mod unreadable;
mod upkeep;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::gateway::auth::{Authenticator, StaleMode, StoreView};
use crate::gateway::events::Events;
use crate::gateway::registrations::Instances;
use crate::gateway::sessions::{EndedSessions, KnownBy, Registry};
use crate::keys::{KeyId, KeyRecord, Position, latest_expiry};
use crate::metrics::registry::Metrics;
use crate::store::{
    Bound, Change, EventKind, FeedStore, Heartbeat, KeyChange, Standing, StoreError,
};
use damage::Damage;
use deleted_keys::DeletedKeys;
use lost_keys::LostKeys;
use outcomes::Outcomes;
use recent_changes::RecentChanges;
use reread::Reread;
use unreadable::UnreadableKeys;
use upkeep::{Upkeep, UpkeepParts};

/// Keys that were set aside and are read again in one turn.
const SET_ASIDE_AT_ONCE: usize = 200;
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
    unreadable: UnreadableKeys,
    damage: Damage,
    deleted: Arc<DeletedKeys>,
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
    /// Agents and registrations: what is left of deleted keys.
    pub instances: Arc<Instances>,
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
            instances,
            events,
            metrics,
            interval,
            position,
        } = parts;
        registry.follow_history(position.epoch);
        Self {
            outcomes: Outcomes::new(store.clock().clone()),
            recent: RecentChanges::default(),
            lost: LostKeys::new(Arc::clone(&events), Arc::clone(&metrics)),
            unreadable: UnreadableKeys::new(Arc::clone(&events), Arc::clone(&metrics)),
            damage: Damage::default(),
            deleted: Arc::new(DeletedKeys::new(instances)),
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
        self.remember(change).await;
        closing
    }

    /// The same of a revoke or a delete that the store has, and reports what it did
    /// here.
    async fn apply_final(&self, change: &KeyChange) {
        let closing = self.apply(change).await;
        let key = change.change.key();
        self.outcomes.note(key, change.position.revision, closing);
        if let Change::Deleted { .. } = change.change {
            self.deleted.note(key);
        }
    }

    async fn remember(&self, change: &KeyChange) {
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
    }

    /// Applies a revoke that no store has taken yet. Returns the key as it is
    /// now, if it is known here, and the sessions that this ended.
    pub async fn revoke_here(&self, key: KeyId) -> (Option<KeyRecord>, EndedSessions) {
        let now = self.registry.clock().now();
        let cached = self.authenticator.cache().record(key).await;
        let Some(mut record) = cached.or_else(|| self.recent.record(key)) else {
            // No key lives longer than that: its expiry is judged by date.
            let latest = latest_expiry(now).saturating_add(2 * DAY);
            let known = KnownBy::ThisGateway;
            return (None, self.registry.end_revoked(key, now, latest, known));
        };
        record.revoked_at = record.revoked_at.or(Some(now));
        let change = KeyChange {
            position: Position {
                epoch: self.view.epoch(),
                revision: record.revision,
            },
            change: Change::Revoked(record.clone()),
        };
        let closing = self.registry.end(&change.change, KnownBy::ThisGateway);
        self.remember(&change).await;
        (Some(record), closing)
    }

    /// A revoke that was applied here is of no key.
    pub fn no_such_key(&self, key: KeyId) {
        self.registry.no_such_key(key);
        self.lost.found(key);
    }

    /// Follows the feed until `shutdown`. Renews the lease at each turn.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let mut upkeep = Upkeep::new(UpkeepParts {
            store: Arc::clone(&self.store),
            registry: Arc::clone(&self.registry),
            authenticator: Arc::clone(&self.authenticator),
            view: Arc::clone(&self.view),
            deleted: Arc::clone(&self.deleted),
        });
        let mut reread = Reread::default();
        // Not counted anew when a read of a resync ends: heartbeats must go on.
        let mut due = Instant::now();
        // The first at once: a start may have taken long.
        let mut at_once = true;
        while !shutdown.is_cancelled() {
            if !at_once {
                let cursor = reread.cursor().unwrap_or_else(|| self.position());
                tokio::select! {
                    () = self.store.changed(cursor) => {}
                    () = self.outcomes.pressing() => {}
                    () = tokio::time::sleep_until(due) => {}
                    read = reread.next() => {
                        // The heartbeats go on, whatever a read says.
                        at_once = self.took(&mut reread, read);
                        if !at_once {
                            continue;
                        }
                    }
                    () = shutdown.cancelled() => return,
                }
            }
            due = Instant::now() + self.interval;
            // A store that hangs must not hold up the stop.
            let turned = tokio::select! {
                turned = self.turn(&mut reread) => turned,
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
            upkeep.look().await;
        }
    }

    /// A read of the resync ended. Returns whether all are read, and so the view
    /// may be as fresh as the next turn.
    fn took(self: &Arc<Self>, reread: &mut Reread, read: Result<(), StoreError>) -> bool {
        match read {
            Ok(()) => self.fill(reread),
            // Read again from the next turn on, which may know more.
            Err(error) => {
                self.metrics.store_failures.inc();
                tracing::warn!(%error, "known keys can't be read again; retrying");
            }
        }
        let done = reread.finish();
        if let Some(position) = done {
            self.end_resync(position);
        }
        done.is_some()
    }

    /// One turn: renew, then apply what is new. Returns whether there is more
    /// to come; only without, and with no resync under way, is the view as fresh as
    /// the call.
    async fn turn(self: &Arc<Self>, reread: &mut Reread) -> Result<bool, StoreError> {
        let applied = self.position();
        let cursor = reread.cursor().unwrap_or(applied);
        let (news, held_back) = self.outcomes.news();
        // What is not told with it does not count as applied yet.
        let told = held_back.map_or(applied.revision, |left| applied.revision.min(left));
        let sent = self.registry.clock().moment();
        let feed = self
            .store
            .renew(Heartbeat {
                gateway: self.registry.gateway(),
                position: cursor,
                applied: Position {
                    revision: told,
                    ..applied
                },
                live_sessions: self.registry.live_total() as u64,
                standing: self.standing(),
                outcomes: news.clone(),
            })
            .await?;
        self.outcomes.told(&news);
        self.protection(feed.unprotected.as_deref());
        self.damage.tell(&feed.damaged, &self.metrics);
        let target = feed.position;
        if feed.follows(cursor) {
            for entry in &feed.entries {
                match &entry.change {
                    Change::Revoked(_) | Change::Deleted { .. } => self.apply_final(entry).await,
                    Change::Created(_) | Change::Edited(_) => drop(self.apply(entry).await),
                }
                match reread.cursor() {
                    Some(_) => reread.advance(entry.position),
                    None => self.advance(entry.position),
                }
            }
            self.fill(reread);
        } else {
            self.begin_resync(feed, reread).await?;
        }
        if let Some(position) = reread.finish() {
            self.end_resync(position);
        }
        self.read_set_aside(reread, target);
        let at = reread.cursor().unwrap_or_else(|| self.position());
        let is_behind = at != target;
        if !is_behind && reread.cursor().is_none() {
            self.view.refreshed(&sent);
        }
        Ok(is_behind)
    }

    /// Reads keys again that were lost or unreadable, and ends the sessions of those
    /// that were so for too long, where the policy says so.
    fn read_set_aside(self: &Arc<Self>, reread: &mut Reread, target: Position) {
        self.lost.forget_expired(self.registry.clock().now());
        let mut keys = self.unreadable.due(SET_ASIDE_AT_ONCE);
        keys.extend(self.lost.due(SET_ASIDE_AT_ONCE));
        if !keys.is_empty() {
            reread.aside(Arc::clone(self).read_again(keys, target.epoch));
        }
        let staleness = self.view.staleness();
        if staleness.mode == StaleMode::Strict {
            for key in self.unreadable.older_than(staleness.stale_after) {
                let closing = self.registry.end_unread(key);
                if closing.total() > 0 {
                    tracing::error!(%key, sessions = closing.total(), "a key could not be read for too long: its sessions are ended");
                }
            }
        }
    }

    /// Tells, once a change, whether the store is set up to lose none.
    fn protection(&self, unprotected: Option<&str>) {
        if !self.view.unprotected_by(unprotected) {
            return;
        }
        self.metrics
            .store_unprotected
            .set(i64::from(unprotected.is_some()));
        self.tell_condition(unprotected);
        match unprotected {
            Some(why) => tracing::error!("the store needs an operator: {why}"),
            None => tracing::info!("the store is well again"),
        }
    }

    fn log_failure(&self, error: &StoreError) {
        match error {
            // Once: an alarm each second would be ignored.
            StoreError::Foreign(_) => {
                if self.view.set_foreign(Some(error.to_string())) {
                    self.metrics.store_foreign.set(1);
                    tracing::error!(%error, sessions = self.registry.live_total(), "another store answers: its changes are not applied, and keys that are not cached get UNAVAILABLE");
                }
            }
            StoreError::NoWrites(why) => {
                if self.view.set_unwritable(Some(why.clone())) {
                    self.metrics.store_unwritable.set(1);
                    self.tell_condition(Some(why));
                    tracing::error!(%why, "the store takes no writes: a revoke would be pending");
                }
            }
            _ => tracing::warn!(%error, "the feed of key changes can't be read; retrying"),
        }
    }

    fn tell_condition(&self, why: Option<&str>) {
        let (kind, detail) = match why {
            Some(why) => (EventKind::StoreNeedsOperator, why),
            None => (EventKind::StoreWell, ""),
        };
        self.events.note(kind, None, None, detail);
    }

    fn log_recovery(&self) {
        if self.view.set_foreign(None) {
            self.metrics.store_foreign.set(0);
            tracing::info!("the store that this gateway knows, or one in its place, answers again");
        }
        if self.view.set_unwritable(None) {
            self.metrics.store_unwritable.set(0);
            self.tell_condition(None);
            tracing::info!("the store takes writes again");
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
