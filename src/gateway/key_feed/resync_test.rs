//! Resyncs that meet others: slow reads, bulks of revokes, sweeps, damaged rows, on a
//! paused clock.

use super::*;
use crate::gateway::auth::{AuthError, AuthOptions, Freshness, Staleness};
use crate::gateway::events::Events;
use crate::gateway::registrations::{InstanceLimits, Instances};
use crate::gateway::sessions::{CloseConnection, RegistryOptions, Scope, SessionInfo};
use crate::keys::{Epoch, Id, KeyId, Kind, PresentedKey, Revision, mint};
use crate::store::embedded::EmbeddedStore;
use crate::store::*;
use async_trait::async_trait;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const SECOND: Duration = Duration::from_secs(1);

/// A real store that is slow, deaf, trimmed, damaged, or panics, on demand.
struct Slow {
    inner: EmbeddedStore,
    renews: AtomicUsize,
    load_all_takes: Mutex<Duration>,
    load_takes: Mutex<Duration>,
    deaf: AtomicBool,
    hang_loads: AtomicBool,
    trimmed: AtomicBool,
    damaged: Mutex<Option<KeyId>>,
    panics: AtomicUsize,
}

#[async_trait]
impl KeyStore for Slow {
    fn clock(&self) -> &StoreClock {
        self.inner.clock()
    }
    async fn load(&self, id: KeyId) -> Result<Loaded, StoreError> {
        if self.hang_loads.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let loaded = self.inner.load(id).await;
        let takes = *self.load_takes.lock();
        tokio::time::sleep(takes).await;
        loaded
    }
    async fn load_all(&self, ids: &[KeyId]) -> Result<LoadedKeys, StoreError> {
        if self.panics.load(Ordering::SeqCst) > 0 {
            self.panics.fetch_sub(1, Ordering::SeqCst);
            panic!("once");
        }
        let mut loaded = self.inner.load_all(ids).await;
        if let (Ok(l), Some(bad)) = (&mut loaded, *self.damaged.lock()) {
            for (k, row) in &mut l.keys {
                if *k == bad {
                    *row = Err(StoreError::Corrupt {
                        what: "k".into(),
                        why: "w".into(),
                    });
                }
            }
        }
        let takes = *self.load_all_takes.lock();
        tokio::time::sleep(takes).await;
        loaded
    }
    async fn list(&self, a: Option<KeyCursor>, l: usize) -> Result<KeyPage, StoreError> {
        self.inner.list(a, l).await
    }
    async fn feed_after(&self, a: Revision) -> Result<Feed, StoreError> {
        let mut f = self.inner.feed_after(a).await?;
        if self.trimmed.load(Ordering::SeqCst) {
            f.entries.clear();
        }
        Ok(f)
    }
    async fn remove_spent_markers(&self) -> Result<u64, StoreError> {
        self.inner.remove_spent_markers().await
    }
    async fn create(&self, key: NewKey) -> Result<Written, ChangeError> {
        self.inner.create(key).await
    }
    async fn edit(&self, id: KeyId, e: KeyEdit) -> Result<Written, ChangeError> {
        self.inner.edit(id, e).await
    }
    async fn revoke(&self, id: KeyId) -> Result<Written, ChangeError> {
        self.inner.revoke(id).await
    }
    async fn delete(&self, id: KeyId) -> Result<Written, ChangeError> {
        self.inner.delete(id).await
    }
    async fn reassert(&self, end: Change) -> Result<Written, ChangeError> {
        self.inner.reassert(end).await
    }
}

#[async_trait]
impl GatewayStore for Slow {
    async fn enrol(&self, g: GatewayInfo) -> Result<Position, StoreError> {
        self.inner.enrol(g).await
    }
    async fn renew(&self, h: Heartbeat) -> Result<Feed, StoreError> {
        self.renews.fetch_add(1, Ordering::SeqCst);
        let mut f = self.inner.renew(h).await?;
        if self.trimmed.load(Ordering::SeqCst) {
            f.entries.clear();
        }
        Ok(f)
    }
    async fn changed(&self, after: Position) {
        if self.deaf.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        self.inner.changed(after).await;
    }
    async fn gateways(&self) -> Result<(Vec<Enrolled>, Position), StoreError> {
        self.inner.gateways().await
    }
    async fn reach(&self, key: KeyId) -> Result<Reach, StoreError> {
        self.inner.reach(key).await
    }
    async fn leave(&self, g: GatewayId) -> Result<(), StoreError> {
        self.inner.leave(g).await
    }
}

struct Nothing;
impl CloseConnection for Nothing {
    fn close(&self, _: Scope) {}
}
fn info(agent: u128) -> SessionInfo {
    SessionInfo {
        agent: uuid::Uuid::from_u128(agent),
        peer: ([127, 0, 0, 1], 1).into(),
        user_agent: "a".into(),
        connection: Arc::new(Nothing),
    }
}

async fn parts(position: Option<Position>, memory: Duration) -> (Arc<Slow>, Arc<KeyFeedFollower>) {
    let store = EmbeddedStore::in_memory().unwrap();
    let slow = Arc::new(Slow {
        inner: store.clone(),
        renews: AtomicUsize::new(0),
        load_all_takes: Mutex::default(),
        load_takes: Mutex::default(),
        deaf: AtomicBool::new(false),
        hang_loads: AtomicBool::new(false),
        trimmed: AtomicBool::new(false),
        damaged: Mutex::default(),
        panics: AtomicUsize::new(0),
    });
    let id = GatewayId(Id::random().unwrap());
    let start = store
        .enrol(GatewayInfo {
            id,
            name: "g".into(),
            version: "v".into(),
        })
        .await
        .unwrap();
    let position = position.unwrap_or(start);
    let metrics = Arc::new(Metrics::new());
    let shared: Arc<EmbeddedStore> = Arc::new(store.clone());
    let clock = store.clock().clone();
    let events = Arc::new(Events::load(shared.clone(), clock.clone()).await.unwrap());
    let registry = Registry::new(
        RegistryOptions {
            gateway: id,
            memory,
        },
        clock,
        Arc::clone(&metrics),
        Arc::clone(&events),
    );
    let view = Arc::new(StoreView::new(
        position.epoch,
        Staleness::default(),
        slow.inner.clock().moment(),
    ));
    let authenticator = Authenticator::new(
        slow.clone(),
        Arc::clone(&view),
        &AuthOptions {
            cache_capacity: 1000,
            load_deadline: SECOND * 2,
            expiry_recheck_deadline: SECOND,
        },
        Arc::clone(&metrics),
    );
    let instances = Instances::load(shared.clone(), InstanceLimits::default());
    let parts = FollowerParts {
        store: slow.clone(),
        instances: Arc::new(instances.await.unwrap()),
        registry: Arc::new(registry),
        authenticator: Arc::new(authenticator),
        view,
        events,
        metrics,
        interval: SECOND,
        position,
    };
    (slow, Arc::new(KeyFeedFollower::new(parts)))
}

async fn key(store: &EmbeddedStore) -> PresentedKey {
    use secrecy::ExposeSecret;
    let minted = mint(Kind::DataPlaneKey).unwrap();
    let new = NewKey {
        id: KeyId(minted.id),
        digest: minted.digest,
        name: "k".into(),
        expires_at: None,
    };
    store.create(new).await.unwrap();
    PresentedKey::parse(minted.text.expose_secret().as_bytes()).unwrap()
}

/// no heartbeat, no feed while chunks end more often than the interval.
#[tokio::test(start_paused = true)]
async fn heartbeats_go_on_during_a_resync() {
    let (slow, feed) = parts(None, 60 * SECOND).await;
    let victim = key(&slow.inner).await;
    let mut reread = Reread::default();
    feed.turn(&mut reread).await.unwrap();
    let principal = feed
        .authenticator
        .authenticate(&victim, Freshness::Cached)
        .await
        .unwrap();
    let guard = feed.registry.admit(&principal, info(1)).unwrap();
    // Known keys of which the store has none: 20,000 gates.
    let now = slow.inner.clock().now();
    for _ in 0..20_000 {
        let id = KeyId(Id::random().unwrap());
        feed.registry.observe(id, feed.position(), now);
    }
    // A gap: this gateway is behind what the feed has.
    *feed.position.lock() = Position {
        revision: Revision(1 << 33),
        ..feed.position()
    };
    slow.deaf.store(true, Ordering::SeqCst);
    *slow.load_all_takes.lock() = SECOND * 9 / 10;
    let stop = CancellationToken::new();
    let run = tokio::spawn(Arc::clone(&feed).run(stop.clone()));
    tokio::time::sleep(SECOND / 2).await;
    slow.inner.revoke(victim.id).await.unwrap();
    let revoked = Instant::now();
    let ended = tokio::time::timeout(20 * SECOND, guard.ended()).await;
    assert!(ended.is_ok(), "it lives on");
    let late = revoked.elapsed();
    stop.cancel();
    run.await.unwrap();
    assert!(late < 3 * SECOND, "the revoke came {late:?} late");
}

/// applied without outcome.
#[tokio::test(start_paused = true)]
async fn what_is_said_to_be_applied_says_what_it_closed() {
    let (slow, feed) = parts(None, 60 * SECOND).await;
    let mut reread = Reread::default();
    let mut guards = Vec::new();
    let mut keys = Vec::new();
    for n in 0..300 {
        let k = key(&slow.inner).await;
        let principal = feed
            .authenticator
            .authenticate(&k, Freshness::Cached)
            .await
            .unwrap();
        guards.push(feed.registry.admit(&principal, info(n)).unwrap());
        keys.push(k.id);
    }
    feed.turn(&mut reread).await.unwrap();
    for k in &keys {
        slow.inner.revoke(*k).await.unwrap();
    }
    feed.turn(&mut reread).await.unwrap();
    feed.turn(&mut reread).await.unwrap();
    let mut wrong = 0;
    for k in &keys {
        let Lookup::Present(record) = slow.inner.load(*k).await.unwrap().lookup else {
            panic!()
        };
        let reach = slow.inner.reach(*k).await.unwrap();
        let g = &reach.enrolled[0];
        if g.has_applied(record.revision, reach.position) && reach.outcomes.is_empty() {
            wrong += 1;
        }
    }
    assert_eq!(wrong, 0);
}

/// gate swept, cache not yet forgotten.
#[tokio::test]
async fn a_sweep_lets_no_session_of_a_revoked_key_in() {
    let (slow, feed) = parts(None, Duration::from_millis(200)).await;
    let k = key(&slow.inner).await;
    *slow.load_takes.lock() = Duration::from_millis(100);
    let f = Arc::clone(&feed);
    let k2 = k;
    let fill =
        tokio::spawn(
            async move { drop(f.authenticator.authenticate(&k2, Freshness::Cached).await) },
        );
    tokio::time::sleep(Duration::from_millis(50)).await;
    let w = slow.inner.revoke(k.id).await.unwrap();
    feed.apply(&w.change).await;
    let mut reread = Reread::default();
    while feed.turn(&mut reread).await.unwrap() {}
    feed.turn(&mut reread).await.unwrap();
    fill.await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    // As Upkeep::look does it, with an agent between the two.
    let spent = feed.registry.spent();
    assert_eq!(spent, [k.id]);
    let principal = feed.authenticator.authenticate(&k, Freshness::Cached).await;
    let guard = principal
        .ok()
        .and_then(|p| feed.registry.admit(&p, info(1)).ok());
    for key in &spent {
        feed.authenticator.cache().forget(*key).await;
    }
    feed.registry.forgotten(&spent);
    feed.registry.sweep();
    for _ in 0..3 {
        feed.turn(&mut reread).await.unwrap();
    }
    assert!(guard.is_none());
}

/// an extension that the feed brought while the reload hung.
#[tokio::test(start_paused = true)]
async fn a_key_that_the_feed_extended_meanwhile_is_not_expired() {
    let (slow, feed) = parts(None, 60 * SECOND).await;
    let k = key(&slow.inner).await;
    let now = slow.inner.clock().now();
    let t = now.saturating_add(60 * SECOND);
    slow.inner
        .edit(
            k.id,
            KeyEdit {
                expires_at: Some(t),
                ..KeyEdit::default()
            },
        )
        .await
        .unwrap();
    let mut reread = Reread::default();
    feed.turn(&mut reread).await.unwrap();
    feed.authenticator
        .authenticate(&k, Freshness::Cached)
        .await
        .unwrap();
    slow.inner
        .edit(
            k.id,
            KeyEdit {
                expires_at: Some(t.saturating_add(3600 * SECOND)),
                ..KeyEdit::default()
            },
        )
        .await
        .unwrap();
    slow.inner.clock().set_shift_millis(70_000);
    slow.hang_loads.store(true, Ordering::SeqCst);
    let f = Arc::clone(&feed);
    let k2 = k;
    let asked = tokio::spawn(async move {
        f.authenticator
            .authenticate(&k2, Freshness::Cached)
            .await
            .map(drop)
    });
    tokio::time::sleep(SECOND / 10).await;
    feed.turn(&mut reread).await.unwrap();
    let answer = asked.await.unwrap();
    assert!(!matches!(answer, Err(AuthError::Expired { .. })));
}

/// a mistyped id, revoked while the store was away, becomes a lost key.
#[tokio::test(start_paused = true)]
async fn a_made_up_id_is_no_lost_key() {
    let (slow, feed) = parts(None, 60 * SECOND).await;
    key(&slow.inner).await;
    let mut reread = Reread::default();
    feed.turn(&mut reread).await.unwrap();
    let typo = KeyId(Id::random().unwrap());
    feed.revoke_here(typo).await;
    *feed.position.lock() = Position {
        epoch: Epoch(feed.position().epoch.0 ^ 1),
        ..feed.position()
    };
    feed.turn(&mut reread).await.unwrap();
    while reread.cursor().is_some() {
        let read = reread.next().await;
        feed.took(&mut reread, read);
    }
    assert!(matches!(
        slow.inner.revoke(typo).await,
        Err(ChangeError::NotFound(_))
    ));
    feed.no_such_key(typo);
    tokio::time::sleep(300 * SECOND).await;
    feed.turn(&mut reread).await.unwrap();
    feed.turn(&mut reread).await.unwrap();
    assert_eq!(feed.metrics.keys_lost.get(), 0);
}

/// applied by the control before the follower met a gap: never reported.
#[tokio::test(start_paused = true)]
async fn an_end_that_a_call_applied_is_reported_after_a_gap() {
    let (slow, feed) = parts(None, 60 * SECOND).await;
    let k = key(&slow.inner).await;
    let mut reread = Reread::default();
    feed.turn(&mut reread).await.unwrap();
    let p = feed
        .authenticator
        .authenticate(&k, Freshness::Cached)
        .await
        .unwrap();
    let _guard = feed.registry.admit(&p, info(1)).unwrap();
    let w = slow.inner.revoke(k.id).await.unwrap();
    feed.apply(&w.change).await;
    slow.trimmed.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        feed.turn(&mut reread).await.unwrap();
        while reread.cursor().is_some() {
            let r = reread.next().await;
            feed.took(&mut reread, r);
        }
    }
    let reach = slow.inner.reach(k.id).await.unwrap();
    let applied = reach.enrolled[0].has_applied(w.change.position.revision, reach.position);
    assert!(!(applied && reach.outcomes.is_empty()));
}

/// a key that a resync could not read counts as applied.
#[tokio::test(start_paused = true)]
async fn sessions_of_a_key_that_cannot_be_read_are_not_closed() {
    let (slow, feed) = parts(None, 60 * SECOND).await;
    let k = key(&slow.inner).await;
    let mut reread = Reread::default();
    feed.turn(&mut reread).await.unwrap();
    let p = feed
        .authenticator
        .authenticate(&k, Freshness::Cached)
        .await
        .unwrap();
    let _guard = feed.registry.admit(&p, info(1)).unwrap();
    let w = slow.inner.revoke(k.id).await.unwrap();
    slow.trimmed.store(true, Ordering::SeqCst);
    *slow.damaged.lock() = Some(k.id);
    for _ in 0..3 {
        feed.turn(&mut reread).await.unwrap();
        while reread.cursor().is_some() {
            let r = reread.next().await;
            feed.took(&mut reread, r);
        }
    }
    let reach = slow.inner.reach(k.id).await.unwrap();
    let applied = reach.enrolled[0].has_applied(w.change.position.revision, reach.position);
    assert!(applied, "the position moves");
    let closing: u64 = reach.outcomes.iter().map(|(_, told)| told.closing).sum();
    assert_eq!(closing, feed.registry.live_sessions(k.id) as u64);
}

/// one read that panics.
#[tokio::test(start_paused = true)]
async fn a_read_that_panicked_is_begun_again() {
    let (slow, feed) = parts(None, 60 * SECOND).await;
    let k = key(&slow.inner).await;
    feed.authenticator
        .authenticate(&k, Freshness::Cached)
        .await
        .unwrap();
    slow.panics.store(1, Ordering::SeqCst);
    slow.trimmed.store(true, Ordering::SeqCst);
    let stop = CancellationToken::new();
    let run = tokio::spawn(Arc::clone(&feed).run(stop.clone()));
    tokio::time::sleep(120 * SECOND).await;
    stop.cancel();
    run.await.unwrap();
    assert!(feed.view.age() < 60 * SECOND);
}
