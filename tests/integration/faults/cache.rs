//! A cache hit makes no round trip.

use std::sync::Arc;

use crate::support::{RedisServer, TestGateway};

const JOINS: u64 = 1_000;

/// How often Redis has run GET: for the record of a key, and by the writer of
/// events, before each batch.
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
    let (id, key) = operator.key("warm").await;
    let (_, cold) = operator.key("cold").await;
    let agent = gateway.agent(&key).await;
    agent.join().await.unwrap();
    // Were it looked at, the key would be missing.
    let record = format!("{{muster}}:key:{}", id.trim_start_matches("key_"));
    let mut raw = redis.raw().await;
    let mut del = redis::cmd("DEL");
    let deleted: u64 = del.arg(record).query_async(&mut raw).await.unwrap();
    assert_eq!(deleted, 1);
    let before = loads(&redis).await;
    for _ in 0..JOINS {
        agent.join().await.unwrap();
    }
    let joined = loads(&redis).await;
    agent.with_key(Some(&cold)).join().await.unwrap();
    let after = loads(&redis).await;
    println!(
        "cache: {} GETs for {JOINS} joins with a key that is cached",
        joined - before,
    );
    assert!(joined - before < JOINS / 2, "{}", joined - before);
    assert!(after > joined, "the count counts");
}
