//! A cache hit makes no round trip.

use std::sync::Arc;

use crate::support::{RedisServer, TestGateway};

const JOINS: usize = 1_000;

/// How often Redis has run GET, which reads the record of a key and nothing else
/// does.
async fn loads(redis: &RedisServer) -> u64 {
    let mut raw = redis.raw().await;
    let mut info = redis::cmd("INFO");
    let info: String = info
        .arg("commandstats")
        .query_async(&mut raw)
        .await
        .unwrap();
    let line = info
        .lines()
        .find_map(|l| l.strip_prefix("cmdstat_get:calls="));
    line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cache_hit_makes_no_round_trip() {
    let redis = RedisServer::start();
    let store = Arc::new(redis.store(|_| {}).await);
    let gateway = TestGateway::over(store, |_| {}).await;
    let operator = gateway.operator().await;
    let (_, key) = operator.key("warm").await;
    let (_, cold) = operator.key("cold").await;
    let agent = gateway.agent(&key).await;
    agent.join().await.unwrap();
    let before = loads(&redis).await;
    for _ in 0..JOINS {
        agent.join().await.unwrap();
    }
    let joined = loads(&redis).await;
    agent.with_key(Some(&cold)).join().await.unwrap();
    let after = loads(&redis).await;
    println!(
        "cache: {} loads for {JOINS} joins with a key that is cached, {} for one that is not",
        joined - before,
        after - joined
    );
    assert_eq!(joined, before);
    assert_eq!(after, joined + 1, "the count counts");
}
