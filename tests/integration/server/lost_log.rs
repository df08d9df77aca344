//! A gateway whose standard error nobody reads any more, or reads too slowly.

use std::time::Duration;

use crate::cli::{done, muster, operate};
use crate::support::{Process, RedisServer, eventually, reason_of};

/// All that an operator does goes on, is recorded, and the stop works.
async fn holds(gateway: Process) {
    let dir = gateway.dir().to_owned();
    let operator = gateway.operator().await;
    let (id, key) = operator.key("k").await;
    let mut stream = gateway.agent(&key).await.connect().await;
    let (code, told) = operate(&dir, &["keys", "revoke", &id, "--yes"]).await;
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(reason_of(&stream.end().await), "KEY_REVOKED");
    let (_, trail) = operate(&dir, &["audit", "list"]).await;
    assert!(
        trail.contains("key.create") && trail.contains("key.revoke"),
        "{trail}"
    );
    assert_eq!(gateway.metric("muster_panics_total").await, 0.0);
    gateway.terminate().await;
    assert_eq!(gateway.exit_code(Duration::from_secs(20)).await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_without_a_reader_costs_its_lines_alone() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Process::start(folder.path(), &["--log", "debug"]).await;
    gateway.close_log().await;
    gateway.operator().await.key("first").await;
    eventually("a lost line", async || {
        gateway.metric("muster_log_lines_lost_total").await > 0.0
    })
    .await;
    holds(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_does_it_over_redis_that_goes_away_for_a_moment() {
    let mut redis = RedisServer::start();
    let folder = tempfile::tempdir().unwrap();
    let gateway = Process::start(folder.path(), &["--store", &redis.url()]).await;
    gateway.close_log().await;
    redis.restart_after_a_kill();
    eventually("a lost line", async || {
        gateway.metric("muster_log_lines_lost_total").await > 0.0
    })
    .await;
    eventually("ready", async || {
        gateway.get("/readyz").await.contains("200 OK")
    })
    .await;
    // Redis kept nothing, and a fault of the store is answered as one.
    gateway.terminate().await;
    assert_eq!(gateway.exit_code(Duration::from_secs(20)).await, Some(0));
}

#[tokio::test]
async fn a_log_in_json_is_json_from_the_first_line_to_the_last() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap();
    for arguments in [
        vec!["serve", "--log-format", "json", "--no-such-flag"],
        vec![
            "serve",
            "--log-format=json",
            "--max-connections",
            "0",
            "--data-dir",
            dir,
        ],
        vec![
            "serve",
            "--log-format=json",
            "--store",
            "redis://",
            "--data-dir",
            dir,
        ],
    ] {
        let refused = done(muster(folder.path(), &arguments)).await;
        assert_eq!(refused.code, Some(2), "{arguments:?}");
        let log = refused.err;
        assert!(!log.is_empty());
        for line in log.lines() {
            let line: serde_json::Value =
                serde_json::from_str(line).unwrap_or_else(|_| panic!("{arguments:?}: {line}"));
            assert_eq!(line["level"], "ERROR");
        }
    }
}
