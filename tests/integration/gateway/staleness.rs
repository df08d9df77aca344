//! A gateway that is cut off from its store: who gets in, who stays, what is
//! said. The bounds are shortened; each is looked at through the view's age.

use std::sync::Arc;
use std::time::{Duration, Instant};

use muster::gateway::auth::StaleMode;
use muster::server::config::Config;
use muster::store::KeyStore;
use tonic::{Code, Status};

use crate::support::{FaultyStore, TestGateway, eventually, reason_of};

const UNCACHED: Duration = Duration::from_secs(1);
const STALE: Duration = Duration::from_secs(2);
const LIMIT: Duration = Duration::from_secs(4);
const SPREAD: Duration = Duration::from_secs(1);
/// What a busy machine may add.
const MARGIN: Duration = Duration::from_secs(5);

fn short(config: &mut Config) {
    config.timing.feed_interval = Duration::from_millis(50);
    config.staleness.uncached_after = UNCACHED;
    config.staleness.stale_after = STALE;
    config.staleness.stale_limit = LIMIT;
    config.staleness.spread = SPREAD;
}

fn strict(config: &mut Config) {
    short(config);
    config.staleness.mode = StaleMode::Strict;
}

async fn age(gateway: &TestGateway) -> Duration {
    Duration::from_secs_f64(gateway.metric("muster_view_age_seconds").await)
}

async fn older_than(gateway: &TestGateway, bound: Duration) {
    eventually("the view's age", async || age(gateway).await > bound).await;
}

fn is_our_fault(status: &Status) {
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert_eq!(reason_of(status), "STORE_UNAVAILABLE");
}

#[tokio::test]
async fn a_cached_key_joins_while_others_are_put_off() {
    let store = Arc::new(FaultyStore::new());
    let uncached_alone = |config: &mut Config| {
        short(config);
        config.staleness.stale_after = Duration::from_secs(600);
        config.staleness.stale_limit = Duration::from_secs(600);
    };
    let gateway = TestGateway::over(store.clone(), uncached_alone).await;
    let operator = gateway.operator().await;
    let (_, cached) = operator.key("cached").await;
    let (_, uncached) = operator.key("uncached").await;
    let (gone, unknown) = operator.key("gone").await;
    store.inner.revoke(gone.parse().unwrap()).await.unwrap();
    store.inner.delete(gone.parse().unwrap()).await.unwrap();
    let known = gateway.agent(&cached).await;
    known.join().await.unwrap();

    // Loads would still be answered: what is refused was not asked for.
    store.set_deaf(true);
    older_than(&gateway, UNCACHED).await;
    let misses = gateway.metric("muster_key_cache_misses_total").await;
    let _stream = known.connect().await;
    let other = gateway.agent(&uncached).await;
    is_our_fault(&other.join().await.unwrap_err());
    is_our_fault(&other.subscribe().await.err().unwrap());
    let stranger = other.with_key(Some(&unknown));
    is_our_fault(&stranger.join().await.unwrap_err());
    assert_eq!(
        gateway.metric("muster_key_cache_misses_total").await,
        misses
    );

    store.set_deaf(false);
    eventually("it joins", async || other.join().await.is_ok()).await;
    eventually("the stranger is told", async || {
        stranger.join().await.unwrap_err().code() == Code::Unauthenticated
    })
    .await;
}

#[tokio::test]
async fn strict_ends_sessions_between_the_bound_and_its_spread() {
    let store = Arc::new(FaultyStore::new());
    let gateway = TestGateway::over(store.clone(), strict).await;
    let (_, key) = gateway.operator().await.key("k").await;
    let mut sessions = Vec::new();
    for _ in 0..4 {
        let agent = gateway.agent(&key).await;
        sessions.push((agent.connect().await, agent));
    }
    let cut = Instant::now();
    store.set_failing(true);
    // The view is at least as fresh as this.
    let fresh = Instant::now() - age(&gateway).await;
    for (stream, _) in &mut sessions {
        let status = stream.end().await;
        assert!(fresh.elapsed() >= STALE, "too early");
        assert!(cut.elapsed() < STALE + SPREAD + MARGIN, "too late");
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        assert_eq!(reason_of(&status), "STORE_NOT_HEARD");
    }
    let ended = "muster_sessions_closed_total{reason=\"STORE_NOT_HEARD\"}";
    assert_eq!(gateway.metric(ended).await, 4.0);
    // On a new connection: the old ones are closed.
    let back = gateway.agent(&key).await;
    is_our_fault(&back.join().await.unwrap_err());
    is_our_fault(&back.subscribe().await.err().unwrap());

    store.set_failing(false);
    eventually("it joins again", async || back.join().await.is_ok()).await;
    let _stream = back.subscribe().await.unwrap();
    assert_eq!(gateway.metric("muster_sessions_live").await, 1.0);
}

#[tokio::test]
async fn best_effort_keeps_sessions_and_lets_known_keys_in_until_the_limit() {
    let store = Arc::new(FaultyStore::new());
    let gateway = TestGateway::over(store.clone(), short).await;
    let operator = gateway.operator().await;
    let (id, key) = operator.key("k").await;
    let mut stream = gateway.agent(&key).await.connect().await;
    let cut = Instant::now();
    store.set_deaf(true);
    let agent = gateway.agent(&key).await;
    let mut joins_past_the_bound = 0;
    let refused = loop {
        let past_bound = age(&gateway).await > STALE;
        match agent.join().await {
            Ok(_) => joins_past_the_bound += u32::from(past_bound),
            Err(status) => break status,
        }
        assert!(cut.elapsed() < LIMIT + MARGIN, "still let in");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    is_our_fault(&refused);
    assert!(age(&gateway).await > LIMIT);
    assert!(joins_past_the_bound > 0);
    assert_eq!(operator.list_sessions(&id).await.len(), 1);
    // Nobody here hears of the revoke: it comes with the store.
    store.inner.revoke(id.parse().unwrap()).await.unwrap();
    assert_eq!(gateway.metric("muster_sessions_live").await, 1.0);
    store.set_deaf(false);
    let status = stream.end().await;
    assert_eq!(reason_of(&status), "KEY_REVOKED");
}

#[tokio::test]
async fn it_is_not_ready_while_the_view_is_stale() {
    let store = Arc::new(FaultyStore::new());
    let gateway = TestGateway::over(store.clone(), short).await;
    let ready = async || gateway.ops("/readyz").await;
    eventually("it is ready", async || ready().await.0 == 200).await;
    store.set_deaf(true);
    eventually("it is not", async || ready().await.0 == 503).await;
    assert!(age(&gateway).await > STALE);
    let (_, why) = ready().await;
    assert!(why.contains("last heard"), "{why}");
    store.set_deaf(false);
    eventually("it is ready again", async || ready().await.0 == 200).await;
}

#[tokio::test]
async fn a_revoked_key_is_still_refused_as_revoked() {
    for mode in [short as fn(&mut Config), strict] {
        let store = Arc::new(FaultyStore::new());
        let gateway = TestGateway::over(store.clone(), mode).await;
        let operator = gateway.operator().await;
        let (id, key) = operator.key("k").await;
        let mut stream = gateway.agent(&key).await.connect().await;
        operator.revoke(&id).await;
        assert_eq!(reason_of(&stream.end().await), "KEY_REVOKED");
        store.set_failing(true);
        older_than(&gateway, LIMIT).await;
        let status = gateway.agent(&key).await.join().await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{status}");
        assert_eq!(reason_of(&status), "KEY_REVOKED");
    }
}
