//! Rows that can't be read: each is its own trouble alone, and no revoke of another
//! key waits for it.

use std::sync::Arc;
use std::time::Duration;

use muster::keys::KeyId;
use muster::server::config::Config;
use muster::store::{GatewayStore, KeyStore, StoreError};
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use tonic::Code;

use crate::gateway::events::kinds;
use crate::store::redis_store::gateway;
use crate::support::{
    FaultyStore, Operator, RedisServer, Stream, TestGateway, eventually, new_key, reason_of,
};
use muster::proto::admin::v1 as pb;

fn soon(config: &mut Config) {
    config.timing.feed_interval = Duration::from_millis(50);
}

async fn on(redis: &RedisServer) -> TestGateway {
    TestGateway::over(Arc::new(redis.store(|_| {}).await), soon).await
}

async fn reaches(gateway: &TestGateway, metric: &str, value: f64) {
    eventually(metric, async || gateway.metric(metric).await == value).await;
}

fn name_of(key: &str) -> String {
    format!("{{muster}}:key:{}", key.parse::<KeyId>().unwrap().0)
}

#[derive(Debug, Clone, Copy)]
enum Damage {
    Checksum,
    WrongType,
    Missing,
    FromTheFuture,
}

const ALL: [Damage; 4] = [
    Damage::Checksum,
    Damage::WrongType,
    Damage::Missing,
    Damage::FromTheFuture,
];

/// Damages a string, and returns what it was.
async fn damage(raw: &mut MultiplexedConnection, name: &str, how: Damage) -> Vec<u8> {
    let whole: Vec<u8> = raw.get(name).await.unwrap();
    let mut bytes = whole.clone();
    match how {
        Damage::Checksum => *bytes.last_mut().unwrap() ^= 1,
        Damage::FromTheFuture => bytes[0] = 9,
        Damage::WrongType | Damage::Missing => {
            let _: () = raw.del(name).await.unwrap();
        }
    }
    match how {
        Damage::Checksum | Damage::FromTheFuture => raw.set::<_, _, ()>(name, bytes).await,
        Damage::WrongType => raw.sadd(name, "x").await,
        Damage::Missing => Ok(()),
    }
    .unwrap();
    whole
}

struct Held {
    key: String,
    secret: String,
    stream: Stream,
}

async fn held(operator: &Operator, on: &TestGateway, name: &str) -> Held {
    let (key, secret) = operator.key(name).await;
    let stream = on.agent(&secret).await.connect().await;
    Held {
        key,
        secret,
        stream,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_cannot_be_read_holds_up_no_other() {
    let mut redis = RedisServer::start();
    let (one, two) = (on(&redis).await, on(&redis).await);
    let operator = one.operator().await;
    let mut broken = Vec::new();
    for how in ALL {
        broken.push((how, held(&operator, &two, &format!("{how:?}")).await));
    }
    let mut good = held(&operator, &two, "good").await;
    let mut raw = redis.raw().await;
    let mut whole = Vec::new();
    for (how, held) in &broken {
        let name = name_of(&held.key);
        whole.push((name.clone(), damage(&mut raw, &name, *how).await));
    }
    redis.restart_after_a_kill();

    for gateway in [&one, &two] {
        reaches(gateway, "muster_keys_unreadable", 3.0).await;
        reaches(gateway, "muster_keys_lost", 1.0).await;
    }
    let outcome = operator.revoke(&good.key).await;
    assert!(outcome.complete, "{outcome:?}");
    assert_eq!(reason_of(&good.stream.end().await), "KEY_REVOKED");
    assert_eq!(two.metric("muster_sessions_live").await, 4.0, "held");
    for (how, held) in &broken {
        let refused = two.agent(&held.secret).await.join().await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable, "{how:?} {refused}");
        let told = kinds(&operator, &held.key).await;
        let kind = match how {
            Damage::Missing => "key_lost",
            _ => "key_unreadable",
        };
        assert!(told.iter().any(|told| told == kind), "{how:?} {told:?}");
    }

    // The operator mends them.
    let mut raw = redis.raw().await;
    for (name, row) in whole {
        let _: () = raw.del(&name).await.unwrap();
        let _: () = raw.set(&name, row).await.unwrap();
    }
    for gateway in [&one, &two] {
        reaches(gateway, "muster_keys_unreadable", 0.0).await;
        reaches(gateway, "muster_keys_lost", 0.0).await;
    }
    for (how, held) in &mut broken {
        two.agent(&held.secret).await.join().await.unwrap();
        assert!(operator.revoke(&held.key).await.complete, "{how:?}");
        assert_eq!(reason_of(&held.stream.end().await), "KEY_REVOKED");
    }
}

/// An operator can end a key that nobody can read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_cannot_be_read_can_be_deleted() {
    let redis = RedisServer::start();
    let (one, two) = (on(&redis).await, on(&redis).await);
    let operator = one.operator().await;
    let mut held = held(&operator, &two, "k").await;
    damage(
        &mut redis.raw().await,
        &name_of(&held.key),
        Damage::Checksum,
    )
    .await;
    operator.delete(&held.key).await.unwrap();
    assert_eq!(reason_of(&held.stream.end().await), "KEY_DELETED");
    let refused = two.agent(&held.secret).await.join().await.unwrap_err();
    assert_eq!(reason_of(&refused), "UNKNOWN_KEY", "{refused}");
    assert_eq!(
        operator.delete(&held.key).await.unwrap_err().code(),
        Code::NotFound
    );
}

/// On the embedded store, too; a read that does not come counts as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gap_of_the_feed_is_read_past_a_key_that_cannot_be_read() {
    let corrupt = StoreError::Corrupt {
        what: "k".into(),
        why: "its checksum is wrong".into(),
    };
    let timed_out = StoreError::Failed("no answer within the deadline".into());
    for why in [corrupt, timed_out] {
        let store = Arc::new(FaultyStore::new());
        let gateway = TestGateway::over(store.clone(), soon).await;
        let operator = gateway.operator().await;
        let bad = held(&operator, &gateway, "bad").await;
        let mut good = held(&operator, &gateway, "good").await;
        let id: KeyId = bad.key.parse().unwrap();
        store.set_broken(id, Some(why));
        store.lose_next_feed();
        // By another process, as far as this one can tell.
        store.inner.revoke(good.key.parse().unwrap()).await.unwrap();
        assert_eq!(reason_of(&good.stream.end().await), "KEY_REVOKED");
        reaches(&gateway, "muster_keys_unreadable", 1.0).await;
        assert_eq!(gateway.metric("muster_sessions_live").await, 1.0);
        let refused = gateway.agent(&bad.secret).await.join().await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable, "{refused}");
        store.set_broken(id, None);
        reaches(&gateway, "muster_keys_unreadable", 0.0).await;
        gateway.agent(&bad.secret).await.join().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strict_ends_the_sessions_of_a_key_that_cannot_be_read_and_no_others() {
    let store = Arc::new(FaultyStore::new());
    let gateway = TestGateway::over(store.clone(), |config| {
        soon(config);
        config.staleness.mode = muster::gateway::auth::StaleMode::Strict;
        config.staleness.stale_after = Duration::from_secs(2);
        config.staleness.spread = Duration::from_millis(100);
    })
    .await;
    let operator = gateway.operator().await;
    let mut bad = held(&operator, &gateway, "bad").await;
    let _good = held(&operator, &gateway, "good").await;
    let why = StoreError::Failed("no answer within the deadline".into());
    store.set_broken(bad.key.parse().unwrap(), Some(why));
    store.lose_next_feed();
    operator.key("a change").await;
    assert_eq!(reason_of(&bad.stream.end().await), "STORE_NOT_HEARD");
    assert_eq!(gateway.metric("muster_sessions_live").await, 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_entry_of_the_feed_is_a_gap() {
    let redis = RedisServer::start();
    let store = Arc::new(FaultyStore::over(redis.store(|_| {}).await));
    let one = on(&redis).await;
    let two = TestGateway::over(store.clone(), soon).await;
    let operator = one.operator().await;
    let mut good = held(&operator, &two, "good").await;
    store.set_deaf(true);
    operator.revoke_within(&good.key, Duration::ZERO).await;
    let mut raw = redis.raw().await;
    let mut newest = redis::cmd("XREVRANGE");
    newest
        .arg("{muster}:feed")
        .arg("+")
        .arg("-")
        .arg("COUNT")
        .arg(1);
    type Entries = Vec<(String, Vec<Vec<u8>>)>;
    let newest: Entries = newest.query_async(&mut raw).await.unwrap();
    let id = newest[0].0.clone();
    // Its last id is lowered, so that it takes a damaged entry under the same one.
    let before: u64 = id.split('-').next().unwrap().parse().unwrap();
    for command in [
        redis::cmd("XDEL").arg("{muster}:feed").arg(&id),
        redis::cmd("XSETID").arg("{muster}:feed").arg(before - 1),
        redis::cmd("XADD")
            .arg("{muster}:feed")
            .arg(&id)
            .arg("change")
            .arg("damaged"),
    ] {
        let _: redis::Value = command.query_async(&mut raw).await.unwrap();
    }
    store.set_deaf(false);
    assert_eq!(reason_of(&good.stream.end().await), "KEY_REVOKED");
    assert!(two.metric("muster_store_corrupt_records_total").await >= 1.0);
    // All goes on.
    let mut next = held(&operator, &two, "next").await;
    assert!(operator.revoke(&next.key).await.complete);
    assert_eq!(reason_of(&next.stream.end().await), "KEY_REVOKED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_row_of_a_gateway_spoils_no_answer_and_can_be_forgotten() {
    for of_beat in [false, true] {
        let redis = RedisServer::start();
        let gateway_one = on(&redis).await;
        let operator = gateway_one.operator().await;
        let (dead, store) = (gateway(), redis.store(|_| {}).await);
        store.enrol(dead.clone()).await.unwrap();
        let mut raw = redis.raw().await;
        let hash = "{muster}:beats";
        if !of_beat {
            let row = "{muster}:gateways";
            let id = dead.id.to_string();
            let _: () = raw.hset(row, id, "damaged").await.unwrap();
        }
        let _: () = raw
            .hset(hash, dead.id.to_string(), "damaged")
            .await
            .unwrap();
        let _: () = raw.hset(hash, "no id", "damaged").await.unwrap();

        let held = held(&operator, &gateway_one, "k").await;
        let outcome = operator
            .revoke_within(&held.key, Duration::from_millis(200))
            .await;
        assert!(!outcome.pending && !outcome.complete, "it was not heard");
        let told = outcome
            .gateways
            .iter()
            .find(|g| g.gateway_id == dead.id.to_string());
        assert!(!told.unwrap().applied);
        let listed = operator
            .gateways()
            .list_gateways(pb::ListGatewaysRequest::default())
            .await;
        let listed = listed.unwrap().into_inner().gateways;
        assert_eq!(listed.len(), 2);
        if !of_beat {
            let unreadable = listed.iter().find(|gateway| gateway.name == "(unreadable)");
            assert_eq!(unreadable.unwrap().last_heartbeat, None);
            let forget = pb::ForgetGatewayRequest {
                gateway_id: dead.id.to_string(),
            };
            operator.gateways().forget_gateway(forget).await.unwrap();
            assert!(operator.revoke(&held.key).await.complete);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_mends_its_own_rows() {
    let redis = RedisServer::start();
    let one = on(&redis).await;
    let operator = one.operator().await;
    let mut raw = redis.raw().await;
    for hash in ["{muster}:gateways", "{muster}:beats"] {
        let ids: Vec<String> = raw.hkeys(hash).await.unwrap();
        let _: () = raw.hset(hash, &ids[0], "damaged").await.unwrap();
        eventually("it is written anew", async || {
            let now: Vec<u8> = raw.clone().hget(hash, &ids[0]).await.unwrap();
            now != b"damaged"
        })
        .await;
    }
    let (key, _) = operator.key("k").await;
    assert!(operator.revoke(&key).await.complete);
}

/// Tokens, settings, presence, registrations, events and audit: what can't be read
/// is left out, and the rest is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_all_other_kinds_are_left_out() {
    let redis = RedisServer::start();
    let (one, two) = (on(&redis).await, on(&redis).await);
    let operator = one.operator().await;
    let held = held(&operator, &two, "k").await;
    operator.token(pb::Role::Viewer).await;
    let mut raw = redis.raw().await;
    for hash in ["tokens", "agents", "registrations"] {
        let name = format!("{{muster}}:{hash}");
        let _: () = raw.hset(&name, "no id", "damaged").await.unwrap();
        let _: () = raw
            .hset(&name, "0123456789ABCDEF", "damaged")
            .await
            .unwrap();
    }
    for set in ["events", "audit"] {
        let name = format!("{{muster}}:{set}");
        let _: () = raw.zadd(&name, "damaged", 1_000_000).await.unwrap();
    }
    let _: () = raw.zadd("{muster}:keys", "no place", 0).await.unwrap();
    let _: () = raw.zadd("{muster}:markers", "no id", 0).await.unwrap();
    let names: Vec<String> = raw.keys("{muster}:board:sessions:*").await.unwrap();
    for name in names {
        let _: () = raw.zadd(&name, "no number", 7).await.unwrap();
    }
    eventually("the session is listed", async || {
        operator.list_sessions(&held.key).await.len() == 1
    })
    .await;
    assert!(!operator.list_tokens(9).await.is_empty());
    assert!(!kinds(&operator, &held.key).await.is_empty());
    operator.show(&held.key).await.unwrap();
    let page = redis.store(|_| {}).await.list(None, 9).await.unwrap();
    assert_eq!(page.records.len(), 1);
    redis
        .store(|_| {})
        .await
        .create(new_key("more"))
        .await
        .unwrap();
    assert!(operator.revoke(&held.key).await.complete);
}
