//! A marker key goes through everything; nothing that is printed may hold it.

use std::process::Stdio;
use std::time::Duration;

use muster::proto::admin::v1 as pb;
use tokio::process::Command;

use crate::support::within;

#[tokio::test]
async fn no_log_metric_or_error_holds_a_key_or_a_token() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = crate::support::Process::start(dir.path(), &["--log", "trace"]).await;
    let operator = gateway.operator().await;
    let mut printed = String::new();
    let (id, key) = operator.key("marker").await;
    let (other_id, other_key) = operator.key("other").await;
    let (token_id, made_token) = operator.token(pb::Role::Viewer).await;
    let viewer = gateway.operator_with(&made_token).await;
    printed += &format!("{:?}", viewer.delete(&id).await);
    operator.revoke_token(&token_id).await.unwrap();
    printed += &format!("{:?}", viewer.show(&id).await);
    let agent = gateway.agent(&key).await;
    let mut stream = agent.connect().await;
    operator.revoke(&id).await;
    printed += &format!("{:?}", stream.end().await);
    for bad in [&key, &key[..60], &format!("{key}x"), &other_key] {
        let status = agent.with_key(Some(bad)).join().await;
        printed += &format!("{status:?}");
    }
    let strange = gateway.operator_with(&key).await;
    printed += &format!("{:?}", strange.show(&other_id).await);
    printed += &format!("{:?}", operator.show(&key).await);
    printed += &gateway.get("/metrics").await;
    let cli = Command::new(env!("CARGO_BIN_EXE_muster"))
        .args(["keys", "show", &key, "--data-dir"])
        .arg(dir.path())
        .stdin(Stdio::null())
        .output();
    let cli = within("the CLI", cli).await.unwrap();
    printed += &String::from_utf8_lossy(&[cli.stdout, cli.stderr].concat());
    let token = std::fs::read_to_string(dir.path().join("admin.token")).unwrap();
    let log = gateway.stop(Duration::from_secs(20)).await;
    assert!(log.contains(&id), "the log speaks of the key by its id");
    assert!(log.contains(&token_id), "and of the token");
    assert!(log.lines().count() > 100, "the log is at TRACE");
    printed += &log;
    let secrets = [&key, &other_key, &token, &made_token];
    for secret in secrets.map(|secret| &secret[21..64]) {
        let line = printed.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "a secret was printed");
    }
}
