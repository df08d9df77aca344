//! Events and agents of all gateways of a store, seen from any of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster::proto::admin::v1 as pb;
use muster::store::KeyStore;
use muster::store::redis::RedisStore;
use tonic::Streaming;

use crate::events::{events, kinds};
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
        told.extend(batch.events);
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
async fn an_expiry_is_told_once_by_all_together() {
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
async fn followers_outlive_a_restart_of_redis_and_lost_events() {
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
    assert_eq!((told[0].id, told[0].kind.as_str()), (3, "key_created"));

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
    let told: Vec<_> = told
        .iter()
        .map(|e| (e.id, e.gateway_name.as_str()))
        .collect();
    assert_eq!(told, [(2, "b"), (3, "b"), (4, "b")]);
    let shown = events(&members[0].operator, "").await;
    assert_eq!(shown.len(), 4);
    for member in &members[1..] {
        assert_eq!(events(&member.operator, "").await, shown);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_an_outage_come_when_redis_is_back() {
    let redis = RedisServer::start();
    let members = three_on(&redis).await;
    let (id, key) = members[0].operator.key("k").await;
    let agent = members[0].gateway.agent(&key).await;
    agent.join().await.unwrap();
    let before = events(&members[2].operator, &id).await.pop().unwrap().id;
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
