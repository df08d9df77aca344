//! Revoke against register, over the wire, at a gate instead of a sleep.

use std::sync::Arc;

use tonic::Code;

use crate::support::{FaultyStore, TestGateway, eventually, reason_of, within};

#[tokio::test]
async fn a_join_parked_in_its_load_is_refused_after_the_revoke() {
    let store = Arc::new(FaultyStore::new());
    let gateway = TestGateway::over(store.clone(), |_| {}).await;
    let operator = gateway.operator().await;
    let (id, key) = operator.key("k").await;
    let agent = gateway.agent(&key).await;
    // The load has read "valid" and is on its way back.
    let mut parked = store.park_next_load();
    let subscriber = agent.clone();
    let subscribing = tokio::spawn(async move { subscriber.subscribe().await.err() });
    parked.reached().await;
    let outcome = operator.revoke(&id).await;
    assert!(outcome.complete, "nobody is in yet");
    parked.release();
    let refused = within("the subscribe", subscribing).await.unwrap();
    let refused = refused.expect("a revoked key was let in");
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
    assert_eq!(reason_of(&refused), "KEY_REVOKED");
    assert_eq!(gateway.metric("muster_sessions_opened_total").await, 0.0);
    // The fill that came late is not what later calls are judged by.
    for _ in 0..3 {
        assert_eq!(reason_of(&agent.join().await.unwrap_err()), "KEY_REVOKED");
    }
}

#[tokio::test]
async fn a_call_parked_in_its_load_is_refused_after_the_revoke() {
    let store = Arc::new(FaultyStore::new());
    let gateway = TestGateway::over(store.clone(), |_| {}).await;
    let operator = gateway.operator().await;
    let (id, key) = operator.key("k").await;
    let agent = gateway.agent(&key).await;
    let mut parked = store.park_next_load();
    let joining = tokio::spawn(async move { agent.join().await.err() });
    parked.reached().await;
    operator.revoke(&id).await;
    parked.release();
    let refused = within("the join", joining).await.unwrap();
    assert_eq!(reason_of(&refused.expect("let in")), "KEY_REVOKED");
    assert_eq!(gateway.metric("muster_joins_total").await, 0.0);
}

#[tokio::test]
async fn a_session_admitted_just_before_the_revoke_is_cut() {
    let gateway = TestGateway::start().await;
    let operator = gateway.operator().await;
    let (id, key) = operator.key("k").await;
    let agent = gateway.agent(&key).await;
    // Headers are back, so it is admitted; nothing was ever read from it.
    let mut stream = agent.subscribe().await.unwrap();
    let outcome = operator.revoke(&id).await;
    assert_eq!(outcome.gateways[0].sessions_closed, 1);
    assert_eq!(reason_of(&stream.end().await), "KEY_REVOKED");
}

/// Everything at once, many times: whatever the order, nothing lives on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admit_and_a_revoke_in_any_order_leave_no_session() {
    let gateway = TestGateway::start().await;
    let operator = gateway.operator().await;
    for round in 0..20 {
        let (id, key) = operator.key(&format!("round {round}")).await;
        let mut subscribing = Vec::new();
        for _ in 0..8 {
            let agent = gateway.agent(&key).await;
            subscribing.push(tokio::spawn(async move {
                match agent.subscribe().await {
                    Ok(mut stream) => stream.end().await,
                    Err(refused) => refused,
                }
            }));
        }
        let outcome = operator.revoke(&id).await;
        assert!(outcome.complete);
        for task in subscribing {
            let end = within("an end", task).await.unwrap();
            assert_eq!(reason_of(&end), "KEY_REVOKED", "{end}");
        }
        assert!(operator.list_sessions(&id).await.is_empty());
    }
    eventually("no session is left", async || {
        gateway.metric("muster_sessions_live").await == 0.0
    })
    .await;
}
