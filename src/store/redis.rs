//! The store that several gateways share: one Redis master.
//!
//! Owns: this process's connections and what it knows of the store (its id, the
//! greatest revision seen). Must not know: sessions, gRPC.
//! Invariants: everything is read and written by one script, which checks the
//! store's identity and history in the same atomic step; an answer that does not
//! come in time is an error, and its connection is not used again.

mod adopt;
mod audit;
mod claims;
mod connection;
mod copy;
mod events;
mod gateways;
mod keys;
mod open;
mod presence;
mod registration_feed;
mod registrations;
mod replicas;
mod scan;
mod schema;
mod script;
mod sentinel;
mod sequence;
mod settings;
mod tokens;
mod unscripted;

use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use async_trait::async_trait;
use redis::Cmd;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

pub use adopt::Standing;
pub use copy::{CopyEnd, CopyTarget};
pub use open::{RedisOpenError, RedisOptions};
pub use scan::survey;

use super::audit::{AuditPage, AuditStore, Deed};
use super::claims::ClaimStore;
use super::clock::StoreClock;
use super::events::{AppendOnce, EventPage, EventStore, NewEvent};
use super::gateways::{Enrolled, GatewayId, GatewayInfo, Heartbeat, Outcome};
use super::key_changes::Ask;
use super::keys::{
    Change, ChangeError, Durability, Feed, KeyCursor, KeyEdit, KeyPage, KeyStore, Loaded, NewKey,
    StoreError, Written,
};
use super::registrations::{
    AgentRecord, InstanceBatch, InstanceCursor, InstanceNews, InstanceStore, Registration,
};
use super::tokens::{TokenChangeError, TokenCursor, TokenPage, TokenRecord, TokenStore};
use crate::keys::{Id, KeyId, Position, Revision, Timestamp, TokenId};
use connection::Link;
use replicas::Replicas;
use schema::Schema;
use script::{Answer, Caller, Step};

/// The store of several gateways. Clones share it.
#[derive(Clone)]
pub struct RedisStore {
    shared: Arc<Shared>,
    /// Ends with the last clone.
    _hints: Arc<AbortOnDropHandle<()>>,
}

struct Shared {
    schema: Schema,
    id: Id,
    /// Of this process, at random: tells its entries in the feed of instances.
    writer: Id,
    clock: StoreClock,
    /// For loads of keys, and other reads: many at once.
    loads: Link,
    /// For changes.
    writes: Link,
    /// For the lease and the feed alone: nothing else may hold them up.
    tail: Link,
    replicas: Replicas,
    /// The greatest revision that this process applied or wrote.
    seen: AtomicU64,
    /// The greatest revision that the store has been heard of.
    heard: watch::Sender<Revision>,
    /// Who enrolled through this process, to enrol again when it was forgotten.
    enrolled: Mutex<Vec<(GatewayInfo, Timestamp)>>,
}

/// Times a guarded step is decided anew because others changed the same counter
/// meanwhile. Each time one of them got through, so with fewer writers at once
/// it suffices.
const ATTEMPTS: u32 = 100;

/// Which connection a step goes over.
#[derive(Clone, Copy)]
enum Over {
    Loads,
    Writes,
    Tail,
}

impl Shared {
    async fn take(&self, step: Step, over: Over) -> Result<Answer, StoreError> {
        let caller = Caller {
            schema: &self.schema,
            store_id: &self.id,
            seen: Revision(self.seen.load(Ordering::Relaxed)),
        };
        let link = match over {
            Over::Loads => &self.loads,
            Over::Writes => &self.writes,
            Over::Tail => &self.tail,
        };
        let sent = Instant::now();
        let answer = step.take(&caller, link).await?;
        self.clock.observe(self.shifted(answer.now), sent.elapsed());
        Ok(answer)
    }

    /// Takes a step of one command and returns its reply.
    async fn ask<T: redis::FromRedisValue>(
        &self,
        command: &Cmd,
        over: Over,
    ) -> Result<T, StoreError> {
        self.take(Step::new().run(command), over).await?.reply()
    }

    /// A moment of the server's own clock on the clock that tests may shift.
    fn shifted(&self, server: Timestamp) -> Timestamp {
        Timestamp::from_millis(server.as_millis() + self.clock.shift_millis())
    }

    /// And back.
    fn unshifted(&self, moment: Timestamp) -> Timestamp {
        Timestamp::from_millis(moment.as_millis() - self.clock.shift_millis())
    }

    /// This process applied or wrote that revision.
    fn saw(&self, revision: Revision) {
        self.seen.fetch_max(revision.0, Ordering::Relaxed);
    }

    /// The store is at that revision: wakes who follows the feed.
    fn hear(&self, revision: Revision) {
        self.heard.send_if_modified(|heard| {
            let newer = revision > *heard;
            if newer {
                *heard = revision;
            }
            newer
        });
    }
}

#[async_trait]
impl KeyStore for RedisStore {
    fn clock(&self) -> &StoreClock {
        &self.shared.clock
    }

    async fn load(&self, id: KeyId) -> Result<Loaded, StoreError> {
        keys::load(&self.shared, id).await
    }

    async fn list(&self, after: Option<KeyCursor>, limit: usize) -> Result<KeyPage, StoreError> {
        keys::list(&self.shared, after, limit).await
    }

    async fn changes(&self, after: Position) -> Result<Option<Feed>, StoreError> {
        gateways::changes(&self.shared, after).await
    }

    async fn create(&self, key: NewKey) -> Result<Written, ChangeError> {
        keys::change(&self.shared, Ask::Create(key)).await
    }

    async fn edit(&self, id: KeyId, edit: KeyEdit) -> Result<Written, ChangeError> {
        keys::change(&self.shared, Ask::Edit(id, edit)).await
    }

    async fn revoke(&self, id: KeyId) -> Result<Written, ChangeError> {
        keys::change(&self.shared, Ask::Revoke(id)).await
    }

    async fn delete(&self, id: KeyId) -> Result<Written, ChangeError> {
        keys::change(&self.shared, Ask::Delete(id)).await
    }

    async fn settle(&self, written: &Written) -> Durability {
        let Shared {
            replicas, writes, ..
        } = &*self.shared;
        replicas.settle(writes, written.receipt).await
    }

    async fn reassert(&self, end: Change) -> Result<Written, ChangeError> {
        keys::change(&self.shared, Ask::Reassert(end)).await
    }

    async fn enrol(&self, gateway: GatewayInfo) -> Result<Position, StoreError> {
        gateways::enrol(&self.shared, gateway).await
    }

    async fn renew(&self, heartbeat: Heartbeat) -> Result<Feed, StoreError> {
        gateways::renew(&self.shared, heartbeat).await
    }

    async fn changed(&self, after: Position) {
        let mut heard = self.shared.heard.subscribe();
        // The sender lives as long as this store, so this can't fail.
        let _ = heard.wait_for(|now| *now > after.revision).await;
    }

    async fn gateways(&self) -> Result<(Vec<Enrolled>, Position), StoreError> {
        gateways::all(&self.shared).await
    }

    async fn outcomes(&self, key: KeyId) -> Result<Vec<(GatewayId, Outcome)>, StoreError> {
        gateways::outcomes(&self.shared, key).await
    }

    async fn leave(&self, gateway: GatewayId) -> Result<(), StoreError> {
        gateways::leave(&self.shared, gateway).await
    }
}

#[async_trait]
impl TokenStore for RedisStore {
    async fn token(&self, id: TokenId) -> Result<Option<TokenRecord>, StoreError> {
        tokens::load(&self.shared, id).await
    }

    async fn put_token(&self, token: TokenRecord) -> Result<(), StoreError> {
        tokens::put(&self.shared, &token).await
    }

    async fn tokens(
        &self,
        after: Option<TokenCursor>,
        limit: usize,
    ) -> Result<TokenPage, StoreError> {
        tokens::list(&self.shared, after, limit).await
    }

    async fn revoke_token(&self, id: TokenId) -> Result<TokenRecord, TokenChangeError> {
        tokens::revoke(&self.shared, id).await
    }
}

#[async_trait]
impl InstanceStore for RedisStore {
    async fn registrations(
        &self,
        after: Option<(KeyId, Uuid)>,
        limit: usize,
    ) -> Result<Vec<Registration>, StoreError> {
        registrations::registrations(&self.shared, after, limit).await
    }

    async fn agents(
        &self,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<AgentRecord>, StoreError> {
        registrations::agents(&self.shared, after, limit).await
    }

    async fn key_uses(
        &self,
        after: Option<KeyId>,
        limit: usize,
    ) -> Result<Vec<(KeyId, Timestamp)>, StoreError> {
        registrations::key_uses(&self.shared, after, limit).await
    }

    async fn save_instances(&self, batch: InstanceBatch) -> Result<Vec<Uuid>, StoreError> {
        registrations::save(&self.shared, &batch).await
    }

    async fn forget_registrations(&self, key: KeyId) -> Result<(), StoreError> {
        registrations::forget(&self.shared, key).await
    }

    async fn news(
        &self,
        after: Option<InstanceCursor>,
    ) -> Result<Option<InstanceNews>, StoreError> {
        registration_feed::news(&self.shared, after).await.map(Some)
    }
}

#[async_trait]
impl ClaimStore for RedisStore {
    async fn claim(&self, name: &str, value: &str) -> Result<String, StoreError> {
        claims::take(&self.shared, name, value).await
    }
}

#[async_trait]
impl EventStore for RedisStore {
    async fn append_events(
        &self,
        events: Vec<NewEvent>,
        once: AppendOnce,
        keep: u64,
    ) -> Result<bool, StoreError> {
        events::append(&self.shared, &events, &once, keep).await
    }

    async fn events_after(&self, after: u64, limit: usize) -> Result<EventPage, StoreError> {
        events::after(&self.shared, after, limit).await
    }

    async fn expiries_until(&self) -> Result<Option<Timestamp>, StoreError> {
        events::expiries_until(&self.shared).await
    }
}

#[async_trait]
impl AuditStore for RedisStore {
    async fn append_audit(
        &self,
        deeds: Vec<Deed>,
        writer: Id,
        number: u64,
    ) -> Result<bool, StoreError> {
        audit::append(&self.shared, &deeds, writer, number).await
    }

    async fn audit_before(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> Result<AuditPage, StoreError> {
        audit::before(&self.shared, before, limit).await
    }

    async fn trim_audit(&self, before: Timestamp, keep: u64) -> Result<(), StoreError> {
        audit::trim(&self.shared, before, keep).await
    }
}
