//! A Redis that refuses writes, or may throw keys away, and what is said of it.

use muster::proto::admin::v1 as pb;

use crate::support::{Process, RedisServer, eventually};

async fn set(redis: &RedisServer, setting: &str, value: &str) {
    let mut command = redis::cmd("CONFIG");
    command.arg(&["SET", setting, value]);
    let () = command.query_async(&mut redis.raw().await).await.unwrap();
}

async fn readyz(gateway: &Process, is_ready: bool) -> String {
    eventually("a change of /readyz", async || {
        gateway.get("/readyz").await.contains("200 OK") == is_ready
    })
    .await;
    gateway.get("/readyz").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn out_of_memory_is_named_and_nothing_is_of_unknown_outcome() {
    let redis = RedisServer::start();
    let folder = tempfile::tempdir().unwrap();
    let gateway = Process::start(folder.path(), &["--store", &redis.url()]).await;
    let operator = gateway.operator().await;
    let (_, key) = operator.key("k").await;
    let agent = gateway.agent(&key).await;
    let _stream = agent.connect().await;

    set(&redis, "maxmemory", "1").await;
    let why = readyz(&gateway, false).await;
    assert!(
        why.contains("out of memory") && why.contains("maxmemory"),
        "{why}"
    );
    assert_eq!(gateway.metric("muster_store_unwritable").await, 1.0);
    let request = pb::CreateKeyRequest {
        name: "new".into(),
        ..Default::default()
    };
    let refused = operator.keys().create_key(request).await.err().unwrap();
    assert!(refused.message().contains("not created"), "{refused}");
    assert!(refused.message().contains("out of memory"), "{refused}");
    // What is known goes on.
    agent.join().await.unwrap();

    set(&redis, "maxmemory", "0").await;
    readyz(&gateway, true).await;
    operator.key("new").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_evicts_is_refused_at_a_start_and_an_alarm_later() {
    let redis = RedisServer::start();
    set(&redis, "maxmemory-policy", "allkeys-lru").await;
    let folder = tempfile::tempdir().unwrap();
    let (code, log) = Process::launch(folder.path(), &["--store", &redis.url()])
        .ended()
        .await;
    assert_eq!(code, Some(1), "{log}");
    assert!(
        log.contains("allkeys-lru") && log.contains("noeviction"),
        "{log}"
    );

    set(&redis, "maxmemory-policy", "noeviction").await;
    let gateway = Process::start(folder.path(), &["--store", &redis.url()]).await;
    readyz(&gateway, true).await;
    set(&redis, "maxmemory-policy", "volatile-ttl").await;
    let why = readyz(&gateway, false).await;
    assert!(
        why.contains("volatile-ttl") && why.contains("CONFIG SET"),
        "{why}"
    );
    set(&redis, "maxmemory-policy", "noeviction").await;
    readyz(&gateway, true).await;
}
