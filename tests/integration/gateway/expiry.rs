//! Expiry cuts as a revoke does; an edit moves it.

use std::sync::Arc;
use std::time::Duration;

use muster::store::KeyStore;
use muster::store::embedded::EmbeddedStore;
use tonic::Code;

use crate::support::{FaultyStore, TestGateway, eventually, reason_of, within};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn live_sessions_end_when_their_key_expires() {
    let gateway = TestGateway::start().await;
    let operator = gateway.operator().await;
    let (id, key) = operator.key_for("short", Duration::from_millis(1500)).await;
    let (_, other) = operator.key("long").await;
    let bystander = gateway.agent(&other).await.connect().await;
    let agent = gateway.agent(&key).await;
    let mut stream = agent.connect().await;
    let status = stream.end().await;
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(reason_of(&status), "KEY_EXPIRED");
    assert!(status.message().contains(&id), "{status}");
    let retry = agent.join().await.unwrap_err();
    assert_eq!(retry.code(), Code::Unauthenticated);
    assert_eq!(reason_of(&retry), "KEY_EXPIRED");
    eventually("the expired key's socket closes", async || {
        gateway.metric("muster_connections_open").await == 1.0
    })
    .await;
    assert_eq!(gateway.metric("muster_sessions_live").await, 1.0);
    drop(bystander);
}

#[tokio::test]
async fn an_edit_moves_the_end_both_ways() {
    let store = Arc::new(EmbeddedStore::in_memory().unwrap());
    let gateway = TestGateway::over(store.clone(), |_| {}).await;
    let operator = gateway.operator().await;
    let (id, key) = operator.key_for("k", HOUR).await;
    let agent = gateway.agent(&key).await;
    let mut stream = agent.connect().await;
    // Later: the time it would have expired passes, and nothing happens.
    operator.set_expiry(&id, 10 * HOUR).await.unwrap();
    store.clock().set_shift_millis(2 * 3600 * 1000);
    agent.join().await.unwrap();
    assert_eq!(operator.list_sessions(&id).await.len(), 1);
    // Sooner (ten hours from now, on the store's clock eight): the clock
    // passes it, and the session ends.
    operator.set_expiry(&id, 3 * HOUR).await.unwrap();
    store.clock().set_shift_millis(4 * 3600 * 1000);
    assert_eq!(reason_of(&stream.end().await), "KEY_EXPIRED");
}

#[tokio::test]
async fn a_load_of_the_old_record_does_not_outlive_an_edit() {
    let store = Arc::new(FaultyStore::new());
    let gateway = TestGateway::over(store.clone(), |_| {}).await;
    let operator = gateway.operator().await;
    let (id, key) = operator.key_for("k", 10 * HOUR).await;
    let agent = gateway.agent(&key).await;
    // The load has read the record with ten hours; meanwhile it becomes one.
    let mut parked = store.park_next_load();
    let subscribing = tokio::spawn(async move { (agent.subscribe().await, agent) });
    parked.reached().await;
    operator.set_expiry(&id, HOUR).await.unwrap();
    parked.release();
    let (stream, _agent) = within("the subscribe", subscribing).await.unwrap();
    let mut stream = stream.expect("the key is valid either way");
    store.clock().set_shift_millis(2 * 3600 * 1000);
    assert_eq!(reason_of(&stream.end().await), "KEY_EXPIRED");
}

#[tokio::test]
async fn a_load_of_the_old_record_does_not_hide_an_extension() {
    let store = Arc::new(FaultyStore::new());
    let gateway = TestGateway::over(store.clone(), |_| {}).await;
    let operator = gateway.operator().await;
    let (id, key) = operator.key_for("k", HOUR).await;
    let agent = gateway.agent(&key).await;
    let mut parked = store.park_next_load();
    let subscribing = tokio::spawn(async move { (agent.subscribe().await, agent) });
    parked.reached().await;
    operator.set_expiry(&id, 10 * HOUR).await.unwrap();
    parked.release();
    let (stream, agent) = within("the subscribe", subscribing).await.unwrap();
    let _stream = stream.unwrap();
    store.clock().set_shift_millis(2 * 3600 * 1000);
    agent.join().await.expect("extended: still good");
    assert_eq!(operator.list_sessions(&id).await.len(), 1);
}

#[tokio::test]
async fn an_expired_key_that_the_store_cannot_confirm_is_ended() {
    let store = Arc::new(FaultyStore::new());
    let gateway = TestGateway::over(store.clone(), |_| {}).await;
    let operator = gateway.operator().await;
    let (_, key) = operator.key_for("k", HOUR).await;
    let mut stream = gateway.agent(&key).await.connect().await;
    store.set_failing(true);
    store.clock().set_shift_millis(2 * 3600 * 1000);
    assert_eq!(reason_of(&stream.end().await), "KEY_EXPIRED");
}

#[tokio::test]
async fn the_warning_comes_before_the_end() {
    let gateway = TestGateway::start().await;
    let operator = gateway.operator().await;
    let (id, key) = operator.key_for("soon", HOUR).await;
    let (unused, _) = operator.key_for("unused", HOUR).await;
    let stream = gateway.agent(&key).await.connect().await;
    let sample = format!("muster_key_expires_in_seconds{{key=\"{id}\"}}");
    let left = gateway.metric(&sample).await;
    assert!((3500.0..=3600.0).contains(&left), "{left}");
    let (_, text) = gateway.ops("/metrics").await;
    assert!(!text.contains(&unused), "it has no live agent");
    drop(stream);
}
