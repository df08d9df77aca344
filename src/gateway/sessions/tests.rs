//! The gate: both orders of each race, by hand; then a randomised model.

#[path = "ends_test.rs"]
mod ends;
#[path = "model_test.rs"]
mod model;
#[path = "stale_store_test.rs"]
mod stale;
#[path = "timing_test.rs"]
mod timing;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use uuid::Uuid;

use super::*;
use crate::gateway::auth::{
    AuthOptions, Authenticator, Freshness, Principal, Staleness, StoreView,
};
use crate::gateway::events::Events;
use crate::keys::{Epoch, Id, KeyId, Kind, Position, PresentedKey, mint};
use crate::metrics::registry::Metrics;
use crate::store::embedded::EmbeddedStore;
use crate::store::{
    EventKind, GatewayId, GatewayInfo, GatewayStore, KeyEdit, KeyStore, Moment, NewKey,
};

/// A store, its authenticator and a registry, without any network.
struct Bench {
    store: EmbeddedStore,
    authenticator: Arc<Authenticator>,
    registry: Arc<Registry>,
    events: Arc<Events>,
}

/// A line that counts how it is cut.
#[derive(Default)]
struct CountingConnection {
    connections: AtomicUsize,
    streams: AtomicUsize,
}

impl CloseConnection for CountingConnection {
    fn close(&self, scope: Scope) {
        match scope {
            Scope::Connection => &self.connections,
            Scope::Stream => &self.streams,
        }
        .fetch_add(1, Ordering::SeqCst);
    }
}

fn session_of(agent: u128, host: u8, connection: Arc<CountingConnection>) -> SessionInfo {
    SessionInfo {
        agent: Uuid::from_u128(agent),
        peer: ([127, 0, 0, host], 1).into(),
        user_agent: "test".into(),
        connection,
    }
}

/// Both steps of a sweep, as by an upkeep whose cache is empty.
fn swept(registry: &Registry) -> Vec<KeyId> {
    registry.forgotten(&registry.spent());
    std::thread::sleep(Duration::from_millis(1));
    registry.sweep()
}

impl Bench {
    async fn new() -> Self {
        let store = EmbeddedStore::in_memory().unwrap();
        let gateway = GatewayId(Id::random().unwrap());
        let info = GatewayInfo {
            id: gateway,
            name: "bench".into(),
            version: "0".into(),
        };
        let position = store.enrol(info).await.unwrap();
        let metrics = Arc::new(Metrics::new());
        let options = AuthOptions {
            cache_capacity: 100,
            load_deadline: Duration::from_secs(5),
            expiry_recheck_deadline: Duration::from_secs(5),
        };
        let authenticator = Arc::new(Authenticator::new(
            Arc::new(store.clone()),
            Arc::new(StoreView::new(
                position.epoch,
                Staleness::default(),
                Moment::now(),
            )),
            &options,
            Arc::clone(&metrics),
        ));
        let options = RegistryOptions {
            gateway,
            memory: Duration::from_secs(60),
        };
        let clock = store.clock().clone();
        let events = Events::load(Arc::new(store.clone()), clock.clone());
        let events = Arc::new(events.await.unwrap());
        let registry = Registry::new(options, clock, metrics, Arc::clone(&events));
        let registry = Arc::new(registry);
        Self {
            store,
            authenticator,
            registry,
            events,
        }
    }

    async fn key(&self) -> PresentedKey {
        let minted = mint(Kind::DataPlaneKey).unwrap();
        let key = NewKey {
            id: KeyId(minted.id),
            digest: minted.digest,
            name: "k".into(),
            expires_at: None,
        };
        self.store.create(key).await.unwrap();
        PresentedKey::parse(minted.expose().as_bytes()).unwrap()
    }

    /// As the registrar does it, past the cache so that it is fresh.
    async fn principal(&self, key: &PresentedKey) -> Principal {
        self.authenticator
            .authenticate(key, Freshness::Reloaded)
            .await
            .unwrap()
    }

    fn admit(&self, principal: &Principal, agent: u128) -> Result<SessionGuard, AdmitError> {
        self.admit_on(principal, agent, Arc::new(CountingConnection::default()))
    }

    fn admit_on(
        &self,
        principal: &Principal,
        agent: u128,
        connection: Arc<CountingConnection>,
    ) -> Result<SessionGuard, AdmitError> {
        self.registry
            .admit(principal, session_of(agent, 1, connection))
    }

    async fn expire_in(&self, key: &PresentedKey, seconds: u64) {
        let at = self
            .store
            .clock()
            .now()
            .saturating_add(Duration::from_secs(seconds));
        let edit = KeyEdit {
            expires_at: Some(at),
            ..KeyEdit::default()
        };
        let written = self.store.edit(key.id, edit).await.unwrap();
        self.registry.apply(&written.change);
    }
}

#[tokio::test]
async fn a_session_parked_before_the_revoke_meets_the_ended_gate() {
    let bench = Bench::new().await;
    let key = bench.key().await;
    // Authenticated; then, before it is admitted, the key is revoked.
    let parked = bench.principal(&key).await;
    let revoke = bench.store.revoke(key.id).await.unwrap();
    assert_eq!(bench.registry.apply(&revoke.change).total(), 0);
    let refused = bench.admit(&parked, 1).unwrap_err();
    assert!(matches!(refused, AdmitError::Ended(KeyEnd::Revoked(_))));
    assert!(matches!(
        bench.registry.check_gate(&parked),
        Err(AdmitError::Ended(_))
    ));
}

#[tokio::test]
async fn a_session_admitted_before_the_revoke_is_in_the_drained_set() {
    let bench = Bench::new().await;
    let key = bench.key().await;
    let principal = bench.principal(&key).await;
    let connection = Arc::new(CountingConnection::default());
    let guard = bench.admit_on(&principal, 1, connection.clone()).unwrap();
    let revoke = bench.store.revoke(key.id).await.unwrap();
    let closing = bench.registry.apply(&revoke.change);
    assert_eq!((closing.total(), closing.open()), (1, 1));
    assert!(matches!(guard.ended().await, EndReason::KeyRevoked { .. }));
    assert_eq!(connection.connections.load(Ordering::SeqCst), 1);
    assert_eq!(bench.registry.live_sessions(key.id), 0);
    drop(guard);
    closing.closed().await;
    // Whoever applies the same revoke again hears of the same sessions.
    let again = bench.registry.apply(&revoke.change);
    assert_eq!((again.total(), again.open()), (1, 0));
}

#[tokio::test]
async fn a_principal_older_than_an_edit_is_stale() {
    let bench = Bench::new().await;
    let key = bench.key().await;
    let old = bench.principal(&key).await;
    bench.expire_in(&key, 3600).await;
    assert_eq!(bench.admit(&old, 1).unwrap_err(), AdmitError::Stale);
    let fresh = bench.principal(&key).await;
    let guard = bench.admit(&fresh, 1).unwrap();
    assert!(
        bench.admit(&old, 2).is_err(),
        "still, beside a live session"
    );
    drop(guard);
    // A late, repeated event of an earlier revision changes nothing.
    let feed = bench.store.clone();
    let heartbeat = crate::store::Heartbeat {
        gateway: bench.registry.gateway(),
        position: crate::keys::Position {
            revision: crate::keys::Revision(0),
            ..fresh.position()
        },
        applied: fresh.position(),
        live_sessions: 0,
        standing: crate::store::Standing::default(),
        outcomes: Vec::new(),
    };
    for entry in feed.renew(heartbeat).await.unwrap().entries {
        bench.registry.apply(&entry);
    }
    assert_eq!(bench.admit(&old, 3).unwrap_err(), AdmitError::Stale);
}

#[tokio::test]
async fn a_principal_that_knows_more_teaches_the_gate() {
    let bench = Bench::new().await;
    let key = bench.key().await;
    let old = bench.principal(&key).await;
    let guard = bench.admit(&old, 1).unwrap();
    // The edit is written, its event is late; a load has seen it already.
    let edit = KeyEdit {
        name: Some("renamed".into()),
        ..KeyEdit::default()
    };
    bench.store.edit(key.id, edit).await.unwrap();
    let newer = bench.principal(&key).await;
    assert_eq!(bench.registry.check_gate(&newer), Ok(()));
    assert_eq!(bench.registry.check_gate(&old), Err(AdmitError::Stale));
    drop(guard);
}

#[tokio::test]
async fn a_principal_of_another_history_is_stale() {
    let (one, other) = (Bench::new().await, Bench::new().await);
    let key = one.key().await;
    let principal = one.principal(&key).await;
    let _guard = one.admit(&principal, 1).unwrap();
    // The other store has the same key under another epoch.
    let position = other.principal(&other.key().await).await.position();
    one.registry
        .observe(key.id, position, principal.expires_at());
    assert_eq!(one.admit(&principal, 2).unwrap_err(), AdmitError::Stale);
}

#[tokio::test]
async fn ended_never_goes_back() {
    let bench = Bench::new().await;
    let key = bench.key().await;
    let principal = bench.principal(&key).await;
    let revoke = bench.store.revoke(key.id).await.unwrap();
    bench.registry.apply(&revoke.change);
    let position = principal.position();
    bench
        .registry
        .observe(key.id, position, principal.expires_at());
    bench
        .registry
        .observe(key.id, position, principal.expires_at());
    assert!(swept(&bench.registry).is_empty());
    assert!(matches!(
        bench.admit(&principal, 1),
        Err(AdmitError::Ended(KeyEnd::Revoked(_)))
    ));
}

#[tokio::test]
async fn the_newer_session_of_an_agent_supersedes_the_older() {
    let bench = Bench::new().await;
    let key = bench.key().await;
    let principal = bench.principal(&key).await;
    let connection = Arc::new(CountingConnection::default());
    let first = bench.admit_on(&principal, 7, connection.clone()).unwrap();
    let second = bench.admit(&principal, 7).unwrap();
    assert_eq!(first.ended().await, EndReason::Superseded);
    assert_eq!(connection.streams.load(Ordering::SeqCst), 1);
    // The late clean-up of the first must not take the second.
    drop(first);
    assert_eq!(bench.registry.live_sessions(key.id), 1);
    let third = bench.admit(&principal, 7).unwrap();
    assert_eq!(second.ended().await, EndReason::Superseded);
    assert_eq!(bench.registry.live_sessions(key.id), 1);
    drop((second, third));
    assert_eq!(bench.registry.live_total(), 0);
}

#[tokio::test]
async fn clones_that_fight_are_both_left_alone_and_told_of_once() {
    let bench = Bench::new().await;
    let key = bench.key().await;
    let principal = bench.principal(&key).await;
    let mut guards = Vec::new();
    for turn in 0..10_u8 {
        let connection = Arc::new(CountingConnection::default());
        let info = session_of(7, 1 + turn % 2, connection);
        guards.push(bench.registry.admit(&principal, info).unwrap());
    }
    // The first one came alone, three superseded the one before; from the next
    // on nobody is ended.
    let ended = guards.iter().filter(|guard| guard.session.has_ended());
    assert_eq!(ended.count(), 3);
    assert_eq!(bench.registry.live_sessions(key.id), 7);
    bench.events.catch_up().await.unwrap();
    let told = bench
        .events
        .after(bench.events.cursor(0))
        .events
        .into_iter();
    let told: Vec<_> = told
        .filter(|event| event.kind == EventKind::DuplicateAgent)
        .collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].agent, Some(Uuid::from_u128(7)));
}

#[tokio::test]
async fn the_same_agent_under_another_key_is_left_alone() {
    let bench = Bench::new().await;
    let (one, two) = (bench.key().await, bench.key().await);
    let a = bench.admit(&bench.principal(&one).await, 7).unwrap();
    let b = bench.admit(&bench.principal(&two).await, 7).unwrap();
    assert_eq!(bench.registry.live_sessions(one.id), 1);
    assert_eq!(bench.registry.live_sessions(two.id), 1);
    drop((a, b));
}

#[tokio::test]
async fn one_session_can_be_disconnected() {
    let bench = Bench::new().await;
    let principal = bench.principal(&bench.key().await).await;
    let (one, two) = (
        bench.admit(&principal, 1).unwrap(),
        bench.admit(&principal, 2).unwrap(),
    );
    let closing = bench.registry.disconnect(one.id()).unwrap();
    assert_eq!(one.ended().await, EndReason::Disconnected);
    assert!(bench.registry.disconnect(one.id()).is_none(), "only once");
    drop(one);
    closing.closed().await;
    let left = bench.registry.list(None, 0, 10);
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].id, two.id());
    let elsewhere = SessionId {
        gateway: GatewayId(Id::random().unwrap()),
        ..two.id()
    };
    assert!(bench.registry.disconnect(elsewhere).is_none());
}

#[tokio::test]
async fn expiry_is_judged_by_the_stores_clock() {
    let bench = Bench::new().await;
    let key = bench.key().await;
    bench.expire_in(&key, 60).await;
    let principal = bench.principal(&key).await;
    let guard = bench.admit(&principal, 1).unwrap();
    assert!(!bench.registry.is_due(key.id));
    bench.store.clock().set_shift_millis(61_000);
    assert!(bench.registry.is_due(key.id));
    assert!(matches!(
        bench.admit(&principal, 2),
        Err(AdmitError::Expired(_))
    ));
    assert_eq!(bench.registry.expire(key.id, true).total(), 1);
    assert!(matches!(guard.ended().await, EndReason::KeyExpired { .. }));
    assert!(!bench.registry.is_due(key.id), "nobody left to end");
}

#[tokio::test]
async fn an_extension_in_the_last_second_cuts_nobody() {
    let bench = Bench::new().await;
    let key = bench.key().await;
    bench.expire_in(&key, 60).await;
    let guard = bench.admit(&bench.principal(&key).await, 1).unwrap();
    // Extended in the store, the event not applied; then the timer fires.
    let edit = KeyEdit {
        expires_at: Some(
            bench
                .store
                .clock()
                .now()
                .saturating_add(Duration::from_secs(3600)),
        ),
        ..KeyEdit::default()
    };
    bench.store.edit(key.id, edit).await.unwrap();
    bench.store.clock().set_shift_millis(61_000);
    let (record, position) = bench.authenticator.reload(key.id).await.unwrap();
    bench.registry.observe(key.id, position, record.expires_at);
    assert_eq!(bench.registry.expire(key.id, true).total(), 0);
    assert_eq!(bench.registry.live_sessions(key.id), 1);
    drop(guard);
}

#[tokio::test]
async fn lists_page_by_number() {
    let bench = Bench::new().await;
    let (one, two) = (bench.key().await, bench.key().await);
    let (p1, p2) = (bench.principal(&one).await, bench.principal(&two).await);
    let mut guards = Vec::new();
    for agent in 0..10 {
        let principal = if agent % 2 == 0 { &p1 } else { &p2 };
        guards.push(bench.admit(principal, agent).unwrap());
    }
    let page = bench.registry.list(None, 0, 4);
    let rest = bench.registry.list(None, page[3].id.number, 100);
    assert_eq!((page.len(), rest.len()), (4, 6));
    assert_eq!(bench.registry.list(Some(two.id), 0, 100).len(), 5);
}

/// Threads that admit and drop while another revokes: afterwards nothing is
/// live and nothing gets in. Load alone won't find the race that the gated tests
/// above force; it shows that the locks hold together.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_live_after_a_revoke_under_load() {
    let bench = Arc::new(Bench::new().await);
    for _ in 0..50 {
        let key = bench.key().await;
        let principal = bench.principal(&key).await;
        let revoke = bench.store.revoke(key.id).await.unwrap();
        let start = Arc::new(tokio::sync::Barrier::new(3));
        let mut admitting = Vec::new();
        for worker in 0..2_u128 {
            let (bench, principal, start) = (bench.clone(), principal.clone(), start.clone());
            admitting.push(tokio::spawn(async move {
                start.wait().await;
                let mut held = Vec::new();
                for agent in 0..200 {
                    held.extend(bench.admit(&principal, worker * 1000 + agent).ok());
                }
                held
            }));
        }
        start.wait().await;
        let closing = bench.registry.apply(&revoke.change);
        let mut admitted = 0;
        for task in admitting {
            for guard in task.await.unwrap() {
                assert!(matches!(guard.ended().await, EndReason::KeyRevoked { .. }));
                admitted += 1;
            }
        }
        assert_eq!(closing.total(), admitted);
        closing.closed().await;
        assert_eq!(bench.registry.live_sessions(key.id), 0);
    }
    assert_eq!(bench.registry.live_total(), 0);
}
