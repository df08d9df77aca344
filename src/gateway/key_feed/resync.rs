//! Reading all known keys again, because the feed has a gap or the store
//! another history, and what is done about what the store has lost.
//!
//! Must not know: how the feed is followed. Invariant: an end that this gateway
//! knows of is the store's again before the new position is taken, and its gate
//! is ended all the while.

use std::collections::BTreeSet;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::KeyFeedFollower;
use super::recent_changes::is_end;
use crate::gateway::sessions::KeyEnd;
use crate::keys::{Epoch, KeyId, KeyRecord, Position, Timestamp};
use crate::store::{Change, ChangeError, EventKind, KeyChange, Lookup, StoreError};

/// Keys read at once: many share a round trip.
const READS: usize = 64;

impl KeyFeedFollower {
    /// Reads again every key that this gateway knows; then takes the position
    /// that revealed the need.
    pub(super) async fn resync(&self, target: Position) -> Result<(), StoreError> {
        let before = self.position();
        let recent = self.recent.all();
        if target.epoch == before.epoch {
            tracing::warn!(revision = %target.revision, "the feed of key changes has a gap: reading all known keys again");
        } else {
            self.tell_of_new_history(before, target);
        }
        // Before a load of the new history counts: it may have lost these ends.
        for change in recent.iter().filter(|change| is_end(change)) {
            self.registry.apply(&KeyChange {
                position: before,
                change: change.clone(),
            });
        }
        self.view.turn(target.epoch);
        let mut known: BTreeSet<KeyId> = self
            .registry
            .keys()
            .into_iter()
            .chain(self.authenticator.cache().keys())
            .chain(self.lost.all())
            .collect();
        if target.epoch != before.epoch {
            known.extend(recent.iter().map(Change::key));
        }
        let reads = stream::iter(known).map(|key| self.reread(key));
        reads.buffer_unordered(READS).try_collect::<()>().await?;
        self.view.turn(target.epoch);
        self.advance(target);
        Ok(())
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

    async fn reread(&self, key: KeyId) -> Result<(), StoreError> {
        let loaded = self.store.load(key).await?;
        let cache = self.authenticator.cache();
        let stored = match loaded.lookup {
            Lookup::Present(record) => Some(record),
            Lookup::Absent => None,
            Lookup::Deleted => {
                self.registry.end_deleted(key, Timestamp::from_millis(0));
                cache.forget(key).await;
                self.lost.found(key);
                return Ok(());
            }
        };
        let end = self.end_of(key, stored.as_ref()).await;
        match (&stored, end) {
            (_, Some(end)) => self.reassert(end).await?,
            (Some(record), None) => self.take_over(record, loaded.epoch).await,
            (None, None) => {
                self.has_lost(key).await;
                cache.forget(key).await;
            }
        }
        Ok(())
    }

    /// Believes what the store has of a key, also where that is older than what
    /// was known: an edit may be lost.
    async fn take_over(&self, record: &KeyRecord, epoch: Epoch) {
        let key = record.id;
        self.lost.found(key);
        match record.revoked_at {
            Some(at) => {
                let closing = self.registry.end_revoked(key, at, record.expires_at);
                self.outcomes.note(key, record.revision, closing);
            }
            None => {
                let revision = record.revision;
                let position = Position { epoch, revision };
                self.registry.correct(key, position, record.expires_at);
            }
        }
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
        let known = self.lost.contains(key)
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
            self.lost.missing(key);
            cache.forget(key).await;
        }
        known && !is_deleted
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
