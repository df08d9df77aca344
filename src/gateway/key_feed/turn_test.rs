//! When a turn makes the view fresh, on a paused clock.

use super::*;
use crate::gateway::auth::{AuthOptions, Staleness};
use crate::gateway::events::Events;
use crate::gateway::registrations::{AgentReport, InstanceLimits, Instances};
use crate::gateway::sessions::{KeyEnd, RegistryOptions};
use crate::keys::{Epoch, Id, KeyId, Kind, mint};
use crate::store::embedded::EmbeddedStore;
use crate::store::{GatewayId, GatewayStore, KeyStore, Lookup, Moment, NewKey};

const SECOND: Duration = Duration::from_secs(1);
/// More than a store gives out in one call.
const MANY: usize = 1_001;

async fn follower(store: &EmbeddedStore, position: Position) -> Arc<KeyFeedFollower> {
    let metrics = Arc::new(Metrics::new());
    let shared: Arc<EmbeddedStore> = Arc::new(store.clone());
    let clock = store.clock().clone();
    let events = Events::load(shared.clone(), clock.clone()).await.unwrap();
    let events = Arc::new(events);
    let registry = Registry::new(
        RegistryOptions {
            gateway: GatewayId(Id::random().unwrap()),
            memory: 60 * SECOND,
        },
        clock,
        Arc::clone(&metrics),
        Arc::clone(&events),
    );
    let view = StoreView::new(position.epoch, Staleness::default(), Moment::now());
    let view = Arc::new(view);
    let authenticator = Authenticator::new(
        shared.clone(),
        Arc::clone(&view),
        &AuthOptions {
            cache_capacity: 100,
            load_deadline: SECOND,
            expiry_recheck_deadline: SECOND,
        },
        Arc::clone(&metrics),
    );
    let instances = Instances::load(shared.clone(), InstanceLimits::default());
    let parts = FollowerParts {
        store: shared,
        instances: Arc::new(instances.await.unwrap()),
        registry: Arc::new(registry),
        authenticator: Arc::new(authenticator),
        view,
        events,
        metrics,
        interval: SECOND,
        position,
    };
    Arc::new(KeyFeedFollower::new(parts))
}

fn new_key() -> NewKey {
    let minted = mint(Kind::DataPlaneKey).unwrap();
    NewKey {
        id: KeyId(minted.id),
        digest: minted.digest,
        name: "k".into(),
        expires_at: None,
    }
}

/// Turns until all known keys are read again; then once more.
async fn turn(key_feed: &Arc<KeyFeedFollower>) -> bool {
    let mut reread = Reread::default();
    key_feed.turn(&mut reread).await.unwrap();
    while reread.cursor().is_some() {
        let read = reread.next().await;
        key_feed.took(&mut reread, read);
    }
    key_feed.turn(&mut reread).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_view_is_fresh_once_there_is_no_more_to_come() {
    let store = EmbeddedStore::in_memory().unwrap();
    let (_, start) = store.gateways().await.unwrap();
    for _ in 0..MANY {
        store.create(new_key()).await.unwrap();
    }
    let key_feed = follower(&store, start).await;
    tokio::time::advance(9 * SECOND).await;
    let mut none = Reread::default();
    assert!(key_feed.turn(&mut none).await.unwrap(), "more to come");
    assert!(key_feed.view.age() >= 9 * SECOND, "so it is not fresh");
    assert!(!key_feed.turn(&mut none).await.unwrap());
    assert!(key_feed.view.age() < SECOND);
    assert_eq!(key_feed.position(), store.gateways().await.unwrap().1);
}

#[tokio::test(start_paused = true)]
async fn the_view_is_fresh_after_a_resync() {
    let store = EmbeddedStore::in_memory().unwrap();
    let (_, now) = store.gateways().await.unwrap();
    let elsewhere = Position {
        epoch: Epoch(now.epoch.0 ^ 1),
        ..now
    };
    let key_feed = follower(&store, elsewhere).await;
    tokio::time::advance(9 * SECOND).await;
    assert!(!turn(&key_feed).await);
    assert!(key_feed.view.age() < SECOND);
    assert_eq!(key_feed.view.epoch(), now.epoch);
}

/// Its gate was swept, its record is in no cache: the memory of the last
/// changes alone knows.
#[tokio::test(start_paused = true)]
async fn an_end_that_the_store_lost_is_its_own_again_after_a_resync() {
    let store = EmbeddedStore::in_memory().unwrap();
    let key = new_key();
    let created = store.create(key).await.unwrap().change;
    let Change::Created(mut record) = created.change else {
        panic!("{created:?}");
    };
    let at = crate::keys::Timestamp::from_millis(1_234);
    record.revoked_at = Some(at);
    let elsewhere = Position {
        epoch: Epoch(created.position.epoch.0 ^ 1),
        ..created.position
    };
    let key_feed = follower(&store, elsewhere).await;
    key_feed.recent.note(&Change::Revoked(record.clone()));
    assert!(!turn(&key_feed).await);
    let (end, _) = key_feed.registry.end_of(record.id).unwrap();
    assert_eq!(end, KeyEnd::Revoked(at));
    let Lookup::Present(stored) = store.load(record.id).await.unwrap().lookup else {
        panic!("gone");
    };
    assert_eq!(stored.revoked_at, Some(at));
    assert_eq!(key_feed.metrics.reasserted.get(), 1);
    // What it wrote itself it hears of like every change.
    assert_eq!(key_feed.position().revision, stored.revision);
}

/// The gateway that deleted the key got no answer, or died before it had removed
/// the rest.
#[tokio::test(start_paused = true)]
async fn what_is_left_of_a_key_that_another_deleted_is_removed() {
    let store = EmbeddedStore::in_memory().unwrap();
    let (_, start) = store.gateways().await.unwrap();
    let key = new_key();
    let id = key.id;
    store.create(key).await.unwrap();
    let key_feed = follower(&store, start).await;
    let now = store.clock().now();
    let agent = uuid::Uuid::from_u128(1);
    let address = [127, 0, 0, 1].into();
    let instances = key_feed.deleted.instances();
    let joined = instances.joined(id, agent, address, AgentReport::default(), now);
    joined.unwrap();
    instances.used(id, now);
    store.revoke(id).await.unwrap();
    store.delete(id).await.unwrap();
    turn(&key_feed).await;
    key_feed.deleted.clean_up().await;
    assert_eq!(instances.counts(id).ever, 1, "its own gateway is first");
    tokio::time::advance(11 * SECOND).await;
    key_feed.deleted.clean_up().await;
    assert_eq!(instances.counts(id).ever, 0);
    assert_eq!(instances.last_used(id), None);
}
