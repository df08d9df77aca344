//! Stores that muster 0.1 wrote, read by today's code: the names and shapes of
//! rows, and of what the command line prints, stay as they were, whatever the code
//! calls them.
//!
//! `tests/fixtures/write` wrote the stores, with muster 0.1, and beside each what
//! that program printed of it. In both the same was done by the command line and by
//! one NGINX Agent; the Redis is as it was while the agent was connected to one of
//! two gateways.

use std::path::Path;

use muster::keys::{Kind, TokenId, mint};
use muster::store::{ClaimStore, KeyStore, Role, TokenRecord, TokenStore};
use serde_json::Value;

use crate::cli::{done, muster};
use crate::support::{Process, RedisServer};

/// What 0.1 printed, without what depends on when and by whom it is asked.
fn printed_then(store: &str) -> Value {
    let path = format!(
        "{}/tests/fixtures/printed-0.1-{store}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let mut printed = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    settle(&mut printed);
    printed
}

/// What the gateway in `dir` prints now: of each list the rows that were in it then.
async fn printed_now(dir: &Path, then: &Value) -> Value {
    let mut printed = Value::Object(serde_json::Map::new());
    for (command, rows) in then.as_object().unwrap() {
        let mut all = Vec::new();
        for words in arguments(command, then) {
            let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
            words.extend(["-o", "json", "--data-dir", dir.to_str().unwrap()]);
            let answer = done(muster(dir, &words)).await;
            let answer: Value = serde_json::from_str(answer.ok()).unwrap();
            match answer {
                Value::Array(rows) if command != "agents show" => all.extend(rows),
                other => all.push(other),
            }
        }
        let mut now = match rows {
            Value::Array(_) => Value::Array(all),
            _ => all.remove(0),
        };
        settle(&mut now);
        if let (Value::Array(now), Value::Array(then)) = (&mut now, rows) {
            now.retain(|row| then.iter().any(|old| id(old) == id(row)));
        }
        printed[command] = now;
    }
    printed
}

/// The command lines of a command of the fixture.
fn arguments(command: &str, then: &Value) -> Vec<Vec<String>> {
    let words = |more: &[&str]| -> Vec<String> {
        let words = command.split(' ').chain(more.iter().copied());
        words.map(ToOwned::to_owned).collect()
    };
    match command {
        "keys show" => vec![words(&["valid", "revoked"])],
        "agents show" => {
            let agents = then["agents list"].as_array().unwrap().iter();
            agents
                .map(|agent| words(&[agent["agent_id"].as_str().unwrap()]))
                .collect()
        }
        _ => vec![words(&[])],
    }
}

/// What tells a row from the others of its list.
fn id(row: &Value) -> Option<&Value> {
    let names = ["object_id", "session_id", "gateway_id", "id", "agent_id"];
    names.iter().find_map(|name| row.get(name))
}

/// Takes out what another time or another caller changes, and what is in memory only.
fn settle(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for name in [
                "answering",
                "last_used_at",
                "telemetry_senders",
                "telemetry_senders_total",
                "unreachable",
                "unreachable_since",
                "view_age_milliseconds",
                "yours",
            ] {
                fields.remove(name);
            }
            let ages = ["valid", "expired"].map(Value::from);
            if fields.get("status").is_some_and(|now| ages.contains(now)) {
                fields.remove("status");
            }
            fields.values_mut().for_each(settle);
        }
        Value::Array(rows) => {
            // The gateway that is asked now was not there then.
            rows.retain(|row| {
                let name = row.get("gateway_name");
                name.is_none_or(|name| name == "one" || name == "two")
            });
            rows.iter_mut().for_each(settle);
        }
        _ => {}
    }
}

fn assert_same(now: &Value, then: &Value) {
    for (command, rows) in then.as_object().unwrap() {
        assert_eq!(&now[command], rows, "{command}");
    }
}

#[tokio::test]
async fn an_embedded_store_of_0_1_is_printed_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    std::fs::create_dir(&dir).unwrap();
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/store-0.1.redb");
    std::fs::copy(fixture, dir.join("store.redb")).unwrap();
    let gateway = Process::start(&dir, &["--audit-keep", "10years"]).await;
    let mut then = printed_then("embedded");
    // An embedded store has its one gateway, and what that did, in memory.
    then.as_object_mut().unwrap().remove("gateways list");
    for key in then["keys show"].as_array_mut().unwrap() {
        if let Some(revocation) = key["revocation"].as_object_mut() {
            revocation["gateways"] = Value::Array(Vec::new());
        }
    }
    assert_same(&printed_now(&dir, &then).await, &then);
    drop(gateway);
}

#[tokio::test]
async fn a_redis_of_0_1_is_printed_as_it_was() {
    let server = RedisServer::start();
    let mut raw = server.raw().await;
    for line in include_str!("../../fixtures/redis-0.1.txt").lines() {
        let (name, dump) = line.split_once(' ').unwrap();
        let bytes = data_encoding::HEXLOWER.decode(dump.as_bytes()).unwrap();
        let mut restore = redis::cmd("RESTORE");
        restore.arg(name).arg(0).arg(bytes);
        let () = restore.query_async(&mut raw).await.unwrap();
    }
    let store = server.store(|_| {}).await;
    let authority = store.claim("ca_sha256", "another").await.unwrap();
    assert_eq!(authority.len(), 64, "0.1 has claimed its CA: {authority}");
    let listed = store.list(None, 100).await.unwrap();
    assert_eq!((listed.records.len(), listed.unreadable), (4, vec![]));

    // This gateway has neither their CA nor their token.
    let mut forget = redis::cmd("HDEL");
    forget.arg("{muster}:meta").arg("claim:ca_sha256");
    let removed: u32 = forget.query_async(&mut raw).await.unwrap();
    assert_eq!(removed, 1);
    let token = mint(Kind::AdminToken).unwrap();
    let record = TokenRecord {
        id: TokenId(token.id),
        name: "of the test".into(),
        digest: token.digest,
        role: Role::Admin,
        created_at: store.clock().now(),
        expires_at: None,
        revoked_at: None,
    };
    store.put_token(record).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("admin.token"), token.expose()).unwrap();
    let url = server.login_url();
    let gateway = Process::start(&dir, &["--audit-keep", "10years", "--store", &url]).await;
    let then = printed_then("redis");
    assert_same(&printed_now(&dir, &then).await, &then);
    drop(gateway);
}
