//! The embedded store on a disk that takes no writes, with the real process. A limit on
//! the size of its files does what a full disk does, and can be lifted from outside.

use std::time::Duration;

use tokio::process::Command;

use crate::cli::operate;
use crate::support::{PATIENCE, Process, eventually, reason_of};

/// The most that a file of this process may grow to: `unlimited`, or so many bytes.
async fn limit_files(gateway: &Process, bytes: &str) {
    let mut prlimit = Command::new("prlimit");
    prlimit.args(["--pid", &gateway.id().to_string()]);
    let status = prlimit.arg(format!("--fsize={bytes}:")).status().await;
    assert!(status.unwrap().success());
}

/// What keeps it from being ready, once something does.
async fn not_ready(gateway: &Process) -> String {
    eventually("not ready", async || {
        !gateway.get("/readyz").await.contains("200 OK")
    })
    .await;
    gateway.get("/readyz").await
}

async fn ready_again(gateway: &Process) {
    eventually("ready again", async || {
        gateway.get("/readyz").await.contains("200 OK")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_takes_no_writes_is_told_at_once_and_the_store_heals_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Process::start(folder.path(), &["--log-format", "json"]).await;
    let operator = gateway.operator().await;
    let (id, key) = operator.key("k").await;
    let (_, other) = operator.key("other").await;
    let mut stream = gateway.agent(&key).await.connect().await;

    limit_files(&gateway, "4096").await;
    // A write of an agent's rows is enough.
    gateway.agent(&other).await.join().await.unwrap();
    let why = not_ready(&gateway).await;
    assert!(
        why.contains("takes no writes") && why.contains("ulimit -f"),
        "{why}"
    );
    assert_eq!(gateway.metric("muster_store_unwritable").await, 1.0);
    assert!(gateway.metric("muster_store_failures_total").await > 0.0);

    let (code, told) = operate(folder.path(), &["keys", "revoke", &id, "--yes"]).await;
    assert_eq!(code, Some(5), "{told}");
    assert!(told.contains("PENDING"), "{told}");
    assert!(told.contains("It is kept on this gateway's disk"), "{told}");
    assert_eq!(reason_of(&stream.end().await), "KEY_REVOKED");

    limit_files(&gateway, "unlimited").await;
    ready_again(&gateway).await;
    eventually("the pending revoke is written", async || {
        gateway.metric("muster_revokes_pending").await == 0.0
    })
    .await;
    assert!(operator.show(&id).await.unwrap().revoked_at.is_some());
    operator.key("after").await;
    let (_, events) = operate(folder.path(), &["events"]).await;
    for kind in ["store_needs_operator", "store_well", "key_revoked"] {
        assert!(events.contains(kind), "{kind}: {events}");
    }
    let log = gateway.stop(PATIENCE).await;
    assert!(log.contains("takes writes again"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pending_revoke_outlives_a_kill_and_is_written_and_recorded_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut gateway = Process::start(folder.path(), &[]).await;
    let operator = gateway.operator().await;
    let (id, key) = operator.key("k").await;
    limit_files(&gateway, "4096").await;
    gateway.agent(&key).await.join().await.unwrap();
    not_ready(&gateway).await;
    let (code, told) = operate(folder.path(), &["keys", "revoke", &id, "--yes"]).await;
    assert_eq!(code, Some(5), "{told}");
    gateway.kill().await;

    let gateway = Process::start(folder.path(), &[]).await;
    let refused = gateway.agent(&key).await.join().await.unwrap_err();
    assert_eq!(reason_of(&refused), "KEY_REVOKED", "{refused}");
    eventually("the pending revoke is written", async || {
        gateway.metric("muster_revokes_pending").await == 0.0
    })
    .await;
    let operator = gateway.operator().await;
    assert!(operator.show(&id).await.unwrap().revoked_at.is_some());
    eventually("its record", async || {
        let (_, trail) = operate(folder.path(), &["audit", "list", "-o", "json"]).await;
        trail.contains("the pending revoke is written")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pending_revoke_that_can_not_be_kept_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Process::start(folder.path(), &[]).await;
    let operator = gateway.operator().await;
    let (id, key) = operator.key("k").await;
    limit_files(&gateway, "0").await;
    gateway.agent(&key).await.join().await.unwrap();
    not_ready(&gateway).await;
    let (code, told) = operate(folder.path(), &["keys", "revoke", &id, "--yes"]).await;
    assert_eq!(code, Some(5), "{told}");
    assert!(
        told.contains("can't be kept") && told.contains("is lost"),
        "{told}"
    );
    limit_files(&gateway, "unlimited").await;
    ready_again(&gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn little_free_space_is_told_while_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let most = (1_u64 << 62).to_string();
    let gateway = Process::start(folder.path(), &["--min-free-disk", &most]).await;
    eventually("the event", async || {
        let (_, events) = operate(folder.path(), &["events"]).await;
        events.contains("disk_low")
    })
    .await;
    assert!(gateway.metric("muster_store_disk_free_bytes").await > 0.0);
    assert!(gateway.get("/readyz").await.contains("200 OK"));
    let log = gateway.stop(Duration::from_secs(10)).await;
    assert!(log.contains("--min-free-disk"), "{log}");
}
