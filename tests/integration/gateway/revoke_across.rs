//! A revoke on one gateway reaches every session on every gateway of the store.

use std::sync::Arc;
use std::time::{Duration, Instant};

use muster::keys::Id;
use muster::proto::admin::v1 as pb;
use muster::store::redis::RedisStore;
use muster::store::{GatewayId, GatewayInfo, GatewayStore, KeyStore};
use tonic::Code;

use crate::support::{RedisServer, TestGateway, eventually, operators, reason_of, three_on};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_sessions_everywhere_end_and_each_gateway_says_how_many() {
    /// Of the key to be revoked, on each gateway.
    const EACH: usize = 30;
    let redis = RedisServer::start();
    let gateways = three_on(&redis).await;
    let operators = operators(&gateways).await;
    let (id, key) = operators[0].key("cut").await;
    let (kept_id, kept_key) = operators[1].key("kept").await;
    let (mut streams, mut kept) = (Vec::new(), Vec::new());
    for gateway in &gateways {
        for _ in 0..EACH {
            // Made on one, it is good on all.
            let agent = gateway.agent(&key).await;
            streams.push((agent.connect().await, agent));
        }
        let bystander = gateway.agent(&kept_key).await;
        kept.push((bystander.connect().await, bystander));
    }

    let asked = Instant::now();
    let outcome = operators[2].revoke(&id).await;
    println!("3 gateways, {EACH} sessions each: {:?}", asked.elapsed());
    assert!(outcome.complete, "{outcome:?}");
    let mut names: Vec<_> = outcome.gateways.iter().map(|g| &g.gateway_name).collect();
    names.sort();
    assert_eq!(names, ["a", "b", "c"]);
    for gateway in &outcome.gateways {
        println!("  {gateway:?}");
        assert!(gateway.applied);
        assert_eq!(
            (gateway.sessions_closed, gateway.sessions_closing),
            (EACH as u64, 0)
        );
    }
    for (mut stream, agent) in streams {
        let status = stream.end().await;
        assert_eq!(status.code(), Code::Unauthenticated, "{status}");
        assert_eq!(reason_of(&status), "KEY_REVOKED");
        let status = agent.join().await.unwrap_err();
        assert_eq!(reason_of(&status), "KEY_REVOKED", "{status:?}");
    }
    for (_stream, agent) in &kept {
        agent.join().await.expect("another key's agent goes on");
    }
    for operator in &operators {
        eventually("each shows the three that stay", async || {
            operator.list_sessions(&kept_id).await.len() == 3
        })
        .await;
    }

    // Again, from another one: harmless, and the same picture.
    let again = operators[0].revoke(&id).await;
    assert!(again.complete);
    assert_eq!(again.revision, outcome.revision);
    let closed: u64 = again.gateways.iter().map(|g| g.sessions_closed).sum();
    assert_eq!(closed, 3 * EACH as u64, "{again:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_revoked_by_two_at_once_is_revoked_once() {
    let redis = RedisServer::start();
    let gateways = three_on(&redis).await;
    let operators = operators(&gateways).await;
    let (id, key) = operators[0].key("k").await;
    let agent = gateways[2].agent(&key).await;
    let mut stream = agent.connect().await;
    let (one, two) = tokio::join!(operators[0].revoke(&id), operators[1].revoke(&id));
    assert!(one.complete && two.complete, "{one:?} {two:?}");
    assert_eq!(one.revision, two.revision);
    assert_eq!(stream.end().await.code(), Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_gateway_is_named_and_the_revoke_is_incomplete() {
    let redis = RedisServer::start();
    let gateways = three_on(&redis).await;
    let operators = operators(&gateways).await;
    let (id, _) = operators[0].key("k").await;
    // As one that was killed: enrolled, and silent.
    let silent = {
        let store = redis.store(|_| {}).await;
        let info = GatewayInfo {
            id: GatewayId(Id::random().unwrap()),
            name: "silent".into(),
            version: "0".into(),
        };
        store.enrol(info.clone()).await.unwrap();
        info.id
    };
    let wait = Duration::from_millis(300);
    let asked = Instant::now();
    let outcome = operators[0].revoke_within(&id, wait).await;
    // The wait and a margin of three seconds for a busy machine.
    assert!(asked.elapsed() < wait + Duration::from_secs(3));
    assert!(!outcome.complete);
    for gateway in &outcome.gateways {
        assert_eq!(
            gateway.applied,
            gateway.gateway_name != "silent",
            "{gateway:?}"
        );
    }
    // It can be forgotten, but not while it may live.
    let forget = async |store: RedisStore, id: GatewayId| {
        let gateway = TestGateway::over(Arc::new(store), |_| {}).await;
        let operator = gateway.operator().await;
        let gateway_id = id.to_string();
        let request = pb::ForgetGatewayRequest { gateway_id };
        let answer = operator.gateways().forget_gateway(request).await;
        gateway.stopped().await;
        answer.map(|_| ())
    };
    let alive = forget(redis.store(|_| {}).await, silent).await.unwrap_err();
    assert_eq!(alive.code(), Code::FailedPrecondition, "{alive}");
    let later = redis.store(|_| {}).await;
    later.clock().set_shift_millis(11_000);
    forget(later, silent).await.unwrap();
    assert!(operators[1].revoke(&id).await.complete);
    let unknown = forget(redis.store(|_| {}).await, silent).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound, "{unknown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_hint_changes_still_arrive_with_the_heartbeat() {
    let redis = RedisServer::start();
    let gateways = three_on(&redis).await;
    let operators = operators(&gateways).await;
    let mut raw = redis.raw().await;
    for round in 0..10 {
        let (id, key) = operators[round % 3].key("k").await;
        let agent = gateways[(round + 1) % 3].agent(&key).await;
        let mut stream = agent.connect().await;
        // Every connection of every gateway, the blocked ones among them.
        let mut kill = redis::cmd("CLIENT");
        kill.arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"]);
        let killed: u64 = kill.query_async(&mut raw).await.unwrap();
        assert!(killed > 0);
        eventually("the revoke is taken", async || {
            let request = pb::RevokeKeyRequest {
                object_id: id.clone(),
                wait: None,
            };
            let revoked = operators[(round + 2) % 3].keys().revoke_key(request).await;
            revoked.is_ok_and(|answer| answer.into_inner().complete)
        })
        .await;
        let status = stream.end().await;
        assert_eq!(reason_of(&status), "KEY_REVOKED", "{status}");
    }
}
