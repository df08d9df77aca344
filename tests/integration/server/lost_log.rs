//! A gateway whose standard error nobody reads any more, or reads too slowly.

use std::path::Path;
use std::time::Duration;

use tokio::process::Command;

use crate::support::{Process, RedisServer, eventually, reason_of, within};

async fn muster(data_dir: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
    command.args(arguments).arg("--data-dir").arg(data_dir);
    let output = within("a command", command.output()).await.unwrap();
    let told = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(told).unwrap())
}

/// All that an operator does goes on, is recorded, and the stop works.
async fn holds(gateway: Process) {
    let dir = gateway.dir().to_owned();
    let operator = gateway.operator().await;
    let (id, key) = operator.key("k").await;
    let mut stream = gateway.agent(&key).await.connect().await;
    let (code, told) = muster(&dir, &["keys", "revoke", &id, "--yes"]).await;
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(reason_of(&stream.end().await), "KEY_REVOKED");
    let (_, trail) = muster(&dir, &["audit", "list"]).await;
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
        let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
        command
            .args(&arguments)
            .env_remove("MUSTER_HISTORY_SECONDS");
        let output = within("a refused start", command.output()).await.unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let log = String::from_utf8(output.stderr).unwrap();
        assert!(!log.is_empty());
        for line in log.lines() {
            let line: serde_json::Value =
                serde_json::from_str(line).unwrap_or_else(|_| panic!("{arguments:?}: {line}"));
            assert_eq!(line["level"], "ERROR");
        }
    }
}

#[tokio::test]
async fn metrics_come_in_the_format_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Process::start(folder.path(), &[]).await;
    let plain = gateway.get("/metrics").await;
    assert!(
        plain
            .to_lowercase()
            .contains("content-type: text/plain; version=0.0.4"),
        "{plain}"
    );
    assert!(
        plain.contains("# TYPE muster_joins_total counter\n"),
        "{plain}"
    );
    assert!(!plain.contains("# EOF"), "{plain}");
    let open = gateway
        .get_accepting("/metrics", "application/openmetrics-text")
        .await;
    assert!(
        open.to_lowercase()
            .contains("content-type: application/openmetrics-text"),
        "{open}"
    );
    assert!(
        open.contains("# TYPE muster_joins counter\n") && open.contains("# EOF"),
        "{open}"
    );
}

#[tokio::test]
async fn an_ipv4_peer_of_a_socket_for_both_families_is_told_as_ipv4() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Process::start(folder.path(), &["--agent-listen", "[::]:0"]).await;
    let operator = gateway.operator().await;
    let (id, key) = operator.key("k").await;
    let port = gateway.agent_port();
    let agent = gateway
        .agent_dialling(&format!("https://127.0.0.1:{port}"), &key)
        .await;
    let _stream = agent.connect().await;
    let sessions = operator.list_sessions(&id).await;
    assert!(sessions[0].peer.starts_with("127.0.0.1"), "{sessions:?}");
}

#[tokio::test]
async fn each_secret_that_others_can_read_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    Process::start(folder.path(), &[])
        .await
        .stop(Duration::from_secs(20))
        .await;
    let secrets = ["store.redb", "admin.token", "server.key", "ca.key"];
    for file in secrets {
        let open = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(folder.path().join(file), open).unwrap();
    }
    let gateway = Process::start(folder.path(), &[]).await;
    let log = gateway.stop(Duration::from_secs(20)).await;
    for file in secrets {
        let told = log
            .lines()
            .any(|line| line.contains("WARN") && line.contains(file));
        assert!(told, "{file}: {log}");
    }
}
