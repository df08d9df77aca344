//! The embedded store: one redb file, or its in-memory twin for tests.
//!
//! Owns: the file, its lock, the set of gateways (here: the one process that
//! holds the lock). Must not know: sessions, gRPC.
//! Invariant: a change is on the disk (fsync) before its call returns.

mod audit;
mod claims;
mod events;
mod keys;
mod open;
mod presence;
mod registrations;
mod scan;
mod sequence;
mod settings;
mod tokens;
mod tombstones;

use parking_lot::Mutex;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use redb::{Database, ReadableDatabase};
use tokio::sync::watch;
use uuid::Uuid;

pub use open::OpenError;
pub use scan::{Held, hold, survey};

use super::audit::{AuditPage, AuditStore, Deed};
use super::claims::ClaimStore;
use super::clock::StoreClock;
use super::events::{AppendOnce, EventPage, EventStore, NewEvent};
use super::gateways::{Enrolled, GatewayId, GatewayInfo, Heartbeat, Outcome, Standing};
use super::key_changes::Ask;
use super::keys::{
    Change, ChangeError, Feed, KeyCursor, KeyEdit, KeyPage, KeyStore, Loaded, NewKey, StoreError,
    Written,
};
use super::registrations::{
    AgentRecord, InstanceBatch, InstanceCursor, InstanceNews, InstanceStore, Registration,
};
use super::tokens::{TokenChangeError, TokenCursor, TokenPage, TokenRecord, TokenStore};
use crate::keys::{Epoch, Id, KeyId, Position, Revision, Timestamp, TokenId};

/// Outcomes of final changes kept in memory.
const OUTCOMES_KEPT: usize = 10_000;

/// The store of one gateway. Clones share it.
#[derive(Clone)]
pub struct EmbeddedStore {
    shared: Arc<Shared>,
}

struct Shared {
    database: Database,
    epoch: Epoch,
    clock: StoreClock,
    revision: watch::Sender<Revision>,
    /// Not in the file: the file's lock proves that no other process follows
    /// the feed, so whoever was enrolled before this start is gone.
    enrolled: Mutex<Vec<Enrolled>>,
    /// The newest last, one for a key and gateway; not in the file, either.
    outcomes: Mutex<VecDeque<(GatewayId, Outcome)>>,
}

impl EmbeddedStore {
    /// Opens the store file, or makes it when there is none.
    ///
    /// # Errors
    /// [`OpenError`] when the file is not ours, is of a newer format, is in use
    /// or can't be read; it is left as it was.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let (database, identity) = open::open(path)?;
        Ok(Self::new(database, identity))
    }

    /// A store that is gone when the last clone is dropped.
    ///
    /// # Errors
    /// [`OpenError`] when the random numbers for its identity can't be had.
    pub fn in_memory() -> Result<Self, OpenError> {
        let (database, identity) = open::in_memory()?;
        Ok(Self::new(database, identity))
    }

    fn new(database: Database, identity: open::Identity) -> Self {
        Self {
            shared: Arc::new(Shared {
                database,
                epoch: identity.epoch,
                clock: StoreClock::default(),
                revision: watch::Sender::new(identity.revision),
                enrolled: Mutex::new(Vec::new()),
                outcomes: Mutex::default(),
            }),
        }
    }

    /// Runs a read where blocking is allowed.
    async fn read<T: Send + 'static>(
        &self,
        step: impl FnOnce(&redb::ReadTransaction) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || step(&shared.database.begin_read().map_err(failed)?)).await
    }

    /// Runs one atomic, durable write of anything but keys.
    async fn put(
        &self,
        step: impl FnOnce(&redb::WriteTransaction) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<(), StoreError> {
        self.put_if(move |t| step(t).map(|()| ((), true))).await
    }

    /// The same, unless the step says that nothing had to be written.
    async fn put_if<T, E>(
        &self,
        step: impl FnOnce(&redb::WriteTransaction) -> Result<(T, bool), E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        blocking(move || {
            let transaction = keys::begin(&shared.database)?;
            let (result, written) = step(&transaction)?;
            if written {
                transaction.commit().map_err(failed)?;
            }
            Ok(result)
        })
        .await
    }

    /// Runs one atomic, durable change of a key and tells those who wait.
    async fn write(&self, ask: Ask) -> Result<Written, ChangeError> {
        let shared = Arc::clone(&self.shared);
        let (change, is_new) = blocking(move || {
            let transaction = keys::begin(&shared.database)?;
            let outcome = {
                let mut key_step =
                    keys::KeyStep::open(&transaction, shared.epoch, shared.clock.now())?;
                key_step.take(ask)?
            };
            match outcome {
                // Nothing to write: the transaction is dropped, which undoes it.
                keys::Outcome::Already(change) => Ok((change, false)),
                keys::Outcome::Changed(change) => {
                    transaction.commit().map_err(failed)?;
                    shared.revision.send_replace(change.position.revision);
                    Ok::<_, ChangeError>((change, true))
                }
            }
        })
        .await?;
        Ok(Written {
            change,
            is_new,
            enrolled: self.shared.enrolled.lock().clone(),
            receipt: 0,
        })
    }

    fn note(&self, gateway: GatewayId, new: &[Outcome]) {
        if new.is_empty() {
            return;
        }
        let mut outcomes = self.shared.outcomes.lock();
        outcomes.retain(|(of, old)| *of != gateway || new.iter().all(|new| new.key != old.key));
        outcomes.extend(new.iter().map(|new| (gateway, *new)));
        let excess = outcomes.len().saturating_sub(OUTCOMES_KEPT);
        outcomes.drain(..excess);
    }
}

#[async_trait]
impl KeyStore for EmbeddedStore {
    fn clock(&self) -> &StoreClock {
        &self.shared.clock
    }

    async fn load(&self, id: KeyId) -> Result<Loaded, StoreError> {
        let epoch = self.shared.epoch;
        let (lookup, had_keys) = self.read(move |t| keys::load(t, id)).await?;
        Ok(Loaded {
            epoch,
            lookup,
            had_keys,
        })
    }

    async fn list(&self, after: Option<KeyCursor>, limit: usize) -> Result<KeyPage, StoreError> {
        self.read(move |t| keys::list(t, after, limit)).await
    }

    async fn changes(&self, after: Position) -> Result<Option<Feed>, StoreError> {
        let epoch = self.shared.epoch;
        if after.epoch != epoch {
            return Ok(None);
        }
        let feed = self.read(move |t| keys::feed_after(t, epoch, after.revision));
        Ok(Some(feed.await?).filter(|feed| feed.follows(after)))
    }

    async fn create(&self, key: NewKey) -> Result<Written, ChangeError> {
        self.write(Ask::Create(key)).await
    }

    async fn edit(&self, id: KeyId, edit: KeyEdit) -> Result<Written, ChangeError> {
        self.write(Ask::Edit(id, edit)).await
    }

    async fn revoke(&self, id: KeyId) -> Result<Written, ChangeError> {
        self.write(Ask::Revoke(id)).await
    }

    async fn delete(&self, id: KeyId) -> Result<Written, ChangeError> {
        self.write(Ask::Delete(id)).await
    }

    async fn reassert(&self, end: Change) -> Result<Written, ChangeError> {
        self.write(Ask::Reassert(end)).await
    }

    async fn enrol(&self, gateway: GatewayInfo) -> Result<Position, StoreError> {
        let now = self.shared.clock.now();
        let revision = *self.shared.revision.borrow();
        let mut enrolled = self.shared.enrolled.lock();
        enrolled.retain(|other| other.info.id != gateway.id);
        enrolled.push(Enrolled {
            info: gateway,
            enrolled_at: now,
            last_heartbeat: now,
            applied: revision,
            live_sessions: 0,
            standing: Standing::default(),
        });
        enrolled.sort_by_key(|gateway| gateway.info.id);
        Ok(Position {
            epoch: self.shared.epoch,
            revision,
        })
    }

    async fn renew(&self, heartbeat: Heartbeat) -> Result<Feed, StoreError> {
        let after = heartbeat.position.revision;
        let epoch = self.shared.epoch;
        let feed = self
            .read(move |t| keys::feed_after(t, epoch, after))
            .await?;
        self.note(heartbeat.gateway, &heartbeat.outcomes);
        let now = self.shared.clock.now();
        let mut enrolled = self.shared.enrolled.lock();
        if let Some(own) = enrolled.iter_mut().find(|g| g.info.id == heartbeat.gateway) {
            own.last_heartbeat = now;
            own.applied = heartbeat.position.revision;
            own.live_sessions = heartbeat.live_sessions;
            own.standing = heartbeat.standing;
        }
        Ok(feed)
    }

    async fn changed(&self, after: Position) {
        let mut revision = self.shared.revision.subscribe();
        // The sender lives as long as this store, so this can't fail.
        let _ = revision.wait_for(|now| *now > after.revision).await;
    }

    async fn gateways(&self) -> Result<(Vec<Enrolled>, Position), StoreError> {
        let position = Position {
            epoch: self.shared.epoch,
            revision: *self.shared.revision.borrow(),
        };
        Ok((self.shared.enrolled.lock().clone(), position))
    }

    async fn outcomes(&self, key: KeyId) -> Result<Vec<(GatewayId, Outcome)>, StoreError> {
        let outcomes = self.shared.outcomes.lock();
        let of_key = outcomes.iter().filter(|(_, outcome)| outcome.key == key);
        let mut of_key: Vec<_> = of_key.copied().collect();
        of_key.sort_by_key(|(gateway, _)| *gateway);
        Ok(of_key)
    }

    async fn leave(&self, gateway: GatewayId) -> Result<(), StoreError> {
        self.shared
            .enrolled
            .lock()
            .retain(|other| other.info.id != gateway);
        Ok(())
    }
}

#[async_trait]
impl TokenStore for EmbeddedStore {
    async fn token(&self, id: TokenId) -> Result<Option<TokenRecord>, StoreError> {
        self.read(move |t| tokens::load(t, id)).await
    }

    async fn put_token(&self, token: TokenRecord) -> Result<(), StoreError> {
        self.put(move |t| tokens::put(t, &token)).await
    }

    async fn tokens(
        &self,
        after: Option<TokenCursor>,
        limit: usize,
    ) -> Result<TokenPage, StoreError> {
        self.read(move |t| tokens::list(t, after, limit)).await
    }

    async fn revoke_token(&self, id: TokenId) -> Result<TokenRecord, TokenChangeError> {
        let clock = self.shared.clock.clone();
        self.put_if(move |t| tokens::revoke(t, id, clock.now()))
            .await
    }
}

#[async_trait]
impl InstanceStore for EmbeddedStore {
    async fn registrations(
        &self,
        after: Option<(KeyId, Uuid)>,
        limit: usize,
    ) -> Result<Vec<Registration>, StoreError> {
        self.read(move |t| registrations::registrations(t, after, limit))
            .await
    }

    async fn agents(
        &self,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<AgentRecord>, StoreError> {
        self.read(move |t| registrations::agents(t, after, limit))
            .await
    }

    async fn key_uses(
        &self,
        after: Option<KeyId>,
        limit: usize,
    ) -> Result<Vec<(KeyId, Timestamp)>, StoreError> {
        self.read(move |t| registrations::key_uses(t, after, limit))
            .await
    }

    async fn save_instances(&self, batch: InstanceBatch) -> Result<Vec<Uuid>, StoreError> {
        self.put_if(move |t| registrations::save(t, &batch).map(|gone| (gone, true)))
            .await
    }

    async fn forget_registrations(&self, key: KeyId) -> Result<(), StoreError> {
        self.put(move |t| registrations::forget(t, key)).await
    }

    async fn news(
        &self,
        _after: Option<InstanceCursor>,
    ) -> Result<Option<InstanceNews>, StoreError> {
        Ok(None)
    }
}

#[async_trait]
impl ClaimStore for EmbeddedStore {
    async fn claim(&self, name: &str, value: &str) -> Result<String, StoreError> {
        let (name, value) = (name.to_owned(), value.to_owned());
        self.put_if(move |t| claims::take(t, &name, &value)).await
    }
}

#[async_trait]
impl EventStore for EmbeddedStore {
    async fn append_events(
        &self,
        events: Vec<NewEvent>,
        once: AppendOnce,
        keep: u64,
    ) -> Result<bool, StoreError> {
        self.put_if(move |t| events::append(t, events, once, keep).map(|done| (done, done)))
            .await
    }

    async fn events_after(&self, after: u64, limit: usize) -> Result<EventPage, StoreError> {
        let epoch = self.shared.epoch;
        self.read(move |t| events::after(t, epoch, after, limit))
            .await
    }

    async fn expiries_until(&self) -> Result<Option<Timestamp>, StoreError> {
        self.read(|transaction| {
            let meta = transaction.open_table(open::META).map_err(failed)?;
            events::expiries_until(&meta)
        })
        .await
    }
}

#[async_trait]
impl AuditStore for EmbeddedStore {
    async fn append_audit(
        &self,
        deeds: Vec<Deed>,
        writer: Id,
        number: u64,
    ) -> Result<bool, StoreError> {
        let clock = self.shared.clock.clone();
        self.put_if(move |t| {
            let appended = audit::append(t, deeds, writer, number, clock.now())?;
            Ok((appended, appended))
        })
        .await
    }

    async fn audit_before(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> Result<AuditPage, StoreError> {
        self.read(move |t| audit::before(t, before, limit)).await
    }

    async fn trim_audit(&self, before: Timestamp, keep: u64) -> Result<(), StoreError> {
        self.put_if(move |t| audit::trim(t, before, keep).map(|()| ((), true)))
            .await
    }
}

fn failed(error: impl std::fmt::Display) -> StoreError {
    StoreError::Failed(error.to_string())
}

/// Runs file work off the async threads; a lost worker counts as a failed store.
async fn blocking<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, E>
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(lost) => Err(failed(lost).into()),
    }
}
