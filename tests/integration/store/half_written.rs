//! No step stays half written: each command of each step is made to fail in turn,
//! by taking the right for it away and by a wrong type under its key, and the store
//! is then as it was.

use std::collections::{BTreeMap, BTreeSet};

use muster::keys::{Id, KeyId, Kind, Timestamp, TokenId, mint};
use muster::store::redis::RedisStore;
use muster::store::{
    AgentRecord, AppendOnce, AuditEntry, AuditResult, AuditStore, ChangeError, EventKind,
    EventStore, GatewayId, GatewayStore, InstanceBatch, InstanceStore, KeyEdit, KeyStore, NewEvent,
    Registration, Role, SettingStore, StoreError, TokenRecord, TokenStore,
};
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use uuid::Uuid;

use super::redis_store::gateway;
use crate::support::{RedisServer, new_key};

/// What each name holds: for a comparison, and for RESTORE.
#[derive(Clone, Default)]
struct Dump {
    read: BTreeMap<String, String>,
    raw: BTreeMap<String, Vec<u8>>,
}

async fn dump(raw: &mut MultiplexedConnection) -> Dump {
    let names: Vec<String> = raw.keys("*").await.unwrap();
    let mut all = Dump::default();
    for name in names {
        let kind: String = redis::cmd("TYPE")
            .arg(&name)
            .query_async(raw)
            .await
            .unwrap();
        let mut read = match kind.as_str() {
            "hash" => redis::cmd("HGETALL"),
            "set" => redis::cmd("SMEMBERS"),
            "zset" => redis::cmd("ZRANGE"),
            "stream" => redis::cmd("XRANGE"),
            _ => redis::cmd("GET"),
        };
        read.arg(&name);
        match kind.as_str() {
            "zset" => read.arg(0).arg(-1).arg("WITHSCORES"),
            "stream" => read.arg("-").arg("+"),
            _ => &mut read,
        };
        let held: redis::Value = read.query_async(raw).await.unwrap();
        let text = match held {
            // In no order of its own.
            redis::Value::Array(items) if kind == "hash" => {
                let pairs: BTreeSet<_> = items.chunks(2).map(|pair| format!("{pair:?}")).collect();
                format!("{pairs:?}")
            }
            redis::Value::Array(items) if kind == "set" => {
                let items: BTreeSet<_> = items.iter().map(|item| format!("{item:?}")).collect();
                format!("{items:?}")
            }
            held => format!("{held:?}"),
        };
        all.read.insert(name.clone(), text);
        let held: Vec<u8> = redis::cmd("DUMP")
            .arg(&name)
            .query_async(raw)
            .await
            .unwrap();
        all.raw.insert(name, held);
    }
    all
}

/// The names under which something else lies than before.
fn differing(now: &Dump, before: &Dump) -> Vec<String> {
    let names: BTreeSet<_> = now.read.keys().chain(before.read.keys()).collect();
    let differ = names
        .into_iter()
        .filter(|name| now.read.get(*name) != before.read.get(*name));
    differ.cloned().collect()
}

/// Steps of each kind that writes several things.
const STEPS: [&str; 10] = [
    "create",
    "edit",
    "revoke",
    "delete",
    "instances",
    "forget agent",
    "events",
    "audit",
    "token",
    "leave",
];

fn agent(number: u128, key: KeyId) -> AgentRecord {
    AgentRecord {
        agent: Uuid::from_u128(number),
        key,
        hostname: "h".into(),
        os_version: String::new(),
        agent_version: String::new(),
        in_container: false,
        labels: BTreeMap::new(),
        first_seen: Timestamp::from_millis(1),
        last_seen: Timestamp::from_millis(1),
        reported_at: Timestamp::from_millis(1),
        last_address: [127, 0, 0, 1].into(),
        instances: Vec::new(),
    }
}

fn registration(key: KeyId, number: u128) -> Registration {
    Registration {
        key,
        agent: Uuid::from_u128(number),
        first_seen: Timestamp::from_millis(1),
        last_seen: Timestamp::from_millis(1),
        last_address: [127, 0, 0, 1].into(),
        joins: 1,
    }
}

/// A valid key and a revoked one, and an enrolled gateway.
#[derive(Clone, Copy)]
struct Ids {
    good: KeyId,
    bad: KeyId,
    gateway: GatewayId,
}

async fn take(store: &RedisStore, ids: Ids, step: &str, name: &str) -> Result<(), String> {
    let text = |error: ChangeError| error.to_string();
    let done = match step {
        "create" => store.create(new_key(name)).await.map(drop).map_err(text),
        "edit" => {
            let edit = KeyEdit {
                name: Some("good".into()),
                ..KeyEdit::default()
            };
            store.edit(ids.good, edit).await.map(drop).map_err(text)
        }
        "revoke" => store.revoke(ids.good).await.map(drop).map_err(text),
        "delete" => store.delete(ids.bad).await.map(drop).map_err(text),
        "instances" => {
            let batch = InstanceBatch {
                agents: vec![agent(7, ids.good)],
                registrations: vec![registration(ids.good, 7)],
                uses: vec![(ids.good, Timestamp::from_millis(9))],
                forgotten: Vec::new(),
            };
            let saved = store.save_instances(batch).await;
            saved.map(drop).map_err(|e| e.to_string())
        }
        "forget agent" => {
            let batch = InstanceBatch {
                forgotten: vec![Uuid::from_u128(1)],
                ..InstanceBatch::default()
            };
            let saved = store.save_instances(batch).await;
            saved.map(drop).map_err(|e| e.to_string())
        }
        "events" => {
            let event = NewEvent {
                at: Timestamp::from_millis(1),
                kind: EventKind::KeyLost,
                key: None,
                agent: None,
                detail: name.into(),
                gateway: "g".into(),
            };
            let once = AppendOnce::Batch {
                writer: Id::random().unwrap(),
                number: 1,
            };
            let appended = store.append_events(vec![event], once, 1).await;
            appended.map(drop).map_err(|e| e.to_string())
        }
        "audit" => {
            let deed = AuditEntry {
                at: Timestamp::from_millis(1),
                actor: "a".into(),
                action: "key.revoke".into(),
                target: None,
                detail: String::new(),
                from: String::new(),
                door: "grpc".into(),
                gateway: "g".into(),
                result: AuditResult::Ok,
                reason: None,
            };
            let writer = Id::random().unwrap();
            let appended = store.append_audit(vec![deed], writer, 1).await;
            appended.map(drop).map_err(|e| e.to_string())
        }
        "token" => {
            let minted = mint(Kind::AdminToken).unwrap();
            let token = TokenRecord {
                id: TokenId(minted.id),
                name: name.into(),
                digest: minted.digest,
                role: Role::Admin,
                created_at: Timestamp::from_millis(1),
                expires_at: None,
                revoked_at: None,
            };
            store.put_token(token).await.map_err(|e| e.to_string())
        }
        "leave" => store.leave(ids.gateway).await.map_err(|e| e.to_string()),
        other => panic!("{other}"),
    };
    done.map_err(|error| format!("{step}: {error}"))
}

/// A store with something under every name.
async fn filled(server: &RedisServer) -> Ids {
    let store = server.store(|_| {}).await;
    for name in ["good", "bad", "gone"] {
        store.create(new_key(name)).await.unwrap();
    }
    let keys = store.list(None, 9).await.unwrap().records;
    for key in &keys[1..] {
        store.revoke(key.id).await.unwrap();
    }
    store.delete(keys[2].id).await.unwrap();
    let batch = InstanceBatch {
        agents: vec![agent(1, keys[0].id)],
        registrations: vec![registration(keys[1].id, 1), registration(keys[0].id, 1)],
        uses: vec![(keys[1].id, Timestamp::from_millis(5))],
        forgotten: Vec::new(),
    };
    store.save_instances(batch).await.unwrap();
    let gateway = gateway();
    let ids = Ids {
        good: keys[0].id,
        bad: keys[1].id,
        gateway: gateway.id,
    };
    for step in ["events", "audit", "token"] {
        take(&store, ids, step, "first").await.unwrap();
    }
    store.set("s", "v").await.unwrap();
    store.enrol(gateway).await.unwrap();
    ids
}

/// By a process that remembers no revision.
async fn take_anew(server: &RedisServer, ids: Ids, step: &str) -> Result<(), String> {
    take(&server.store(|_| {}).await, ids, step, step).await
}

async fn restore(raw: &mut MultiplexedConnection, saved: &Dump) {
    let _: () = redis::cmd("FLUSHDB").query_async(raw).await.unwrap();
    for (name, held) in &saved.raw {
        let mut restore = redis::cmd("RESTORE");
        restore.arg(name).arg(0).arg(held);
        let _: () = restore.query_async(raw).await.unwrap();
    }
}

async fn allow(raw: &mut MultiplexedConnection, rule: &str) {
    let mut set = redis::cmd("ACL");
    set.arg("SETUSER").arg("muster").arg(rule);
    let _: () = set.query_async(raw).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_right_for_a_command() {
    const WRITES: [&str; 16] = [
        "set",
        "del",
        "expire",
        "pexpire",
        "hset",
        "hsetnx",
        "hdel",
        "hincrby",
        "rpush",
        "sadd",
        "srem",
        "zadd",
        "zrem",
        "zremrangebyscore",
        "zremrangebyrank",
        "xadd",
    ];
    let server = RedisServer::start();
    let ids = filled(&server).await;
    let mut raw = server.raw().await;
    let before = dump(&mut raw).await;
    let mut refused = BTreeSet::new();
    for step in STEPS {
        take_anew(&server, ids, step).await.unwrap();
        restore(&mut raw, &before).await;
        for right in WRITES {
            allow(&mut raw, &format!("-{right}")).await;
            let done = take_anew(&server, ids, step).await;
            allow(&mut raw, &format!("+{right}")).await;
            match done {
                Ok(()) => restore(&mut raw, &before).await,
                Err(error) => {
                    let now = dump(&mut raw).await;
                    assert_eq!(differing(&now, &before), [""; 0], "{error}");
                    let named = error.contains(&right.to_uppercase());
                    assert!(named && error.contains("may not"), "{error}");
                    refused.insert((step, right));
                }
            }
        }
    }
    println!("refused whole: {refused:?}");
    assert!(refused.contains(&("revoke", "xadd")) && refused.contains(&("delete", "zrem")));
    for step in STEPS {
        assert!(refused.iter().any(|(of, _)| *of == step), "{step}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_wrong_type_under_a_name() {
    let server = RedisServer::start();
    let ids = filled(&server).await;
    let mut raw = server.raw().await;
    let before = dump(&mut raw).await;
    let mut refused = BTreeSet::new();
    // Identity and history lie in it: nothing can be asked at all.
    let names = before.raw.keys().filter(|name| !name.ends_with(":meta"));
    for name in names {
        let mut damaged = before.clone();
        let string = name.contains("}:key:");
        let mut wrong = redis::cmd(if string { "SADD" } else { "SET" });
        let _: () = raw.del(name).await.unwrap();
        let _: () = wrong
            .arg(name)
            .arg("x")
            .query_async(&mut raw)
            .await
            .unwrap();
        let wrong = dump(&mut raw).await;
        damaged.raw.insert(name.clone(), wrong.raw[name].clone());
        damaged.read.insert(name.clone(), wrong.read[name].clone());
        for step in STEPS {
            match take_anew(&server, ids, step).await {
                Ok(()) => restore(&mut raw, &damaged).await,
                Err(error) => {
                    let now = dump(&mut raw).await;
                    assert_eq!(differing(&now, &damaged), [""; 0], "{name} {error}");
                    refused.insert((step, name.split(':').nth(1).unwrap().to_owned()));
                }
            }
        }
        restore(&mut raw, &before).await;
    }
    println!("refused whole: {refused:?}");
    assert!(refused.contains(&("revoke", "feed".into())));
}

/// What a muster from before could leave: the row says revoked, the counter and the
/// feed do not, and another change has the revision meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_written_revoke_is_written_again() {
    let server = RedisServer::start();
    let store = server.store(|_| {}).await;
    let (key, other) = (new_key("k"), new_key("other"));
    let (id, other_id) = (key.id, other.id);
    store.create(key).await.unwrap();
    store.create(other).await.unwrap();
    let mut raw = server.raw().await;
    let (row, meta) = (format!("{{muster}}:key:{}", id.0), "{muster}:meta");
    let before: String = raw.hget(meta, "revision").await.unwrap();
    store.revoke(id).await.unwrap();
    let _: () = raw.hset(meta, "revision", &before).await.unwrap();
    let half = before.parse::<u64>().unwrap() + 1;
    let mut remove = redis::cmd("XDEL");
    remove.arg("{muster}:feed").arg(half);
    let removed: u64 = remove.query_async(&mut raw).await.unwrap();
    assert_eq!(removed, 1);
    let held: Vec<u8> = raw.get(&row).await.unwrap();
    // The feed takes no older entry than its last one, so the stream is made anew.
    let mut last = redis::cmd("XSETID");
    last.arg("{muster}:feed").arg(format!("{before}-0"));
    let _: () = last.query_async(&mut raw).await.unwrap();

    let store = server.store(|_| {}).await;
    let taken = store.revoke(other_id).await.unwrap();
    assert_eq!(
        taken.change.position.revision.0, half,
        "another has the revision"
    );
    let again = store.revoke(id).await.unwrap();
    assert!(again.is_new, "it was never told");
    assert_eq!(again.change.position.revision.0, half + 1);
    let whole: Vec<u8> = raw.get(&row).await.unwrap();
    assert_ne!(whole, held);
    let twice = store.revoke(id).await.unwrap();
    assert!(!twice.is_new);
    assert_eq!(twice.change.position.revision.0, half + 1);
    let told = store
        .feed_after(taken.change.position.revision)
        .await
        .unwrap();
    assert_eq!(told.entries.len(), 1);
    assert_eq!(told.entries[0].change.key(), id);
}

/// The feed is ahead of the counter: its last step failed half way, or meta was
/// restored without it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_ahead_of_the_counter_gives_no_revision_twice() {
    let server = RedisServer::start();
    let key = new_key("k");
    let id = key.id;
    let created = server.store(|_| {}).await.create(key).await.unwrap();
    let mut raw = server.raw().await;
    let mut ahead = redis::cmd("XADD");
    ahead.arg("{muster}:feed").arg("7").arg("change").arg("x");
    let _: String = ahead.query_async(&mut raw).await.unwrap();
    let revoked = server.store(|_| {}).await.revoke(id).await.unwrap();
    let (before, now) = (created.change.position, revoked.change.position);
    assert_ne!(now.epoch, before.epoch);
    assert!(now.revision.0 > 7);
    // The entry is gone, the feed still refuses what is below it.
    let mut remove = redis::cmd("XDEL");
    remove.arg("{muster}:feed").arg(now.revision.0);
    let _: u64 = remove.query_async(&mut raw).await.unwrap();
    let below = now.revision.0 - 1;
    let _: () = raw.hset("{muster}:meta", "revision", below).await.unwrap();
    let was = dump(&mut raw).await;
    let store = server.store(|_| {}).await;
    let refused = store.create(new_key("more")).await.unwrap_err();
    let not_written = matches!(
        refused,
        ChangeError::Store(StoreError::NotWritten(_) | StoreError::NoWrites(_))
    );
    assert!(not_written, "{refused}");
    assert_eq!(differing(&dump(&mut raw).await, &was), [""; 0]);
}
