//! When a turn makes the view fresh, on a paused clock.

use super::*;
use crate::auth::{AuthOptions, Staleness};
use crate::events::Events;
use crate::keys::{Epoch, Id, KeyId, Kind, mint};
use crate::sessions::RegistryOptions;
use crate::store::embedded::EmbeddedStore;
use crate::store::{GatewayId, NewKey};

const SECOND: Duration = Duration::from_secs(1);
/// More than a store gives out in one call.
const MANY: usize = 1_001;

async fn revocations(store: &EmbeddedStore, position: Position) -> Revocations {
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
    let view = View::new(position.epoch, Staleness::default(), Instant::now());
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
    Revocations::new(
        shared,
        Arc::new(registry),
        Arc::new(authenticator),
        view,
        events,
        metrics,
        SECOND,
        position,
    )
}

#[tokio::test(start_paused = true)]
async fn the_view_is_fresh_once_there_is_no_more_to_come() {
    let store = EmbeddedStore::in_memory().unwrap();
    let (_, start) = store.gateways().await.unwrap();
    for _ in 0..MANY {
        let minted = mint(Kind::DataPlaneKey).unwrap();
        let key = NewKey {
            id: KeyId(minted.id),
            digest: minted.digest,
            name: "k".into(),
            expires_at: None,
        };
        store.create(key).await.unwrap();
    }
    let revocations = revocations(&store, start).await;
    tokio::time::advance(9 * SECOND).await;
    assert!(revocations.turn().await.unwrap(), "more to come");
    assert!(revocations.view.age() >= 9 * SECOND, "so it is not fresh");
    assert!(!revocations.turn().await.unwrap());
    assert!(revocations.view.age() < SECOND);
    assert_eq!(revocations.position(), store.gateways().await.unwrap().1);
}

#[tokio::test(start_paused = true)]
async fn the_view_is_fresh_after_a_resync() {
    let store = EmbeddedStore::in_memory().unwrap();
    let (_, now) = store.gateways().await.unwrap();
    let elsewhere = Position {
        epoch: Epoch(now.epoch.0 ^ 1),
        ..now
    };
    let revocations = revocations(&store, elsewhere).await;
    tokio::time::advance(9 * SECOND).await;
    assert!(!revocations.turn().await.unwrap());
    assert!(revocations.view.age() < SECOND);
    assert_eq!(revocations.view.epoch(), now.epoch);
}
