//! A store that lost, forgot or can't take a change: rewound, emptied, swapped,
//! refusing writes.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use muster::keys::Id;
use muster::proto::admin::v1 as pb;
use muster::store::redis::RedisStore;
use muster::store::{KeyStore, Lookup};
use tempfile::TempDir;
use tonic::{Code, Status};

use crate::gateway::events::kinds;
use crate::support::{
    FaultyStore, PATIENCE, Process, RedisServer, TestGateway, eventually, free_port, get_from_ops,
    new_key, reason_of, within,
};

const SAVED: &str = "appendonlydir";

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(copied.unwrap().success());
}

/// What a Redis had saved at a moment.
struct Backup(TempDir);

impl Backup {
    fn of(redis: &RedisServer) -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy(&redis.folder().join(SAVED), folder.path());
        Self(folder)
    }

    /// As an operator does who restores it, or a failover that lost the rest.
    fn restore(&self, redis: &mut RedisServer) {
        wipe(redis);
        copy(&self.0.path().join(SAVED), redis.folder());
        redis.restart();
    }
}

/// Killed, and nothing is left of what it had.
fn wipe(redis: &mut RedisServer) {
    redis.kill();
    std::fs::remove_dir_all(redis.folder().join(SAVED)).unwrap();
}

async fn gateway_on(redis: &RedisServer) -> TestGateway {
    let store = redis.store(|_| {}).await;
    over(store).await
}

async fn over(store: RedisStore) -> TestGateway {
    let soon = |config: &mut muster::server::config::Config| {
        config.timing.feed_interval = Duration::from_millis(50);
    };
    TestGateway::over(Arc::new(store), soon).await
}

fn is_our_fault(status: &Status) {
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert_eq!(reason_of(status), "STORE_UNAVAILABLE");
}

async fn reaches(gateway: &TestGateway, metric: &str, value: f64) {
    eventually(metric, async || gateway.metric(metric).await == value).await;
}

/// A key that no store has.
fn unknown_key() -> String {
    let minted = muster::keys::mint(muster::keys::Kind::DataPlaneKey).unwrap();
    minted.expose().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ends_that_the_store_lost_are_written_again() {
    let mut redis = RedisServer::start();
    let (one, two) = (gateway_on(&redis).await, gateway_on(&redis).await);
    let operator = one.operator().await;
    let (revoked, revoked_key) = operator.key("revoked").await;
    let (deleted, deleted_key) = operator.key("deleted").await;
    let (kept, kept_key) = operator.key("kept").await;
    let cut = one.agent(&revoked_key).await;
    let mut stream = cut.connect().await;
    let bystander = one.agent(&kept_key).await;
    let _kept = bystander.connect().await;
    let backup = Backup::of(&redis);
    operator.revoke(&revoked).await;
    assert_eq!(reason_of(&stream.end().await), "KEY_REVOKED");
    let revoked_at = operator.show(&revoked).await.unwrap().revoked_at;
    operator.revoke(&deleted).await;
    operator.delete(&deleted).await.unwrap();
    // This one has never heard of the two.
    let three = gateway_on(&redis).await;

    // At no moment may the key get in where its revoke was seen.
    let knocking = tokio::spawn(async move {
        loop {
            let refused = cut.join().await.unwrap_err();
            if refused.code() == Code::Unauthenticated {
                assert_eq!(reason_of(&refused), "KEY_REVOKED", "{refused}");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    backup.restore(&mut redis);
    eventually("both are written again, each once", async || {
        let mut written = 0.0;
        for gateway in [&one, &two, &three] {
            written += gateway.metric("muster_reasserted_total").await;
        }
        assert!(written <= 2.0);
        written == 2.0
    })
    .await;
    for gateway in [&one, &two, &three] {
        let agent = gateway.agent(&revoked_key).await;
        eventually("the revoked key is refused", async || {
            let Err(refused) = agent.join().await else {
                return false;
            };
            refused.code() == Code::Unauthenticated && reason_of(&refused) == "KEY_REVOKED"
        })
        .await;
        let agent = agent.with_key(Some(&deleted_key));
        eventually("the deleted key is refused", async || {
            let Err(refused) = agent.join().await else {
                return false;
            };
            refused.code() == Code::Unauthenticated && reason_of(&refused) == "UNKNOWN_KEY"
        })
        .await;
        assert_eq!(gateway.metric("muster_keys_lost").await, 0.0);
    }
    assert!(!knocking.is_finished(), "it got in");
    knocking.abort();
    let shown = operator.show(&revoked).await.unwrap();
    assert_eq!(shown.revoked_at, revoked_at, "as it was");
    assert!(operator.show(&deleted).await.is_err());
    assert_eq!(operator.list_sessions(&kept).await.len(), 1);
    bystander.join().await.unwrap();
    let told = kinds(&operator, "").await;
    assert!(
        told.iter().any(|kind| kind == "store_new_history"),
        "{told:?}"
    );
    // By whichever of the two that saw it was first.
    let told_by_two = kinds(&two.operator().await, "").await;
    assert!(
        told.iter()
            .chain(&told_by_two)
            .any(|kind| kind == "revoke_reasserted"),
        "{told:?} {told_by_two:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_the_store_lost_is_unavailable_and_reported_once() {
    let mut redis = RedisServer::start();
    let gateway = gateway_on(&redis).await;
    let operator = gateway.operator().await;
    operator.key("before").await;
    let before = Backup::of(&redis);
    let (live, live_key) = operator.key("live").await;
    let (created, created_key) = operator.key("never used").await;
    let agent = gateway.agent(&live_key).await;
    let _stream = agent.connect().await;
    let after = Backup::of(&redis);

    before.restore(&mut redis);
    reaches(&gateway, "muster_keys_lost", 2.0).await;
    for _ in 0..3 {
        is_our_fault(&agent.join().await.unwrap_err());
        let other = agent.with_key(Some(&created_key));
        is_our_fault(&other.join().await.unwrap_err());
    }
    let stranger = agent.with_key(Some(&unknown_key()));
    let refused = stranger.join().await.unwrap_err();
    assert_eq!(reason_of(&refused), "UNKNOWN_KEY", "{refused}");
    assert_eq!(gateway.metric("muster_sessions_live").await, 1.0);
    for key in [&live, &created] {
        let told = kinds(&operator, key).await;
        let lost = told.iter().filter(|kind| *kind == "key_lost").count();
        assert_eq!(lost, 1, "{told:?}");
    }
    let told = kinds(&operator, "").await;
    let histories = told.iter().filter(|kind| *kind == "store_new_history");
    assert_eq!(histories.count(), 1, "{told:?}");

    after.restore(&mut redis);
    reaches(&gateway, "muster_keys_lost", 0.0).await;
    agent.join().await.unwrap();
    agent.with_key(Some(&created_key)).join().await.unwrap();
    assert_eq!(gateway.metric("muster_sessions_live").await, 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_key_is_lost_until_it_would_have_expired() {
    const LIFE: Duration = Duration::from_secs(5);
    let mut redis = RedisServer::start();
    let gateway = gateway_on(&redis).await;
    let operator = gateway.operator().await;
    operator.key("before").await;
    let before = Backup::of(&redis);
    let (_, secret) = operator.key_for("short", LIFE).await;
    let agent = gateway.agent(&secret).await;
    let mut stream = agent.connect().await;
    before.restore(&mut redis);
    reaches(&gateway, "muster_keys_lost", 1.0).await;
    is_our_fault(&agent.join().await.unwrap_err());
    assert_eq!(reason_of(&stream.end().await), "KEY_EXPIRED");
    reaches(&gateway, "muster_keys_lost", 0.0).await;
    let agent = gateway.agent(&secret).await;
    let refused = agent.join().await.unwrap_err();
    assert_eq!(reason_of(&refused), "UNKNOWN_KEY", "{refused}");
    assert_eq!(gateway.metric("muster_keys_lost").await, 0.0);
}

/// Puts the store that is there in the place of the one that `lost` is of.
async fn adopt(redis: &RedisServer, lost: Id) {
    let mut set = redis::cmd("HSET");
    set.arg("{muster}:meta").arg(format!("alias:{lost}")).arg(1);
    let () = set.query_async(&mut redis.raw().await).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emptied_store_cuts_nobody_until_it_is_adopted() {
    for by_restart in [false, true] {
        let mut redis = RedisServer::start();
        let store = redis.store(|_| {}).await;
        let id = store.id();
        let gateway = over(store).await;
        let (_, key) = gateway.operator().await.key("k").await;
        let agent = gateway.agent(&key).await;
        let _stream = agent.connect().await;
        let stranger = agent.with_key(Some(&unknown_key()));
        if by_restart {
            wipe(&mut redis);
            redis.restart();
        } else {
            let mut raw = redis.raw().await;
            let () = redis::cmd("FLUSHALL").query_async(&mut raw).await.unwrap();
        }
        reaches(&gateway, "muster_store_foreign", 1.0).await;
        let still_foreign = async || {
            let (code, why) = gateway.ops("/readyz").await;
            assert_eq!(code, 503, "{why}");
            assert!(why.contains("muster store adopt"), "{why}");
            agent.join().await.expect("it is known");
            is_our_fault(&stranger.join().await.unwrap_err());
            assert_eq!(gateway.metric("muster_sessions_live").await, 1.0);
        };
        still_foreign().await;
        // Swapped.
        let other = redis.store(|_| {}).await;
        still_foreign().await;

        adopt(&redis, id).await;
        reaches(&gateway, "muster_store_foreign", 0.0).await;
        eventually("it is ready", async || {
            gateway.ops("/readyz").await.0 == 200
        })
        .await;
        reaches(&gateway, "muster_keys_lost", 1.0).await;
        is_our_fault(&agent.join().await.unwrap_err());
        // No key was ever created in it.
        is_our_fault(&stranger.join().await.unwrap_err());
        assert_eq!(gateway.metric("muster_sessions_live").await, 1.0);
        other.create(new_key("first")).await.unwrap();
        let refused = stranger.join().await.unwrap_err();
        assert_eq!(reason_of(&refused), "UNKNOWN_KEY", "{refused}");
        is_our_fault(&agent.join().await.unwrap_err());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_waits_for_the_right_store_and_tells_operators_why() {
    let mut redis = RedisServer::start();
    let (folder, ops) = (tempfile::tempdir().unwrap(), free_port());
    let ops = format!("127.0.0.1:{ops}");
    let url = redis.url();
    let flags = ["--store", &url, "--ops-listen", &ops];
    let list_keys = async || {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_muster"));
        command
            .args(["keys", "list", "--data-dir"])
            .arg(folder.path());
        let output = within("a command", command.output()).await.unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), told)
    };
    let gateway = Process::start(folder.path(), &flags).await;
    let (_, key) = gateway.operator().await.key("k").await;
    gateway.stop(PATIENCE).await;
    let backup = Backup::of(&redis);

    wipe(&mut redis);
    let launched = Process::launch(folder.path(), &flags);
    let tells = async |cause: &str| {
        eventually("operators are told", async || {
            let (code, told) = list_keys().await;
            assert_eq!(code, Some(1), "{told}");
            told.contains("the store is not reachable yet") && told.contains(cause)
        })
        .await;
        eventually("a probe is told", async || {
            let answer = get_from_ops(&ops, "/readyz").await.unwrap_or_default();
            answer.starts_with("HTTP/1.1 503") && answer.contains(cause)
        })
        .await;
    };
    tells("Redis: ").await;
    redis.restart();
    tells("type: muster store adopt").await;
    let metrics = get_from_ops(&ops, "/metrics").await.unwrap();
    assert!(metrics.contains("muster_store_foreign 1"), "{metrics}");
    backup.restore(&mut redis);
    let gateway = launched.ready().await;
    gateway.agent(&key).await.join().await.unwrap();
    let (code, told) = list_keys().await;
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(gateway.metric("muster_store_foreign").await, 0.0);
}

#[tokio::test]
async fn a_revoke_that_the_store_does_not_take_is_pending() {
    let store = Arc::new(FaultyStore::new());
    let gateway = TestGateway::over(store.clone(), |_| {}).await;
    let operator = gateway.operator().await;
    let (id, key) = operator.key("k").await;
    let agent = gateway.agent(&key).await;
    let mut stream = agent.connect().await;
    let never = new_key("never").id.to_string();

    store.set_failing(true);
    let outcome = operator.revoke(&id).await;
    assert!(outcome.pending && !outcome.complete, "{outcome:?}");
    let [own] = &outcome.gateways[..] else {
        panic!("{outcome:?}");
    };
    assert!(own.applied);
    assert_eq!((own.sessions_closed, own.sessions_closing), (1, 0));
    assert!(outcome.key.unwrap().revoked_at.is_some());
    assert_eq!(reason_of(&stream.end().await), "KEY_REVOKED");
    let refused = agent.join().await.unwrap_err();
    assert_eq!(reason_of(&refused), "KEY_REVOKED", "{refused}");
    // Again, and one that is not there: nobody can tell.
    assert!(operator.revoke(&id).await.pending);
    assert!(operator.revoke(&never).await.pending);
    assert_eq!(gateway.metric("muster_revokes_pending").await, 2.0);
    let loaded = store.inner.load(id.parse().unwrap()).await.unwrap();
    assert!(matches!(loaded.lookup, Lookup::Present(record) if record.revoked_at.is_none()));

    store.set_failing(false);
    reaches(&gateway, "muster_revokes_pending", 0.0).await;
    let shown = operator.show(&id).await.unwrap();
    assert!(shown.revoked_at.is_some());
    assert!(kinds(&operator, &id).await.contains(&"key_revoked".into()));
    assert!(operator.revoke(&id).await.complete);
    let missing = pb::RevokeKeyRequest {
        object_id: never,
        wait: None,
    };
    let missing = operator.keys().revoke_key(missing).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoke_that_redis_refuses_is_pending_and_the_command_line_says_so() {
    let redis = RedisServer::start();
    let gateway = gateway_on(&redis).await;
    let operator = gateway.operator().await;
    let (id, key) = operator.key("k").await;
    let mut stream = gateway.agent(&key).await.connect().await;
    let need_replicas = async |count: &str| {
        let mut set = redis::cmd("CONFIG");
        set.arg(&["SET", "min-replicas-to-write", count]);
        let () = set.query_async(&mut redis.raw().await).await.unwrap();
    };
    need_replicas("1").await;
    let revoke = async |more: &[&str]| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_muster"));
        command.args(["keys", "revoke", &id, "--yes", "--data-dir"]);
        command.arg(gateway.data_dir.path()).args(more);
        let output = within("a command", command.output()).await.unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        let noted = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(5), "{told} {noted}");
        assert!(!noted.contains("written, but"), "{noted}");
        told
    };
    let told = revoke(&[]).await;
    assert!(
        told.contains("1 session closed") && told.contains("PENDING"),
        "{told}"
    );
    assert_eq!(reason_of(&stream.end().await), "KEY_REVOKED");
    let told: serde_json::Value = serde_json::from_str(&revoke(&["-o", "json"]).await).unwrap();
    assert_eq!(told[0]["pending"], true, "{told}");
    assert_eq!(told[0]["complete"], false, "{told}");

    need_replicas("0").await;
    reaches(&gateway, "muster_revokes_pending", 0.0).await;
    assert!(operator.show(&id).await.unwrap().revoked_at.is_some());
}
