//! A real store with faults on demand: loads and saves that park, calls that
//! fail.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use muster::keys::{Id, KeyId, Position, Revision, Timestamp, TokenId};
use muster::store::embedded::EmbeddedStore;
use muster::store::{
    AgentRecord, AppendOnce, AuditEntry, AuditPage, AuditStore, Change, ChangeError, ClaimStore,
    Enrolled, EventPage, EventStore, Feed, GatewayId, GatewayInfo, GatewayStore, Heartbeat,
    InstanceBatch, InstanceCursor, InstanceNews, InstanceStore, KeyCursor, KeyEdit, KeyPage,
    KeyStore, Loaded, LoadedKeys, NewEvent, NewKey, PresenceList, PresenceStore, PresenceUpdate,
    PublishedList, Reach, Registration, SettingStore, Store, StoreClock, StoreError,
    TokenChangeError, TokenCursor, TokenPage, TokenRecord, TokenStore, Written,
};
use tokio::sync::{oneshot, watch};
use uuid::Uuid;

use super::bug::{self, Bug, Planted};
use super::within;

pub struct FaultyStore<S = EmbeddedStore> {
    /// Without the faults.
    pub inner: S,
    /// A mistake of the gateway's own.
    pub planted: Planted,
    failing: AtomicBool,
    /// Keys whose row can't be read, and why.
    broken: Mutex<HashMap<KeyId, StoreError>>,
    /// The next feed with something in it has a gap instead.
    gap: AtomicBool,
    /// Whether heartbeats are answered; while not, they hang.
    answering: watch::Sender<bool>,
    /// The next load reads, then reports here and waits.
    park: Mutex<Option<Park>>,
    /// The next save of instances reports here and waits, then writes or fails.
    park_save: Mutex<Option<Park>>,
}

struct Park {
    parked: oneshot::Sender<()>,
    release: oneshot::Receiver<()>,
}

impl Park {
    fn new() -> (Self, Parked) {
        let (parked_tx, parked) = oneshot::channel();
        let (release, release_rx) = oneshot::channel();
        let park = Self {
            parked: parked_tx,
            release: release_rx,
        };
        (park, Parked { parked, release })
    }

    async fn wait(self) {
        self.parked.send(()).unwrap();
        self.release.await.unwrap();
    }
}

/// A load that has read its record and not yet returned it, or a save that has
/// not yet written.
pub struct Parked {
    parked: oneshot::Receiver<()>,
    release: oneshot::Sender<()>,
}

impl Parked {
    /// Waits until it stands.
    pub async fn reached(&mut self) {
        within("the parked call", &mut self.parked).await.unwrap();
    }

    pub fn release(self) {
        self.release.send(()).unwrap();
    }
}

impl FaultyStore {
    pub fn new() -> Self {
        Self::over(EmbeddedStore::in_memory().unwrap())
    }
}

impl<S: Store> FaultyStore<S> {
    pub fn over(inner: S) -> Self {
        Self {
            inner,
            planted: Planted::default(),
            failing: AtomicBool::new(false),
            broken: Mutex::default(),
            gap: AtomicBool::new(false),
            answering: watch::Sender::new(true),
            park: Mutex::new(None),
            park_save: Mutex::new(None),
        }
    }

    /// From now on every call fails, or none does.
    pub fn set_failing(&self, failing: bool) {
        self.failing.store(failing, Ordering::SeqCst);
    }

    /// From now on heartbeats, and the feed with them, hang or are answered; all
    /// else works.
    pub fn set_deaf(&self, deaf: bool) {
        self.answering.send_replace(!deaf);
    }

    /// From now on a key's row can't be read, or (`None`) it can.
    pub fn set_broken(&self, key: KeyId, why: Option<StoreError>) {
        let mut broken = self.broken.lock().unwrap();
        match why {
            Some(why) => broken.insert(key, why),
            None => broken.remove(&key),
        };
    }

    /// The next feed that has something has a gap in its place.
    pub fn lose_next_feed(&self) {
        self.gap.store(true, Ordering::SeqCst);
    }

    fn is_broken(&self, key: KeyId) -> Option<StoreError> {
        self.broken.lock().unwrap().get(&key).cloned()
    }

    pub fn park_next_load(&self) -> Parked {
        let (park, parked) = Park::new();
        *self.park.lock().unwrap() = Some(park);
        parked
    }

    pub fn park_next_save(&self) -> Parked {
        let (park, parked) = Park::new();
        *self.park_save.lock().unwrap() = Some(park);
        parked
    }

    fn up(&self) -> Result<(), StoreError> {
        if self.failing.load(Ordering::SeqCst) {
            Err(StoreError::Failed("a fault of the test's making".into()))
        } else {
            Ok(())
        }
    }
}

#[async_trait]
impl<S: Store> KeyStore for FaultyStore<S> {
    fn clock(&self) -> &StoreClock {
        self.inner.clock()
    }

    async fn load(&self, id: KeyId) -> Result<Loaded, StoreError> {
        self.up()?;
        if let Some(why) = self.is_broken(id) {
            return Err(why);
        }
        let mut loaded = self.inner.load(id).await;
        if let Ok(loaded) = &mut loaded {
            loaded.epoch = self.planted.epoch(loaded.epoch);
        }
        let park = self.park.lock().unwrap().take();
        if let Some(park) = park {
            park.wait().await;
        }
        loaded
    }

    async fn list(&self, after: Option<KeyCursor>, limit: usize) -> Result<KeyPage, StoreError> {
        self.up()?;
        self.inner.list(after, limit).await
    }

    async fn load_all(&self, ids: &[KeyId]) -> Result<LoadedKeys, StoreError> {
        self.up()?;
        let mut loaded = self.inner.load_all(ids).await?;
        loaded.epoch = self.planted.epoch(loaded.epoch);
        for (key, found) in &mut loaded.keys {
            if let Some(why) = self.is_broken(*key) {
                if self.planted.is(Bug::OneBadRowIsAll) {
                    return Err(why);
                }
                *found = Err(why);
            }
        }
        Ok(loaded)
    }

    async fn feed_after(&self, after: Revision) -> Result<Feed, StoreError> {
        self.up()?;
        self.inner.feed_after(after).await
    }

    async fn remove_spent_markers(&self) -> Result<u64, StoreError> {
        self.up()?;
        self.inner.remove_spent_markers().await
    }

    async fn create(&self, key: NewKey) -> Result<Written, ChangeError> {
        self.up()?;
        self.inner.create(key).await
    }

    async fn edit(&self, id: KeyId, edit: KeyEdit) -> Result<Written, ChangeError> {
        self.up()?;
        self.inner.edit(id, edit).await
    }

    async fn revoke(&self, id: KeyId) -> Result<Written, ChangeError> {
        let revoked = match self.up() {
            Ok(()) => self.inner.revoke(id).await,
            Err(error) => Err(error.into()),
        };
        match revoked {
            Err(ChangeError::Store(_)) if self.planted.is(Bug::SwallowedTimeouts) => {
                bug::pretended(&self.inner, id).await
            }
            revoked => revoked,
        }
    }

    async fn delete(&self, id: KeyId) -> Result<Written, ChangeError> {
        self.up()?;
        self.inner.delete(id).await
    }

    async fn reassert(&self, end: Change) -> Result<Written, ChangeError> {
        self.up()?;
        self.inner.reassert(end).await
    }
}

#[async_trait]
impl<S: Store> GatewayStore for FaultyStore<S> {
    async fn enrol(&self, gateway: GatewayInfo) -> Result<Position, StoreError> {
        self.up()?;
        let position = self.inner.enrol(gateway).await?;
        // The first history is that of the start.
        self.planted.epoch(position.epoch);
        Ok(position)
    }

    async fn renew(&self, heartbeat: Heartbeat) -> Result<Feed, StoreError> {
        self.up()?;
        let mut answering = self.answering.subscribe();
        answering.wait_for(|answering| *answering).await.unwrap();
        let position = heartbeat.position;
        let mut feed = self.inner.renew(heartbeat).await?;
        if !feed.entries.is_empty() && self.gap.swap(false, Ordering::SeqCst) {
            feed.entries.clear();
        }
        Ok(self.planted.feed(feed, position))
    }

    async fn changed(&self, after: Position) {
        self.inner.changed(after).await;
    }

    async fn gateways(&self) -> Result<(Vec<Enrolled>, Position), StoreError> {
        self.up()?;
        self.inner.gateways().await
    }

    async fn reach(&self, key: KeyId) -> Result<Reach, StoreError> {
        self.up()?;
        self.inner.reach(key).await
    }

    async fn leave(&self, gateway: GatewayId) -> Result<(), StoreError> {
        self.inner.leave(gateway).await
    }
}

#[async_trait]
impl<S: Store> InstanceStore for FaultyStore<S> {
    async fn registrations(
        &self,
        after: Option<(KeyId, Uuid)>,
        limit: usize,
    ) -> Result<Vec<Registration>, StoreError> {
        self.up()?;
        self.inner.registrations(after, limit).await
    }

    async fn agents(
        &self,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<AgentRecord>, StoreError> {
        self.up()?;
        self.inner.agents(after, limit).await
    }

    async fn key_uses(
        &self,
        after: Option<KeyId>,
        limit: usize,
    ) -> Result<Vec<(KeyId, Timestamp)>, StoreError> {
        self.up()?;
        self.inner.key_uses(after, limit).await
    }

    async fn save_instances(&self, batch: InstanceBatch) -> Result<Vec<Uuid>, StoreError> {
        let park = self.park_save.lock().unwrap().take();
        if let Some(park) = park {
            park.wait().await;
        }
        self.up()?;
        self.inner.save_instances(batch).await
    }

    async fn forget_registrations(&self, key: KeyId) -> Result<(), StoreError> {
        self.up()?;
        self.inner.forget_registrations(key).await
    }

    async fn news(
        &self,
        after: Option<InstanceCursor>,
    ) -> Result<Option<InstanceNews>, StoreError> {
        self.up()?;
        self.inner.news(after).await
    }
}

#[async_trait]
impl<S: Store> PresenceStore for FaultyStore<S> {
    async fn publish(
        &self,
        gateway: GatewayId,
        list: PresenceList,
        update: PresenceUpdate,
    ) -> Result<bool, StoreError> {
        self.up()?;
        self.inner.publish(gateway, list, update).await
    }

    async fn read_others(
        &self,
        own: GatewayId,
        list: PresenceList,
        known: &[(GatewayId, u64)],
    ) -> Result<Vec<PublishedList>, StoreError> {
        self.up()?;
        self.inner.read_others(own, list, known).await
    }

    async fn send_command(&self, gateway: GatewayId, line: String) -> Result<(), StoreError> {
        self.up()?;
        self.inner.send_command(gateway, line).await
    }

    async fn take_commands(&self, own: GatewayId) -> Result<Vec<String>, StoreError> {
        self.up()?;
        self.inner.take_commands(own).await
    }
}

#[async_trait]
impl<S: Store> ClaimStore for FaultyStore<S> {
    async fn claim(&self, name: &str, value: &str) -> Result<String, StoreError> {
        self.up()?;
        self.inner.claim(name, value).await
    }
}

#[async_trait]
impl<S: Store> SettingStore for FaultyStore<S> {
    async fn setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        self.up()?;
        self.inner.setting(name).await
    }

    async fn set(&self, name: &str, value: &str) -> Result<Option<String>, StoreError> {
        self.up()?;
        self.inner.set(name, value).await
    }
}

#[async_trait]
impl<S: Store> EventStore for FaultyStore<S> {
    async fn append_events(
        &self,
        events: Vec<NewEvent>,
        once: AppendOnce,
        keep: u64,
    ) -> Result<bool, StoreError> {
        self.up()?;
        self.inner.append_events(events, once, keep).await
    }

    async fn events_after(&self, after: u64, limit: usize) -> Result<EventPage, StoreError> {
        self.up()?;
        self.inner.events_after(after, limit).await
    }

    async fn expiries_until(&self) -> Result<Option<Timestamp>, StoreError> {
        self.up()?;
        self.inner.expiries_until().await
    }
}

#[async_trait]
impl<S: Store> AuditStore for FaultyStore<S> {
    async fn append_audit(
        &self,
        deeds: Vec<AuditEntry>,
        writer: Id,
        number: u64,
    ) -> Result<bool, StoreError> {
        self.up()?;
        self.inner.append_audit(deeds, writer, number).await
    }

    async fn audit_before(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> Result<AuditPage, StoreError> {
        self.up()?;
        self.inner.audit_before(before, limit).await
    }

    async fn trim_audit(&self, before: Timestamp, keep: u64) -> Result<(), StoreError> {
        self.up()?;
        self.inner.trim_audit(before, keep).await
    }
}

#[async_trait]
impl<S: Store> TokenStore for FaultyStore<S> {
    async fn token(&self, id: TokenId) -> Result<Option<TokenRecord>, StoreError> {
        // Not failed: the operator must get past the door to see the faults.
        self.inner.token(id).await
    }

    async fn put_token(&self, token: TokenRecord) -> Result<(), StoreError> {
        self.inner.put_token(token).await
    }

    async fn tokens(
        &self,
        after: Option<TokenCursor>,
        limit: usize,
    ) -> Result<TokenPage, StoreError> {
        self.up()?;
        self.inner.tokens(after, limit).await
    }

    async fn revoke_token(&self, id: TokenId) -> Result<TokenRecord, TokenChangeError> {
        self.up()?;
        self.inner.revoke_token(id).await
    }
}
