//! What a resync does, because the feed has a gap or the store another history:
//! what is read again, and what is done about what the store has lost.
//!
//! Must not know: how many are read at once, how the feed is followed. Invariant: an
//! end that this gateway knows of is the store's again before the new position is
//! taken, and its gate is ended all the while.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use tokio::time::Instant;

use super::KeyFeedFollower;
use super::recent_changes::is_end;
use super::reread::{Read, Reread};
use crate::gateway::sessions::{KeyEnd, KnownBy};
use crate::keys::{Epoch, KeyId, KeyRecord, Position, Revision, Timestamp};
use crate::store::{Change, ChangeError, EventKind, Feed, KeyChange, Lookup, Marker, StoreError};

/// Keys settled at once: where the store lost their ends, each is a write.
const SETTLED_AT_ONCE: usize = 64;

impl KeyFeedFollower {
    /// Begins to read again every key that this gateway knows, those with sessions
    /// first; from the position of `feed`, which revealed the need, the feed is
    /// followed on meanwhile.
    pub(super) async fn begin_resync(
        self: &Arc<Self>,
        feed: Feed,
        reread: &mut Reread,
    ) -> Result<(), StoreError> {
        let before = self.position();
        let target = feed.position;
        // What the feed still has of the time between says more than the rows do:
        // of a deleted key there may be no row any more.
        let told = self.ends_after(before, feed).await?;
        let recent = self.recent.all();
        let is_new_history = target.epoch != before.epoch;
        if is_new_history {
            self.tell_of_new_history(before, target);
            self.registry.doubt_ends();
        } else {
            tracing::warn!(revision = %target.revision, "the feed of key changes has a gap: reading all known keys again");
        }
        // Before a load of the new history counts: it may have lost these ends.
        for change in recent.iter().filter(|change| is_end(change)) {
            self.registry.end(change, KnownBy::ThisGateway);
        }
        self.view.turn(target.epoch);
        self.registry.follow_history(target.epoch);
        for entry in &told {
            self.apply_found(entry).await;
        }
        let in_use = self.registry.keys_in_use();
        let mut others: BTreeSet<KeyId> = self
            .registry
            .keys()
            .into_iter()
            .chain(self.authenticator.cache().keys())
            .chain(self.lost.all())
            .collect();
        if is_new_history {
            others.extend(recent.iter().map(Change::key));
        }
        in_use.iter().for_each(|key| {
            others.remove(key);
        });
        let known = in_use.into_iter().chain(others).collect();
        reread.begin(target, known);
        self.fill(reread);
        Ok(())
    }

    /// Begins as many reads as may be under way.
    pub(super) fn fill(self: &Arc<Self>, reread: &mut Reread) {
        reread.fill(|keys, epoch| Arc::clone(self).read_again(keys, epoch));
    }

    /// The final changes that the feed has after `before`, whatever history they
    /// are of; `feed` has the first of them. What is final is never wrong to apply.
    async fn ends_after(
        &self,
        before: Position,
        mut feed: Feed,
    ) -> Result<Vec<KeyChange>, StoreError> {
        let target = feed.position.revision;
        let mut ends = Vec::new();
        if feed.position.epoch != before.epoch {
            feed = self.store.feed_after(before.revision).await?;
        }
        while let Some(last) = feed.entries.last().map(|entry| entry.position.revision) {
            ends.extend(
                feed.entries
                    .into_iter()
                    .filter(|entry| is_end(&entry.change)),
            );
            if last >= target {
                break;
            }
            feed = self.store.feed_after(last).await?;
        }
        Ok(ends)
    }

    /// The resync has read all.
    pub(super) fn end_resync(&self, position: Position) {
        self.view.turn(position.epoch);
        self.advance(position);
        tracing::info!(revision = %position.revision, "all known keys are read again");
    }

    /// An alarm of its own: after a failover or a restart of the store,
    /// acknowledged changes may be missing. Reported once, however often the resync
    /// has to begin again.
    fn tell_of_new_history(&self, before: Position, target: Position) {
        let (old, new) = (before.epoch, target.epoch);
        if self.view.epoch() == new {
            return;
        }
        tracing::warn!(%old, %new, revision = %before.revision, "the store began a new history (it was restarted, restored or failed over): reading all known keys again");
        let detail = format!("epoch {new} after {old}");
        self.events
            .note(EventKind::StoreNewHistory, None, None, detail);
    }

    /// Reads keys again, and does what follows.
    pub(super) async fn read_again(self: Arc<Self>, keys: Vec<KeyId>, epoch: Epoch) -> Read {
        let loaded = match self.store.load_all(&keys).await {
            Ok(loaded) if loaded.epoch == epoch => loaded,
            other => {
                // The next heartbeat shows another history, too.
                let why = "the store began another history while keys were read again";
                let changed = StoreError::Failed(why.into());
                return Read {
                    left: keys,
                    error: Some(other.err().unwrap_or(changed)),
                };
            }
        };
        let settled = stream::iter(loaded.keys).map(|(key, found)| {
            let this = &self;
            async move { (key, this.settle(key, found, epoch).await) }
        });
        let mut settled = settled.buffer_unordered(SETTLED_AT_ONCE);
        let mut read = Read::default();
        while let Some((key, result)) = settled.next().await {
            if let Err(error) = result {
                read.left.push(key);
                read.error = Some(error);
            }
        }
        read
    }

    /// Does what follows from what the store has of a key, or from that it can't be
    /// read.
    async fn settle(
        &self,
        key: KeyId,
        found: Result<Lookup, StoreError>,
        epoch: Epoch,
    ) -> Result<(), StoreError> {
        let cache = self.authenticator.cache();
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                let heard = Instant::now().checked_sub(self.view.age());
                // Should it have been revoked: those sessions are not closed.
                let standing = self.registry.standing(key);
                if standing.total() > 0 {
                    self.outcomes.note(key, Revision(0), standing);
                }
                self.unreadable
                    .add(key, &error, heard.unwrap_or_else(Instant::now));
                cache.forget(key).await;
                return Ok(());
            }
        };
        self.unreadable.found(key);
        let stored = match found {
            Lookup::Present(record) => Some(record),
            Lookup::Absent => None,
            Lookup::Deleted(marker) => {
                self.take_over_deleted(key, marker, epoch).await;
                return Ok(());
            }
        };
        let end = self.end_of(key, stored.as_ref()).await;
        match (&stored, end) {
            (_, Some(end)) => self.reassert(end).await?,
            (Some(record), None) => self.take_over(record, epoch).await,
            (None, None) => {
                self.has_lost(key).await;
                cache.forget(key).await;
            }
        }
        Ok(())
    }

    /// Applies an end that the store has. What had ended here before was reported
    /// then.
    async fn apply_found(&self, change: &KeyChange) {
        let key = change.change.key();
        let had_ended = self.registry.end_of(key).is_some();
        // A call that made the change applied it, and the feed was to report it.
        if had_ended && self.registry.end(&change.change, KnownBy::Store).total() == 0 {
            self.apply(change).await;
        } else {
            self.apply_final(change).await;
        }
    }

    async fn take_over_deleted(&self, key: KeyId, marker: Marker, epoch: Epoch) {
        let change = Change::Deleted {
            key,
            expires_at: marker.expires_at,
        };
        let revision = marker.revision;
        self.apply_found(&KeyChange {
            position: Position { epoch, revision },
            change,
        })
        .await;
    }

    /// Believes what the store has of a key, also where that is older than what
    /// was known: an edit may be lost.
    async fn take_over(&self, record: &KeyRecord, epoch: Epoch) {
        let (key, revision) = (record.id, record.revision);
        let position = Position { epoch, revision };
        self.lost.found(key);
        if record.revoked_at.is_some() {
            self.apply_found(&KeyChange {
                position,
                change: Change::Revoked(record.clone()),
            })
            .await;
            return;
        }
        self.registry.observe(key, position, record.expires_at);
        let cache = self.authenticator.cache();
        if cache.contains(key) {
            cache.put(record.clone(), epoch).await;
        }
    }

    /// The end of a key that this gateway knows of and the store lacks.
    async fn end_of(&self, key: KeyId, stored: Option<&KeyRecord>) -> Option<Change> {
        let gate = self.registry.end_of(key);
        let recent = self.recent.of(key).filter(is_end);
        let Some(stored) = stored else {
            // Past its expiry it may have been deleted, and the marker be gone.
            let cached = self
                .authenticator
                .cache()
                .record(key)
                .await
                .map(Change::Revoked);
            let ends = recent.into_iter().chain(cached);
            return ends.filter(is_end).find(|end| self.lives(end));
        };
        if let Some((KeyEnd::Deleted, expires_at)) = gate {
            return Some(Change::Deleted { key, expires_at });
        }
        if let Some(Change::Deleted { .. }) = recent {
            return recent;
        }
        if stored.revoked_at.is_some() {
            return None;
        }
        let revoked_at = match (recent, gate) {
            (Some(Change::Created(r) | Change::Edited(r) | Change::Revoked(r)), _) => r.revoked_at,
            (_, Some((KeyEnd::Revoked(at), _))) => Some(at),
            _ => self.authenticator.cache().record(key).await?.revoked_at,
        };
        revoked_at.map(|at| {
            Change::Revoked(KeyRecord {
                revoked_at: Some(at),
                ..stored.clone()
            })
        })
    }

    /// Writes an end again that the store lacks.
    async fn reassert(&self, end: Change) -> Result<(), StoreError> {
        let key = end.key();
        let written = match self.store.reassert(end).await {
            Ok(written) => written,
            Err(ChangeError::Store(error)) => return Err(error),
            // It has gone meanwhile.
            Err(error) => {
                tracing::warn!(%key, %error, "the end of a key that the store lost could not be written again");
                return Ok(());
            }
        };
        if written.is_new {
            self.metrics.reasserted.inc();
            let what = match &written.change.change {
                Change::Deleted { .. } => "delete",
                Change::Created(_) | Change::Edited(_) | Change::Revoked(_) => "revoke",
            };
            tracing::warn!(%key, what, "the store had lost the end of a key; it is written again");
            let detail = format!("the store had lost its {what}");
            self.events
                .note(EventKind::RevokeReasserted, Some(key), None, detail);
        }
        self.apply(&written.change).await;
        Ok(())
    }

    /// Whether a key that the store lacks is one that this gateway knows: then
    /// the store lost it, and no agent is refused as unknown. The one place
    /// where that is decided; the first time it raises the alarm.
    pub async fn has_lost(&self, key: KeyId) -> bool {
        let cache = self.authenticator.cache();
        let now = self.registry.clock().now();
        let known = self.lost.contains(key, now)
            || self.registry.vouches_for(key)
            || self
                .recent
                .of(key)
                .is_some_and(|change| self.lives(&change))
            || cache
                .record(key)
                .await
                .is_some_and(|record| self.is_young(&record));
        let is_deleted = matches!(self.registry.end_of(key), Some((KeyEnd::Deleted, _)));
        if known && !is_deleted {
            let expires_at = self.latest_expiry_of(key).await;
            self.lost.missing(key, expires_at);
            cache.forget(key).await;
        }
        known && !is_deleted
    }

    /// The latest expiry that is known here of a key.
    async fn latest_expiry_of(&self, key: KeyId) -> Timestamp {
        let cached = self.authenticator.cache().record(key).await;
        let records = cached.into_iter().chain(self.recent.record(key));
        let known = records.map(|record| record.expires_at);
        let known = known.chain(self.registry.expiry_of(key)).max();
        known.unwrap_or_else(|| self.registry.clock().now())
    }

    /// Whether a key must be in the store after that change: until it expires,
    /// unless it was deleted.
    fn lives(&self, change: &Change) -> bool {
        match change {
            Change::Created(record) | Change::Edited(record) | Change::Revoked(record) => {
                self.is_young(record)
            }
            Change::Deleted { .. } => false,
        }
    }

    fn is_young(&self, record: &KeyRecord) -> bool {
        record.expires_at > self.registry.clock().now()
    }
}
