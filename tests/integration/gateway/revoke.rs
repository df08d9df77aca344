//! A revoke cuts every session of its key, and nobody else's.

use std::time::Duration;

use futures_util::future::join_all;
use tonic::Code;

use crate::support::{TestGateway, eventually, reason_of};

/// Agents with a live session each, on connections of their own.
const MANY: usize = 500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_sessions_of_the_key_end_and_all_their_sockets_close() {
    // The default: this many clients need their time to read why, on a busy
    // machine.
    let cut_after = Duration::from_secs(2);
    let gateway = TestGateway::configured(|config| config.limits.cut_after = cut_after).await;
    let operator = gateway.operator().await;
    let (id, key) = operator.key("cut").await;
    let (other_id, other_key) = operator.key("kept").await;
    let bystander = gateway.agent(&other_key).await;
    let mut kept = bystander.connect().await;
    let mut agents = Vec::new();
    let mut streams = Vec::new();
    for _ in 0..MANY {
        let agent = gateway.agent(&key).await;
        streams.push(agent.connect().await);
        agents.push(agent);
    }
    assert_eq!(operator.list_sessions(&id).await.len(), MANY);
    assert_eq!(operator.show(&id).await.unwrap().live_sessions, MANY as u64);
    assert_eq!(
        gateway.metric("muster_connections_open").await,
        MANY as f64 + 1.0
    );

    let outcome = operator.revoke(&id).await;
    println!("revoke with {MANY} sessions: {:?}", outcome.gateways);
    assert!(outcome.complete);
    assert_eq!(outcome.gateways[0].sessions_closed, MANY as u64);
    assert_eq!(outcome.gateways[0].sessions_closing, 0);
    for status in join_all(streams.iter_mut().map(|stream| stream.end())).await {
        assert_eq!(status.code(), Code::Unauthenticated, "{status}");
        assert_eq!(reason_of(&status), "KEY_REVOKED");
        assert!(status.message().contains(&id), "{status}");
    }
    // The streams are kept on purpose: the gateway has to close the sockets.
    eventually("the sockets of the revoked key close", async || {
        gateway.metric("muster_connections_open").await == 1.0
    })
    .await;
    assert!(operator.list_sessions(&id).await.is_empty());
    assert_eq!(operator.list_sessions(&other_id).await.len(), 1);
    bystander.join().await.expect("another key's agent goes on");

    for agent in &agents[..20] {
        let status = agent.join().await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
        assert_eq!(reason_of(&status), "KEY_REVOKED");
        let status = agent.subscribe().await.err().unwrap();
        assert_eq!(reason_of(&status), "KEY_REVOKED");
    }
    let closed = gateway
        .metric("muster_sessions_closed_total{reason=\"KEY_REVOKED\"}")
        .await;
    assert_eq!(closed, MANY as f64);
    let alive = tokio::time::timeout(Duration::ZERO, kept.incoming.message());
    assert!(alive.await.is_err(), "the other key's stream still stands");
}

#[tokio::test]
async fn a_refused_retry_keeps_its_connection_a_while_and_is_cheap() {
    let gateway = TestGateway::start().await;
    let operator = gateway.operator().await;
    let (id, key) = operator.key("k").await;
    operator.revoke(&id).await;
    let agent = gateway.agent(&key).await;
    let opened = gateway.metric("muster_connections_open").await;
    for _ in 0..50 {
        let status = agent.join().await.unwrap_err();
        assert_eq!(reason_of(&status), "KEY_REVOKED");
    }
    // On the same connection: no handshake for each retry.
    assert_eq!(gateway.metric("muster_connections_open").await, opened);
    let misses = gateway.metric("muster_key_cache_misses_total").await;
    assert_eq!(misses, 0.0, "the revoke put the record into the cache");
}

#[tokio::test]
async fn on_a_shared_connection_only_the_revoked_keys_stream_ends() {
    let gateway = TestGateway::start().await;
    let operator = gateway.operator().await;
    let (revoked, key) = operator.key("cut").await;
    let (_, other_key) = operator.key("kept").await;
    // As behind an L7 proxy: two agents on one connection.
    let one = gateway.agent(&key).await;
    let mut two = one.with_key(Some(&other_key));
    two.id = uuid::Uuid::from_u128(2);
    let mut cut = one.connect().await;
    let kept = two.connect().await;
    operator.revoke(&revoked).await;
    assert_eq!(reason_of(&cut.end().await), "KEY_REVOKED");
    // Well past the cut (300 ms here) the other stream still stands.
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert_eq!(gateway.metric("muster_sessions_live").await, 1.0);
    assert_eq!(gateway.metric("muster_connections_open").await, 1.0);
    drop(kept);
}

#[tokio::test]
async fn a_revoked_and_deleted_key_is_unknown() {
    let gateway = TestGateway::start().await;
    let operator = gateway.operator().await;
    let (id, key) = operator.key("k").await;
    let agent = gateway.agent(&key).await;
    agent.join().await.unwrap();
    operator.revoke(&id).await;
    operator.delete(&id).await.unwrap();
    let status = agent.join().await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(reason_of(&status), "UNKNOWN_KEY");
}
