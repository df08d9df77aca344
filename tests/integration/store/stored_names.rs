//! Stores that muster 0.1 wrote, read by today's code: the names and shapes of
//! rows stay what they are, whatever the code calls them.
//!
//! `tests/fixtures/store-0.1.redb` is a whole embedded store,
//! `tests/fixtures/redis-0.1.txt` a Redis: a line a key, its name and what DUMP
//! answered, in hexadecimal. In both, the same was done by the command line and
//! by one NGINX Agent.

use std::fmt::Write as _;

use muster::store::Store;
use muster::store::embedded::EmbeddedStore;

use crate::support::RedisServer;

/// What was done: four keys were made, two of them revoked, one edited; three
/// tokens were made beside the first, one of them revoked; a setting was set; an
/// NGINX Agent came and went.
fn what_was_done() -> String {
    std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/held-0.1.txt"
    ))
    .unwrap()
}

async fn held(store: &impl Store) -> String {
    let mut text = String::new();
    let keys = store.list(None, 100).await.unwrap();
    assert_eq!(keys.unreadable, []);
    for key in keys.records {
        let (revoked, revision) = (key.revoked_at.is_some(), key.revision.0);
        writeln!(
            text,
            "key {} revoked: {revoked} revision: {revision}",
            key.name
        )
        .unwrap();
    }
    let mut tokens = store.tokens(None, 100).await.unwrap();
    assert_eq!(tokens.unreadable, []);
    tokens.records.sort_by(|a, b| a.name.cmp(&b.name));
    for token in tokens.records {
        let revoked = token.revoked_at.is_some();
        writeln!(
            text,
            "token {} {:?} revoked: {revoked}",
            token.name, token.role
        )
        .unwrap();
    }
    let cleanup = store.setting("instance_cleanup").await.unwrap();
    writeln!(text, "instance_cleanup {}", cleanup.unwrap()).unwrap();
    for agent in store.agents(None, 100).await.unwrap() {
        writeln!(text, "agent {} {}", agent.agent, agent.os_version).unwrap();
    }
    for event in store.events_after(0, 100).await.unwrap().events {
        writeln!(text, "event {} {}", event.id, event.kind.as_str()).unwrap();
    }
    let mut audit = store.audit_before(None, 100).await.unwrap().records;
    audit.reverse();
    for record in audit {
        writeln!(text, "audit {} {}", record.id, record.deed.action.as_str()).unwrap();
    }
    text
}

#[tokio::test]
async fn an_embedded_store_of_0_1_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.redb");
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/store-0.1.redb");
    std::fs::copy(fixture, &file).unwrap();
    let store = EmbeddedStore::open(&file).unwrap();
    assert_eq!(held(&store).await, what_was_done());
}

#[tokio::test]
async fn a_redis_of_0_1_is_read() {
    let server = RedisServer::start();
    let mut raw = server.raw().await;
    for line in include_str!("../../fixtures/redis-0.1.txt").lines() {
        let (name, dump) = line.split_once(' ').unwrap();
        let bytes: Vec<u8> = (0..dump.len() / 2)
            .map(|at| u8::from_str_radix(&dump[2 * at..2 * at + 2], 16).unwrap())
            .collect();
        let mut restore = redis::cmd("RESTORE");
        restore.arg(name).arg(0).arg(bytes);
        let _: () = restore.query_async(&mut raw).await.unwrap();
    }
    assert_eq!(held(&server.store(|_| {}).await).await, what_was_done());
}
