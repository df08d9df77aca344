//! Events and agents of all gateways of a store, seen from any of them.

mod mirrors;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster::proto::admin::v1 as pb;
use muster::store::KeyStore;
use muster::store::redis::RedisStore;
use tonic::{Code, Streaming};
use uuid::Uuid;

use crate::agent_api::agents::{agent, instances, join_with_nginx};
use crate::gateway::events::{events, kinds};
use crate::support::{Operator, RedisServer, TestGateway, eventually, within};

/// A gateway of the three, its store and somebody who asks it.
struct Member {
    gateway: TestGateway,
    operator: Operator,
    store: Arc<RedisStore>,
}

async fn three_on(redis: &RedisServer) -> Vec<Member> {
    let mut members = Vec::new();
    for name in ["a", "b", "c"] {
        let store = Arc::new(redis.store(|_| {}).await);
        let shared = store.clone();
        let gateway = TestGateway::over(shared, |config| config.gateway_name = name.into()).await;
        let operator = gateway.operator().await;
        members.push(Member {
            gateway,
            operator,
            store,
        });
    }
    members
}

async fn follow(operator: &Operator, since_id: u64) -> Streaming<pb::StreamEventsResponse> {
    let request = pb::StreamEventsRequest {
        since_id,
        key_object_id: String::new(),
        follow: true,
    };
    let answer = operator.events().stream_events(request).await.unwrap();
    answer.into_inner()
}

/// The next `count` events of a follower.
async fn next(follower: &mut Streaming<pb::StreamEventsResponse>, count: usize) -> Vec<pb::Event> {
    let mut told = Vec::new();
    while told.len() < count {
        let batch = within("events", follower.message()).await.unwrap().unwrap();
        assert_eq!(batch.missed, 0);
        // That the store's history changed is told by each gateway for itself.
        let of_keys = |event: &pb::Event| event.kind != "store_new_history";
        told.extend(batch.events.into_iter().filter(of_keys));
    }
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_gateways_show_the_same_events_in_one_order_each_once() {
    /// Keys created on each gateway, at the same time.
    const EACH: usize = 40;
    let redis = RedisServer::start();
    let members = three_on(&redis).await;
    let mut followers = Vec::new();
    for member in &members {
        followers.push(follow(&member.operator, 0).await);
    }
    let begun = Instant::now();
    let creations = members.iter().map(async |member| {
        for n in 0..EACH {
            member.operator.key(&n.to_string()).await;
        }
    });
    futures_util::future::join_all(creations).await;
    println!("{EACH} keys on each of 3 gateways: {:?}", begun.elapsed());
    let created = Instant::now();
    let mut all = Vec::new();
    for follower in &mut followers {
        all.push(next(follower, 3 * EACH).await);
    }
    println!("all followers have all: {:?} later", created.elapsed());
    let ids: Vec<_> = all[0].iter().map(|event| event.id).collect();
    assert_eq!(ids, (1..=3 * EACH as u64).collect::<Vec<_>>());
    assert_eq!(all[0], all[1]);
    assert_eq!(all[0], all[2]);
    let mut by_gateway = HashMap::new();
    for event in &all[0] {
        *by_gateway.entry(event.gateway_name.as_str()).or_insert(0) += 1;
    }
    assert_eq!(
        by_gateway,
        HashMap::from([("a", EACH), ("b", EACH), ("c", EACH)])
    );
    // Who asks late, and on whichever, is shown the same.
    for member in &members {
        assert_eq!(events(&member.operator, "").await, all[0]);
    }
    // What was done on one is known on another at once.
    let (id, _) = members[0].operator.key("late").await;
    assert_eq!(kinds(&members[0].operator, &id).await, ["key_created"]);
    assert_eq!(kinds(&members[1].operator, &id).await, ["key_created"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expiry_is_reported_once_by_all_gateways() {
    let redis = RedisServer::start();
    let members = three_on(&redis).await;
    let hour = Duration::from_secs(3600);
    let (first, _) = members[0].operator.key_for("first", hour).await;
    let (second, _) = members[0].operator.key_for("second", 3 * hour).await;
    let expired = async |member: &Member, id: &str| {
        let kinds = kinds(&member.operator, id).await;
        kinds.iter().filter(|kind| *kind == "key_expired").count()
    };
    let shift = |hours: i64| {
        for member in &members {
            member.store.clock().set_shift_millis(hours * 3_600_000);
        }
    };
    // Every clock that is moved makes its gateway look, all at once.
    shift(2);
    eventually("it is told", async || {
        expired(&members[1], &first).await > 0
    })
    .await;
    shift(4);
    for member in &members {
        eventually("the other is told", async || {
            expired(member, &second).await > 0
        })
        .await;
    }
    // They have all looked again since.
    for member in &members {
        assert_eq!(expired(member, &first).await, 1);
        assert_eq!(expired(member, &second).await, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn event_followers_survive_a_redis_restart_and_lost_events() {
    let mut redis = RedisServer::start();
    let members = three_on(&redis).await;
    members[0].operator.key("one").await;
    members[1].operator.key("two").await;
    let mut follower = follow(&members[2].operator, 0).await;
    let told = next(&mut follower, 2).await;
    assert_eq!((told[0].id, told[1].id), (1, 2));

    // Another epoch with the same events: nothing is told twice.
    redis.restart_after_a_kill();
    let create = async |member: &Member, name: &str| {
        let request = pb::CreateKeyRequest {
            name: name.into(),
            expires_at: None,
        };
        eventually("a key is created", async || {
            member
                .operator
                .keys()
                .create_key(request.clone())
                .await
                .is_ok()
        })
        .await;
    };
    create(&members[0], "three").await;
    let told = next(&mut follower, 1).await;
    assert_eq!(told[0].kind, "key_created");
    assert!(told[0].id > 2, "{told:?}");

    // As a failover that lost the last two: another epoch, and the numbers are
    // given anew before anybody has looked.
    let mut raw = redis.raw().await;
    let () = redis::pipe()
        .atomic()
        .zrembyscore("{muster}:events", 2, "+inf")
        .hset("{muster}:meta", "last_event", 1)
        .hset("{muster}:meta", "replid", "of another server")
        .query_async(&mut raw)
        .await
        .unwrap();
    for name in ["four", "five", "six"] {
        create(&members[1], name).await;
    }
    let told = next(&mut follower, 3).await;
    assert_eq!(told.len(), 3, "each once: {told:?}");
    assert!(told.iter().all(|e| e.gateway_name == "b"), "{told:?}");
    assert!(told.iter().map(|e| e.id).is_sorted(), "{told:?}");
    for member in &members {
        eventually("all show the same", async || {
            let shown = events(&member.operator, "").await;
            let kinds = shown.iter().filter(|e| e.kind == "key_created");
            kinds.count() == 4 && shown == events(&members[0].operator, "").await
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_an_outage_come_when_redis_is_back() {
    let redis = RedisServer::start();
    let members = three_on(&redis).await;
    let (id, key) = members[0].operator.key("k").await;
    let agent = members[0].gateway.agent(&key).await;
    agent.join().await.unwrap();
    // Asked there, it is written for all to see.
    let before = events(&members[0].operator, &id).await.pop().unwrap();
    assert_eq!(before.kind, "agent_joined");
    let before = before.id;
    let mut follower = follow(&members[2].operator, before).await;
    redis.pause();
    for _ in 0..20 {
        agent.join().await.unwrap();
    }
    redis.resume();
    let told = next(&mut follower, 20).await;
    let ids: Vec<_> = told.iter().map(|event| event.id).collect();
    assert_eq!(ids, (before + 1..).take(20).collect::<Vec<_>>());
    assert!(told.is_sorted_by_key(|event| {
        let at = event.at.unwrap();
        (at.seconds, at.nanos)
    }));
    assert!(told.iter().all(|event| event.kind == "agent_joined"));
}

/// How long it may take until all gateways show what happened on one: each looks
/// and writes every second. The margin is for a busy machine.
const SHOWN_WITHIN: Duration = Duration::from_secs(5);

/// Waits until it holds on all gateways, and tells how long that took.
async fn on_all(what: &str, members: &[Member], holds: impl AsyncFn(&Operator) -> bool) {
    let begun = Instant::now();
    for member in members {
        eventually(what, async || holds(&member.operator).await).await;
    }
    let took = begun.elapsed();
    println!("{what}: {took:?}");
    assert!(took < SHOWN_WITHIN, "{what}: {took:?}");
}

/// What it shows of an agent; `None` if there is none.
async fn shown(operator: &Operator, id: Uuid) -> Option<pb::GetAgentResponse> {
    let request = pb::GetAgentRequest {
        agent_id: id.to_string(),
    };
    match operator.agents().get_agent(request).await {
        Ok(answer) => Some(answer.into_inner()),
        Err(status) => {
            assert_eq!(status.code(), Code::NotFound, "{status}");
            None
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_that_join_one_gateway_are_known_on_all() {
    /// On each gateway.
    const EACH: u64 = 20;
    let redis = RedisServer::start();
    let members = three_on(&redis).await;
    let (id, key) = members[0].operator.key("k").await;
    for (on, member) in members.iter().enumerate() {
        let mut agent = member.gateway.agent(&key).await;
        for n in 0..EACH {
            agent.id = Uuid::from_u128(u128::from(100 * on as u64 + n));
            join_with_nginx(&agent, "1.22.1").await;
        }
    }
    on_all("joined agents are shown", &members, async |operator| {
        let key = operator.show(&id).await.unwrap();
        let of_key = instances(operator, &id).await;
        (key.current_agents, key.registered_agents) == (3 * EACH, 3 * EACH)
            && of_key.len() as u64 == 3 * EACH
            && key.last_used_at.is_some()
    })
    .await;
    let first = instances(&members[0].operator, &id).await;
    for member in &members[1..] {
        assert_eq!(instances(&member.operator, &id).await, first);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_moves_is_one_agent_and_its_joins_count() {
    let redis = RedisServer::start();
    let members = three_on(&redis).await;
    let (first, key) = members[0].operator.key("first").await;
    let (second, other) = members[0].operator.key("second").await;
    let mover = Uuid::from_u128(7);
    let join = async |on: usize, key: &str, version: &str| {
        let mut agent = members[on].gateway.agent(key).await;
        agent.id = mover;
        join_with_nginx(&agent, version).await;
    };
    let versions = async |operator: &Operator, version: &str| {
        let rows = instances(operator, "").await;
        rows.len() == 1 && rows[0].version == version
    };
    for (turn, on) in [0, 1, 2, 0].into_iter().enumerate() {
        let version = format!("1.22.{turn}");
        join(on, &key, &version).await;
        on_all(
            "it is shown as of its last join",
            &members,
            async |operator| versions(operator, &version).await,
        )
        .await;
    }
    // With another key, and back, before anybody has looked.
    join(1, &other, "1.23.0").await;
    join(2, &key, "1.24.0").await;
    on_all(
        "it is shown as of its last join",
        &members,
        async |operator| {
            let both = operator.show(&second).await.unwrap().registered_agents == 1;
            both && versions(operator, "1.24.0").await
        },
    )
    .await;
    eventually("all show the same", async || {
        let one = agent(&members[0].operator, mover).await;
        one == agent(&members[1].operator, mover).await
            && one == agent(&members[2].operator, mover).await
    })
    .await;
    let shown = agent(&members[0].operator, mover).await;
    assert_eq!(shown.agent.unwrap().key_object_id, first);
    let joins: Vec<_> = shown
        .registrations
        .iter()
        .map(|row| (row.key_object_id.as_str(), row.joins))
        .collect();
    assert_eq!(joins, [(first.as_str(), 5), (second.as_str(), 1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_keys_registrations_go_everywhere() {
    let redis = RedisServer::start();
    let members = three_on(&redis).await;
    let (gone, gone_key) = members[0].operator.key("gone").await;
    let (kept, kept_key) = members[0].operator.key("kept").await;
    let joined = members[0].gateway.agent(&gone_key).await;
    joined.join().await.unwrap();
    joined.with_key(Some(&kept_key)).join().await.unwrap();
    let registrations = async |operator: &Operator| {
        let shown = shown(operator, joined.id).await;
        let rows = shown.map_or_else(Vec::new, |shown| shown.registrations);
        let keys = rows.into_iter().map(|row| row.key_object_id);
        keys.collect::<Vec<_>>()
    };
    on_all("both registrations are shown", &members, async |operator| {
        registrations(operator).await == [gone.as_str(), kept.as_str()]
    })
    .await;
    members[1].operator.revoke(&gone).await;
    members[2].operator.delete(&gone).await.unwrap();
    on_all("the deleted key's is gone", &members, async |operator| {
        registrations(operator).await == [kept.as_str()]
    })
    .await;
    // And not in the store, either: who starts now does not know it.
    let late = Arc::new(redis.store(|_| {}).await);
    let late = TestGateway::over(late, |_| {}).await;
    assert_eq!(registrations(&late.operator().await).await, [kept.as_str()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joins_of_an_outage_are_known_on_all_when_redis_is_back() {
    let mut redis = RedisServer::start();
    let members = three_on(&redis).await;
    let (id, key) = members[0].operator.key("k").await;
    for member in &members {
        member.gateway.agent(&key).await.join().await.unwrap();
    }
    redis.pause();
    let begun = Instant::now();
    let agent = members[0].gateway.agent(&key).await;
    for _ in 0..5 {
        agent.join().await.unwrap();
    }
    println!("five joins while Redis stands still: {:?}", begun.elapsed());
    redis.resume();
    // Another epoch besides: all is read again.
    redis.restart_after_a_kill();
    for member in &members {
        eventually("all agents are shown", async || {
            let key = member.operator.show(&id).await;
            key.is_ok_and(|key| key.registered_agents == 4)
        })
        .await;
    }
    let shown = crate::agent_api::agents::agent(&members[2].operator, agent.id).await;
    assert_eq!(shown.registrations[0].joins, 5);
}
