//! F1: a revoke while all is well, of many sessions and of one.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream;

use super::{Figures, Shared, Watched, alone, session};
use crate::support::{Process, Site, TestAgent};

const KEYS: usize = 3;
const SESSIONS_OF_A_KEY: usize = 1_000;
/// Sessions on one connection: thousands of handshakes take a build without
/// optimisation minutes.
const ON_A_CONNECTION: usize = if cfg!(debug_assertions) { 10 } else { 1 };
const SINGLE: usize = 200;

/// Sessions of one key on one gateway, as many as a connection has.
async fn sessions(gateway: &Process, key: &str, count: usize) -> Vec<Watched> {
    let channel = gateway.agent_channel().await;
    let open = (0..count).map(|_| async {
        let agent = TestAgent::new(channel.clone(), key);
        session(&agent).await
    });
    join_all(open).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_sessions_of_one_key_of_three_end() {
    let _alone = alone().await;
    let site = Site::new();
    let gateways = site.three().await;
    let operator = gateways[0].operator().await;
    let mut keys = Vec::new();
    for n in 0..KEYS {
        keys.push(operator.key(&format!("key {n}")).await);
    }
    let mut of_key = Vec::new();
    for (_, secret) in &keys {
        let connections = SESSIONS_OF_A_KEY / ON_A_CONNECTION;
        let open = (0..connections).map(|n| {
            let gateway = &gateways[n % gateways.len()];
            sessions(gateway, secret, ON_A_CONNECTION)
        });
        let opened: Vec<Vec<Watched>> = stream::iter(open).buffer_unordered(16).collect().await;
        of_key.push(opened.into_iter().flatten().collect::<Vec<_>>());
    }

    let (id, _) = &keys[1];
    let begun = Instant::now();
    let outcome = operator.revoke(id).await;
    let answered = begun.elapsed();
    let mut took = Vec::new();
    for watched in &mut of_key[1] {
        took.extend(watched.ended_by("KEY_REVOKED").await.map(|at| at - begun));
    }
    let missed = SESSIONS_OF_A_KEY - took.len();
    let took = Figures::of(took);
    println!(
        "F1: missed {missed} of {SESSIONS_OF_A_KEY} sessions on 3 gateways, {} others stay; from \
         the call to the end: {took}; answered after {} ms",
        (KEYS - 1) * SESSIONS_OF_A_KEY,
        answered.as_millis()
    );
    assert_eq!(missed, 0);
    assert!(outcome.complete, "{outcome:?}");
    let closed: u64 = outcome.gateways.iter().map(|g| g.sessions_closed).sum();
    assert_eq!(closed, SESSIONS_OF_A_KEY as u64);
    let others = of_key[0].iter().chain(&of_key[2]);
    assert_eq!(others.filter(|watched| watched.has_ended()).count(), 0);
    let mut live = 0.0;
    for gateway in &gateways {
        live += gateway.metric("muster_sessions_live").await;
    }
    assert_eq!(live, ((KEYS - 1) * SESSIONS_OF_A_KEY) as f64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_session_on_another_gateway_ends() {
    let _alone = alone().await;
    let site = Site::new();
    let gateways = site.three().await;
    let mut operators = Vec::new();
    for gateway in &gateways {
        operators.push(gateway.operator().await);
    }
    let (_, keeper) = operators[0].key("keeper").await;
    let mut shared = Vec::new();
    for gateway in &gateways {
        shared.push(Shared::open(gateway, &keeper).await);
    }
    let (mut to_end, mut to_answer) = (Vec::new(), Vec::new());
    for round in 0..SINGLE {
        let asked = round % gateways.len();
        let (id, key) = operators[asked].key("single").await;
        let there = (asked + 1 + round % 2) % gateways.len();
        let mut watched = session(&shared[there].agent(&key)).await;
        let begun = Instant::now();
        let outcome = operators[asked].revoke(&id).await;
        to_answer.push(begun.elapsed());
        assert!(outcome.complete, "{outcome:?}");
        let at = watched.ended_by("KEY_REVOKED").await;
        to_end.push(at.expect("its session lives on") - begun);
    }
    let (to_end, to_answer) = (Figures::of(to_end), Figures::of(to_answer));
    println!(
        "F1: {SINGLE} revokes of one session on another gateway: to its end {to_end}; to the answer {to_answer}"
    );
    assert!(to_end.max() < Duration::from_secs(20));
}
