//! Answers that say no more than is known: to an operator whose gateway stops, to an
//! agent whose gateway is cut off.

use std::sync::Arc;
use std::time::{Duration, Instant};

use muster::server::config::Config;
use muster::store::{AuditResult, AuditStore, GatewayStore};
use tonic::Code;

use crate::store::redis_store::gateway;
use crate::support::{FaultyStore, RedisServer, TestGateway, eventually, reason_of, within};

fn soon(config: &mut Config) {
    config.timing.feed_interval = Duration::from_millis(50);
    config.timing.expiry_recheck_deadline = Duration::from_millis(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_ends_the_wait_of_a_revoke_and_its_record_is_kept() {
    let redis = RedisServer::start();
    let store = redis.store(|_| {}).await;
    // It never reports, so that the revoke waits for it.
    store.enrol(gateway()).await.unwrap();
    let stopping = TestGateway::over(Arc::new(redis.store(|_| {}).await), soon).await;
    let operator = stopping.operator().await;
    let (key, _) = operator.key("k").await;
    let recorded = async || {
        let page = store.audit_before(None, 50).await.unwrap();
        let mut of_key = page.records.into_iter().filter(|record| {
            record.deed.action == "key.revoke" && record.deed.target.as_deref() == Some(&key)
        });
        let first = of_key.next();
        assert!(of_key.next().is_none(), "noted once");
        first.map(|record| record.deed.result)
    };
    let asked = {
        let (operator, key) = (operator.clone(), key.clone());
        tokio::spawn(async move { operator.revoke_within(&key, Duration::from_secs(30)).await })
    };
    eventually(
        "the deed is in the trail while the call waits",
        async || recorded().await == Some(AuditResult::Ok),
    )
    .await;
    assert!(!asked.is_finished(), "it waits");
    stopping.begin_stop();
    let outcome = within("what is known", asked).await.unwrap();
    assert!(!outcome.complete && !outcome.pending, "{outcome:?}");
    stopping.stopped().await;
    assert_eq!(recorded().await, Some(AuditResult::Ok));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_may_have_been_extended_is_not_called_expired() {
    const LIFE: Duration = Duration::from_secs(3);
    let redis = RedisServer::start();
    let store = Arc::new(FaultyStore::over(redis.store(|_| {}).await));
    let one = TestGateway::over(Arc::new(redis.store(|_| {}).await), soon).await;
    let cut_off = TestGateway::over(store.clone(), soon).await;
    let operator = one.operator().await;
    let (id, secret) = operator.key_for("extended", LIFE).await;
    let agent = cut_off.agent(&secret).await;
    let mut stream = agent.connect().await;
    store.set_failing(true);
    operator
        .set_expiry(&id, Duration::from_secs(3_600))
        .await
        .unwrap();
    assert_eq!(reason_of(&stream.end().await), "STORE_NOT_HEARD");
    let refused = agent.join().await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    one.agent(&secret).await.join().await.unwrap();
    store.set_failing(false);
    let agent = cut_off.agent(&secret).await;
    eventually("it is let in again", async || agent.join().await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_expired_while_the_store_was_heard_stays_expired() {
    let store = Arc::new(FaultyStore::new());
    let gateway = TestGateway::over(store.clone(), soon).await;
    let operator = gateway.operator().await;
    let (_, secret) = operator.key_for("short", Duration::from_secs(2)).await;
    let agent = gateway.agent(&secret).await;
    let mut stream = agent.connect().await;
    assert_eq!(reason_of(&stream.end().await), "KEY_EXPIRED");
    let ended = Instant::now();
    let agent = gateway.agent(&secret).await;
    eventually("the store was heard since", async || {
        gateway.metric("muster_view_age_seconds").await < ended.elapsed().as_secs_f64()
    })
    .await;
    store.set_failing(true);
    let refused = agent.join().await.unwrap_err();
    assert_eq!(reason_of(&refused), "KEY_EXPIRED", "{refused}");
}
