//! What happened, in order, read late or as it happens.

use std::sync::Arc;
use std::time::Duration;

use muster::proto::admin::v1 as pb;
use muster::store::embedded::EmbeddedStore;
use muster::store::{EventStore, KeyStore};
use tonic::{Code, Status, Streaming};

use crate::support::{Operator, TestGateway, eventually, within};

async fn stream(
    operator: &Operator,
    since_id: u64,
    key: &str,
    follow: bool,
) -> Streaming<pb::StreamEventsResponse> {
    let request = pb::StreamEventsRequest {
        since_id,
        key_object_id: key.into(),
        follow,
    };
    let answer = operator.events().stream_events(request).await.unwrap();
    answer.into_inner()
}

/// Everything that is kept.
pub async fn events(operator: &Operator, key: &str) -> Vec<pb::Event> {
    let mut stream = stream(operator, 0, key, false).await;
    let mut events = Vec::new();
    while let Some(batch) = stream.message().await.unwrap() {
        assert_eq!(batch.missed, 0);
        events.extend(batch.events);
    }
    events
}

pub async fn kinds(operator: &Operator, key: &str) -> Vec<String> {
    let events = events(operator, key).await;
    events.into_iter().map(|event| event.kind).collect()
}

#[tokio::test]
async fn a_keys_life_is_told_in_order() {
    let gateway = TestGateway::start().await;
    let operator = gateway.operator().await;
    let (id, key) = operator.key("k").await;
    operator.key("another").await;
    let agent = gateway.agent(&key).await;
    let mut stream = agent.connect().await;
    operator
        .set_expiry(&id, Duration::from_secs(3600))
        .await
        .unwrap();
    operator.revoke(&id).await;
    stream.end().await;
    operator.delete(&id).await.unwrap();
    let mut told = events(&operator, &id).await;
    // The feed may cut the session before the door that revoked has noted it.
    if told[4].kind == "session_closed" {
        told.swap(4, 5);
    }
    let kinds: Vec<_> = told.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(
        kinds,
        [
            "key_created",
            "agent_joined",
            "session_opened",
            "key_edited",
            "key_revoked",
            "session_closed",
            "key_deleted"
        ]
    );
    assert!(told[0].detail.contains("by first (tok_"), "{:?}", told[0]);
    assert!(told[5].detail.ends_with("KEY_REVOKED"), "{:?}", told[5]);
    assert_eq!(told[1].agent_id, agent.id.to_string());
    assert!(told.iter().all(|event| event.key_object_id == id));
}

#[tokio::test]
async fn an_expiry_is_reported_once_also_across_a_restart() {
    let store = Arc::new(EmbeddedStore::in_memory().unwrap());
    let gateway = TestGateway::over(store.clone(), |_| {}).await;
    let operator = gateway.operator().await;
    let (id, _) = operator.key_for("k", Duration::from_secs(3600)).await;
    eventually("it looks for what expires from now on", async || {
        store.expiries_until().await.unwrap().is_some()
    })
    .await;
    store.clock().set_shift_millis(2 * 3600 * 1000);
    let expired = async |operator: &Operator| {
        let kinds = kinds(operator, &id).await;
        kinds.iter().filter(|kind| *kind == "key_expired").count()
    };
    eventually("the expiry is told", async || expired(&operator).await == 1).await;
    gateway.stopped().await;
    let gateway = TestGateway::over(store.clone(), |_| {}).await;
    let operator = gateway.operator().await;
    store.clock().set_shift_millis(3 * 3600 * 1000);
    let (late, _) = operator.key("k").await;
    store.clock().set_shift_millis(400 * 24 * 3600 * 1000);
    eventually("the other's expiry is told", async || {
        kinds(&operator, &late)
            .await
            .contains(&"key_expired".to_owned())
    })
    .await;
    assert_eq!(expired(&operator).await, 1, "not again");
}

#[tokio::test]
async fn a_follower_gets_new_events_until_the_gateway_stops() {
    let gateway = TestGateway::start().await;
    let operator = gateway.operator().await;
    let (id, _) = operator.key("k").await;
    let known = events(&operator, &id).await.pop().unwrap().id;
    let mut follower = stream(&operator, known, &id, true).await;
    operator.key("not followed").await;
    operator.revoke(&id).await;
    let batch = within("an event", follower.message())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(batch.events.len(), 1);
    assert_eq!(batch.events[0].kind, "key_revoked");
    gateway.begin_stop();
    let end = within("the end", follower.message()).await;
    let end: Status = end.unwrap_err();
    assert_eq!(end.code(), Code::Unavailable, "{end}");
    gateway.stopped().await;
}

/// A reader that does not read holds nobody up, and is told what it missed.
#[tokio::test]
async fn a_slow_reader_is_told_what_it_missed() {
    let gateway = TestGateway::start().await;
    let operator = gateway.operator().await;
    let (_, key) = operator.key("k").await;
    let mut slow = stream(&operator, 1, "", true).await;
    let agent = gateway.agent(&key).await;
    const JOINS: u64 = 13_000;
    for _ in 0..JOINS / 10 {
        let joins = (0..10).map(|_| agent.join());
        for joined in futures_util::future::join_all(joins).await {
            joined.unwrap();
        }
    }
    // Joins do not wait for their events: the last one is kept before the slow
    // reader reads on.
    eventually("all events are kept", async || {
        let mut rest = stream(&operator, JOINS, "", false).await;
        rest.message().await.unwrap().is_some()
    })
    .await;
    let mut seen = 0;
    let mut missed = 0;
    while seen + missed < JOINS {
        let batch = within("a batch", slow.message()).await.unwrap().unwrap();
        missed += batch.missed;
        seen += batch.events.len() as u64;
    }
    assert_eq!(seen + missed, JOINS);
    println!("of {JOINS} events a slow reader got {seen} and missed {missed}");
    assert!(missed > 0 && seen >= 10_000);
}

#[tokio::test]
async fn a_flood_of_refusals_makes_few_events_and_is_counted() {
    let gateway = TestGateway::start().await;
    let operator = gateway.operator().await;
    let (id, key) = operator.key("k").await;
    operator.revoke(&id).await;
    let mut agent = gateway.agent(&key).await;
    for n in 0..100 {
        agent.id = uuid::Uuid::from_u128(n);
        agent.join().await.unwrap_err();
        agent.join().await.unwrap_err();
    }
    let told = events(&operator, &id).await;
    let rejected: Vec<_> = told.iter().filter(|e| e.kind == "rejected").collect();
    assert_eq!(rejected.len(), 30, "each kind once, and so many a minute");
    assert_eq!(rejected[0].detail, "KEY_REVOKED from 127.0.0.1");
    assert_eq!(rejected[1].agent_id, uuid::Uuid::from_u128(1).to_string());
}

#[tokio::test]
async fn an_agent_that_changes_its_key_is_reported_and_a_clone_found() {
    let gateway = TestGateway::configured(|config| {
        config.timing.identity_conflict_after = Duration::from_millis(200);
    })
    .await;
    let operator = gateway.operator().await;
    let (first, key) = operator.key("first").await;
    let (second, other) = operator.key("second").await;
    // Moved without overlap: no conflict.
    let mover = gateway.agent(&key).await;
    drop(mover.connect().await);
    eventually("its session is gone", async || {
        operator.list_sessions(&first).await.is_empty()
    })
    .await;
    let moved = mover.with_key(Some(&other)).connect().await;
    // A clone: both stay.
    let clone = gateway.agent(&key).await;
    let _old = clone.connect().await;
    let _new = clone.with_key(Some(&other)).connect().await;
    eventually("the clone is found out", async || {
        kinds(&operator, &second)
            .await
            .contains(&"identity_conflict".to_owned())
    })
    .await;
    let told = events(&operator, &second).await;
    let of = |kind: &str| -> Vec<_> {
        let of_kind = told.iter().filter(|event| event.kind == kind);
        of_kind.map(|event| event.agent_id.clone()).collect()
    };
    let (mover, clone) = (mover.id.to_string(), clone.id.to_string());
    assert_eq!(of("agent_changed_key"), [mover, clone.clone()]);
    assert_eq!(of("identity_conflict"), [clone]);
    assert!(told.iter().any(|event| event.detail.contains(&first)));
    drop(moved);
}

#[test]
fn the_page_tells_every_kind_and_no_other() {
    let page = include_str!("../../../docs/events.md");
    let row = |line: &str| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned());
    let told: Vec<_> = page.lines().filter_map(row).collect();
    let kinds = muster::store::EventKind::ALL.map(muster::store::EventKind::as_str);
    assert_eq!(told, kinds);
}
