//! F3: the connections of the tail are killed again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio_util::task::AbortOnDropHandle;

use super::{Figures, MARGIN, Shared, alone, session};
use crate::support::{PATIENCE, Proxy, RedisServer, Site};

const REVOKES: usize = 200;
const AT_ONCE: usize = 8;
const INTERVAL: Duration = Duration::from_millis(200);
const BETWEEN_KILLS: Duration = Duration::from_millis(25);

/// Kills lease and hint of every gateway, by CLIENT KILL; counts them.
fn kill(
    redis: &RedisServer,
    proxies: Arc<Vec<Proxy>>,
    kills: Arc<AtomicUsize>,
) -> AbortOnDropHandle<()> {
    let client = redis::Client::open(redis.url()).unwrap();
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut raw = client.get_multiplexed_async_connection().await.unwrap();
        loop {
            for address in proxies.iter().flat_map(Proxy::tail) {
                let mut kill = redis::cmd("CLIENT");
                let kill = kill.arg("KILL").arg("ADDR").arg(address.to_string());
                let killed: u64 = kill.query_async(&mut raw).await.unwrap();
                kills.fetch_add(killed as usize, Ordering::Relaxed);
            }
            tokio::time::sleep(BETWEEN_KILLS).await;
        }
    }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_that_is_killed_misses_nothing() {
    let _alone = alone().await;
    let site = Site::new();
    let url = site.redis.login_url();
    let (mut gateways, mut proxies) = (Vec::new(), Vec::new());
    for name in ["one", "two", "three"] {
        let proxy = Proxy::start(site.redis.port()).await;
        let launched = site.launch_at(&proxy.way_of(&url), name, &["--feed-interval=200ms"]);
        gateways.push(launched.ready().await);
        proxies.push(proxy);
    }
    let (mut operators, mut shared) = (Vec::new(), Vec::new());
    let (_, keeper) = gateways[0].operator().await.key("keeper").await;
    for gateway in &gateways {
        operators.push(gateway.operator().await);
        shared.push(Shared::open(gateway, &keeper).await);
    }
    let kills = Arc::new(AtomicUsize::new(0));
    let killing = kill(&site.redis, Arc::new(proxies), Arc::clone(&kills));
    let (operators, shared) = (&operators, &shared);
    let rounds = (0..AT_ONCE).map(|worker| async move {
        let mut took = Vec::new();
        for round in 0..REVOKES / AT_ONCE {
            let asked = (worker + round) % 3;
            let (id, key) = operators[asked].key("k").await;
            let there = (asked + 1 + round % 2) % 3;
            let mut watched = session(&shared[there].agent(&key)).await;
            let begun = Instant::now();
            operators[asked].revoke(&id).await;
            took.extend(watched.ended_by("KEY_REVOKED").await.map(|at| at - begun));
        }
        took
    });
    let took: Vec<Duration> = join_all(rounds).await.concat();
    drop(killing);
    let kills = kills.load(Ordering::Relaxed);
    let missed = REVOKES - took.len();
    let took = Figures::of(took);
    println!(
        "F3: missed {missed} of {REVOKES}, lease and hint killed {kills} times; from the call to the end: {took}"
    );
    assert_eq!(missed, 0);
    assert!(kills > 20, "the tail was hardly killed: {kills}");
    assert!(took.max() < INTERVAL + MARGIN && MARGIN < PATIENCE);
}
