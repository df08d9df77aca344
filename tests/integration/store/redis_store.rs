//! What is Redis's own: outages, other histories, foreign data, many writers.

use std::time::Duration;

use muster::keys::{Id, Position, Revision};
use muster::store::redis::{RedisOpenError, RedisStore, RedisUrl};
use muster::store::{
    GatewayId, GatewayInfo, GatewayStore, Heartbeat, KeyEdit, KeyStore, Lookup, StoreError,
    TokenStore,
};

use crate::support::{RedisServer, eventually, new_key, within};

pub fn gateway() -> GatewayInfo {
    GatewayInfo {
        id: GatewayId(Id::random().unwrap()),
        name: "g".into(),
        version: "0".into(),
    }
}

pub fn beat(gateway: &GatewayInfo, position: Position) -> Heartbeat {
    Heartbeat {
        gateway: gateway.id,
        position,
        applied: position,
        live_sessions: 0,
        standing: muster::store::Standing::default(),
        outcomes: Vec::new(),
    }
}

/// Renews once the store answers again.
pub async fn renew(store: &RedisStore, beat: Heartbeat) -> muster::store::Feed {
    within("an answer of the store", async {
        loop {
            if let Ok(feed) = store.renew(beat.clone()).await {
                return feed;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_make_one_order() {
    let server = RedisServer::start();
    let reader = server.store(|_| {}).await;
    let info = gateway();
    let start = reader.enrol(info.clone()).await.unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let store = server.store(|_| {}).await;
        writers.spawn(async move {
            for n in 0..25 {
                let key = new_key(&n.to_string());
                let id = key.id;
                store.create(key).await.unwrap();
                if n % 2 == 0 {
                    store.revoke(id).await.unwrap();
                }
            }
        });
    }
    writers.join_all().await;
    let feed = renew(&reader, beat(&info, start)).await;
    let revisions: Vec<_> = feed.entries.iter().map(|e| e.position.revision.0).collect();
    let expected: Vec<_> = (start.revision.0 + 1..).take(4 * 25 + 4 * 13).collect();
    assert_eq!(revisions, expected);
    let keys = reader.list(None, 1000).await.unwrap().records;
    assert_eq!(keys.len(), 100);
    let revoked = keys.iter().filter(|key| key.revoked_at.is_some()).count();
    assert_eq!(revoked, 4 * 13);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_redis_is_another_history() {
    let mut server = RedisServer::start();
    let store = server.store(|_| {}).await;
    let info = gateway();
    store.enrol(info.clone()).await.unwrap();
    let key = new_key("k");
    let id = key.id;
    let written = store.create(key).await.unwrap();
    let before = written.change.position;
    server.restart_after_a_kill();
    let feed = renew(&store, beat(&info, before)).await;
    assert_ne!(feed.position.epoch, before.epoch);
    assert!(feed.position.revision.0 >= before.revision.0 + (1 << 32));
    assert!(feed.entries.is_empty(), "no continuation");
    let loaded = store.load(id).await.unwrap();
    assert_eq!(loaded.epoch, feed.position.epoch);
    assert!(
        matches!(loaded.lookup, Lookup::Present(_)),
        "it was on the disk"
    );
    let revoked = store.revoke(id).await.unwrap();
    assert_eq!(
        revoked.change.position.revision,
        feed.position.revision.next()
    );
}

#[tokio::test]
async fn a_store_that_went_back_begins_another_history() {
    let server = RedisServer::start();
    let store = server.store(|_| {}).await;
    let info = gateway();
    let start = store.enrol(info.clone()).await.unwrap();
    for n in 0..3 {
        store.create(new_key(&n.to_string())).await.unwrap();
    }
    let after = renew(&store, beat(&info, start)).await.position;
    renew(&store, beat(&info, after)).await;
    // As a backup would have it.
    let mut raw = server.raw().await;
    let set: () = redis::cmd("HSET")
        .arg("{muster}:meta")
        .arg("revision")
        .arg(1)
        .query_async(&mut raw)
        .await
        .unwrap();
    let () = set;
    let feed = renew(&store, beat(&info, after)).await;
    assert_ne!(feed.position.epoch, after.epoch);
    assert_eq!(
        feed.position.revision,
        Revision(after.revision.0 + (1 << 32))
    );
}

#[tokio::test]
async fn an_emptied_or_another_store_is_not_believed() {
    let server = RedisServer::start();
    let store = server.store(|_| {}).await;
    let key = new_key("k");
    let id = key.id;
    store.create(key).await.unwrap();
    let mut raw = server.raw().await;
    let () = redis::cmd("FLUSHALL").query_async(&mut raw).await.unwrap();
    let foreign = |result: Result<(), StoreError>| {
        assert!(matches!(result, Err(StoreError::Foreign(_))), "{result:?}");
    };
    foreign(store.load(id).await.map(|_| ()));
    foreign(store.list(None, 9).await.map(|_| ()));
    foreign(store.tokens(None, 9).await.map(|_| ()));
    foreign(store.enrol(gateway()).await.map(|_| ()));
    store.create(new_key("k")).await.unwrap_err();
    let left: u64 = redis::cmd("DBSIZE").query_async(&mut raw).await.unwrap();
    assert_eq!(left, 0, "nothing was changed");
    // Another store in its place is not taken for it, either.
    let other = server.store(|_| {}).await;
    other.create(new_key("other")).await.unwrap();
    foreign(store.load(id).await.map(|_| ()));
    // Nor by a gateway that starts and remembers the first one.
    let again = server
        .store(|options| options.known = Some(store.id()))
        .await;
    foreign(again.load(id).await.map(|_| ()));
    // Until an operator puts it in the first one's place.
    let mut adopt = redis::cmd("HSET");
    adopt.arg("{muster}:meta");
    adopt.arg(format!("alias:{}", store.id())).arg(1);
    let () = adopt.query_async(&mut raw).await.unwrap();
    for adopted in [&store, &again] {
        let loaded = adopted.load(id).await.unwrap();
        assert!(matches!(loaded.lookup, Lookup::Absent));
    }
    assert_eq!(other.list(None, 9).await.unwrap().records.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_connections_lose_no_acknowledged_change() {
    let server = RedisServer::start();
    let store = server.store(|_| {}).await;
    let info = gateway();
    let start = store.enrol(info.clone()).await.unwrap();
    let mut raw = server.raw().await;
    let mut acknowledged = Vec::new();
    let mut refused = 0;
    for n in 0..60 {
        let key = new_key(&n.to_string());
        let id = key.id;
        let (created, ()) = tokio::join!(store.create(key), async {
            if n % 3 == 0 {
                let kill: Result<u64, _> = redis::cmd("CLIENT")
                    .arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"])
                    .query_async(&mut raw)
                    .await;
                kill.unwrap();
            }
        });
        match created {
            Ok(_) => acknowledged.push(id),
            Err(error) => {
                println!("{n}: {error}");
                refused += 1;
                // Whoever asks while it can't connect is refused at once.
                eventually("it takes changes again", async || {
                    store.create(new_key("again")).await.is_ok()
                })
                .await;
            }
        }
    }
    println!("{refused} of 60 changes met a killed connection and were not acknowledged");
    assert!(acknowledged.len() >= 20, "it comes back by itself");
    let feed = renew(&store, beat(&info, start)).await;
    let told: Vec<_> = feed.entries.iter().map(|e| e.change.key()).collect();
    for id in acknowledged {
        assert!(told.contains(&id));
    }
}

#[tokio::test]
async fn a_redis_that_can_not_be_used_is_refused_with_the_cause() {
    let server = RedisServer::start();
    let mut raw = server.raw().await;
    let open = async |url: &str, prefix: &str| {
        let mut options = server.options();
        options.url = RedisUrl::parse(url).unwrap();
        options.prefix = prefix.into();
        RedisStore::open(options).await.map(|store| store.id())
    };
    let set = |name: &str, field: &str| {
        let mut set = redis::cmd("HSET");
        set.arg(name).arg(field).arg("2");
        set
    };
    let () = redis::cmd("SET")
        .arg("{taken}:meta")
        .arg("x")
        .query_async(&mut raw)
        .await
        .unwrap();
    let () = set("{else}:meta", "colour")
        .query_async(&mut raw)
        .await
        .unwrap();
    let () = set("{newer}:meta", "format")
        .query_async(&mut raw)
        .await
        .unwrap();
    let url = server.url();
    for prefix in ["taken", "else"] {
        let refused = open(&url, prefix).await;
        assert!(
            matches!(refused, Err(RedisOpenError::NotOurs { .. })),
            "{refused:?}"
        );
    }
    let newer = open(&url, "newer").await;
    assert!(
        matches!(newer, Err(RedisOpenError::Newer { .. })),
        "{newer:?}"
    );
    assert!(RedisUrl::parse("http://127.0.0.1").is_err());
    // Well-formed, but no database has that number.
    let url_error = open("redis://127.0.0.1:1/99999999999999999999", "muster").await;
    assert!(
        matches!(url_error, Err(RedisOpenError::Url(_))),
        "{url_error:?}"
    );
    let gone = open("redis://127.0.0.1:1/0", "muster").await;
    assert!(
        matches!(gone, Err(RedisOpenError::Unavailable(_))),
        "{gone:?}"
    );
    // A password is asked for, and the wrong one given.
    let mut config = redis::cmd("CONFIG");
    config.arg(&["SET", "requirepass", "right"]);
    let () = config.query_async(&mut raw).await.unwrap();
    for url in [url.clone(), url.replace("://", "://:wrong@")] {
        let login = open(&url, "muster").await;
        assert!(matches!(login, Err(RedisOpenError::Login(_))), "{login:?}");
        assert!(!format!("{login:?}").contains("wrong@"));
    }
    open(&url.replace("://", "://:right@"), "muster")
        .await
        .unwrap();
}

#[tokio::test]
async fn two_gateways_that_open_an_empty_redis_share_one_store() {
    let server = RedisServer::start();
    let (one, two) = tokio::join!(server.store(|_| {}), server.store(|_| {}));
    assert_eq!(one.id(), two.id());
    let key = new_key("k");
    let id = key.id;
    one.create(key).await.unwrap();
    two.edit(
        id,
        KeyEdit {
            name: Some("n".into()),
            ..KeyEdit::default()
        },
    )
    .await
    .unwrap();
    let Lookup::Present(record) = one.load(id).await.unwrap().lookup else {
        panic!("not there");
    };
    assert_eq!(record.name, "n");
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_an_error_in_time() {
    let server = RedisServer::start();
    let bound = Duration::from_millis(300);
    let store = server
        .store(|options| options.answer_deadline = bound)
        .await;
    let key = new_key("k");
    let id = key.id;
    store.create(key).await.unwrap();
    server.pause();
    let asked = std::time::Instant::now();
    let silent = store.load(id).await;
    let waited = asked.elapsed();
    server.resume();
    assert!(matches!(silent, Err(StoreError::Failed(_))), "{silent:?}");
    // One deadline and a margin of two seconds for a busy machine.
    assert!(waited < bound + Duration::from_secs(2), "{waited:?}");
    eventually("a new connection", async || store.load(id).await.is_ok()).await;
}

/// A heartbeat that was on its way when its gateway stopped.
#[tokio::test]
async fn a_heartbeat_behind_the_leave_leaves_nothing() {
    let server = RedisServer::start();
    let store = server.store(|_| {}).await;
    let info = gateway();
    let start = store.enrol(info.clone()).await.unwrap();
    store.renew(beat(&info, start)).await.unwrap();
    store.leave(info.id).await.unwrap();
    store.renew(beat(&info, start)).await.unwrap();
    let mut raw = server.raw().await;
    for hash in ["{muster}:gateways", "{muster}:beats"] {
        let left: u64 = redis::cmd("HLEN")
            .arg(hash)
            .query_async(&mut raw)
            .await
            .unwrap();
        assert_eq!(left, 0, "{hash}");
    }
}

/// What a gateway applied in another history says nothing about this one's changes,
/// however great its revision.
#[tokio::test]
async fn applied_counts_in_the_present_history_alone() {
    let server = RedisServer::start();
    let store = server.store(|_| {}).await;
    let info = gateway();
    let start = store.enrol(info.clone()).await.unwrap();
    let key = new_key("k");
    let id = key.id;
    store.create(key).await.unwrap();
    let revoked = store.revoke(id).await.unwrap().change.position;
    let applied = async |position: Position| {
        let mut beat = beat(&info, start);
        beat.applied = position;
        store.renew(beat).await.unwrap();
        let reach = store.reach(id).await.unwrap();
        let gateway = &reach.enrolled[0];
        gateway.has_applied(revoked.revision, reach.position)
    };
    assert!(!applied(start).await);
    let mut other = revoked;
    other.epoch.0 ^= 1;
    other.revision = Revision(revoked.revision.0 + 1_000);
    assert!(!applied(other).await, "another history");
    assert!(applied(revoked).await);
}
