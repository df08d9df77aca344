//! What a verify allocates: a number that no noise of the machine changes.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use muster::gateway::auth::{AuthOptions, Authenticator, Freshness, Staleness, StoreView};
use muster::keys::{Id, KeyId, Kind, PresentedKey, mint};
use muster::metrics::registry::Metrics;
use muster::store::embedded::EmbeddedStore;
use muster::store::{GatewayId, GatewayInfo, GatewayStore, KeyStore, Moment, NewKey};

const VERIFIES: usize = 6_400;
/// Reads that moka gathers before it looks at them: its READ_LOG_FLUSH_POINT.
const MOKA_BATCH: usize = 64;

#[test]
fn a_verify_of_a_key_in_the_cache_allocates_nothing() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let store = EmbeddedStore::in_memory().unwrap();
    let info = GatewayInfo {
        id: GatewayId(Id::random().unwrap()),
        name: "counted".into(),
        version: "0".into(),
    };
    let position = runtime.block_on(store.enrol(info)).unwrap();
    let view = Arc::new(StoreView::new(
        position.epoch,
        Staleness::default(),
        Moment::now(),
    ));
    let options = AuthOptions {
        cache_capacity: 10_000,
        load_deadline: Duration::from_secs(5),
        expiry_recheck_deadline: Duration::from_secs(5),
    };
    let store: Arc<dyn KeyStore> = Arc::new(store);
    let metrics = Arc::new(Metrics::new());
    let authenticator = Authenticator::new(Arc::clone(&store), view, &options, metrics);
    let minted = mint(Kind::DataPlaneKey).unwrap();
    let new = NewKey {
        id: KeyId(minted.id),
        digest: minted.digest,
        name: "counted".into(),
        expires_at: None,
    };
    runtime.block_on(store.create(new)).unwrap();
    let text = minted.expose().to_owned();

    let verify = async || {
        let key = PresentedKey::parse(black_box(text.as_bytes())).unwrap();
        let principal = authenticator.authenticate(&key, Freshness::Cached).await;
        black_box(principal.unwrap());
    };
    let load = allocation_counter::measure(|| runtime.block_on(verify()));
    assert!(
        load.count_total > 1,
        "a load allocates: is nothing counted?"
    );
    let _in_it = runtime.enter();
    let count = || {
        let mut context = Context::from_waker(Waker::noop());
        // On a hit there is nothing to wait for. `block_on` would allocate.
        let hit = allocation_counter::measure(|| {
            assert!(pin!(verify()).poll(&mut context).is_ready());
        });
        hit.count_total
    };
    let counts: Vec<_> = (0..VERIFIES).map(|_| count()).collect();
    let with = counts.iter().filter(|count| **count > 0).count();
    let all: u64 = counts.iter().sum();
    println!("{VERIFIES} verifies: {with} allocated, {all} times in all");
    // moka keeps its books of reads once in 64, on the call that is the 64th.
    assert!(with <= VERIFIES / MOKA_BATCH + 1, "{counts:?}");
}
