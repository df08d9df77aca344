//! A Redis that refuses writes, or may throw keys away, and what is said of it.

use muster::proto::admin::v1 as pb;

use crate::support::{PATIENCE, Process, RedisServer, Site, eventually, reason_of};

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_moved_to_redis_is_not_served_from_its_old_file() {
    let redis = RedisServer::start();
    let folder = tempfile::tempdir().unwrap();
    let gateway = Process::start(folder.path(), &[]).await;
    let (_, key) = gateway.operator().await.key("k").await;
    gateway.stop(PATIENCE).await;
    let copy = tokio::process::Command::new(env!("CARGO_BIN_EXE_muster"))
        .env_remove("MUSTER_HISTORY_SECONDS")
        .args(["store", "copy", "--from"])
        .arg(format!("embedded:{}", folder.path().display()))
        .args(["--to", &redis.url()])
        .output();
    let copy = copy.await.unwrap();
    assert!(
        copy.status.success(),
        "{}",
        String::from_utf8_lossy(&copy.stderr)
    );

    let (code, log) = Process::launch(folder.path(), &[]).ended().await;
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("--store") && log.contains("store.id"), "{log}");
    let gateway = Process::start(folder.path(), &["--store", &redis.url()]).await;
    gateway.agent(&key).await.join().await.unwrap();
    gateway.stop(PATIENCE).await;
    // The other way out, by hand.
    std::fs::remove_file(folder.path().join("store.id")).unwrap();
    let gateway = Process::start(folder.path(), &[]).await;
    gateway.agent(&key).await.join().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_started_again_after_a_kill_takes_its_own_place() {
    let site = Site::new();
    let mut gateways = site.three().await;
    let operator = gateways[1].operator().await;
    let (id, key) = operator.key("k").await;
    let mut stream = gateways[1].agent(&key).await.connect().await;
    gateways[0].kill().await;
    let name = gateways[0].dir().file_name().unwrap().to_str().unwrap();
    let again = site.launch(name).ready().await;
    let mut gateways_of_store = operator.gateways();
    let listed = gateways_of_store.list_gateways(pb::ListGatewaysRequest::default());
    let listed = listed.await.unwrap().into_inner().gateways;
    assert_eq!(listed.len(), 3, "{listed:?}");
    let outcome = operator.revoke(&id).await;
    assert!(outcome.complete, "{outcome:?}");
    assert_eq!(reason_of(&stream.end().await), "KEY_REVOKED");
    again.stop(PATIENCE).await;
}
