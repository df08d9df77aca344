//! What a restart keeps, and what it refuses to start on.

use std::sync::Arc;

use muster::config::Config;
use muster::server::{Server, StartError};

use crate::support::{TestGateway, eventually, reason_of};

#[tokio::test]
async fn a_restart_keeps_keys_token_and_certificates() {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let gateway = TestGateway::in_dir(dir.clone()).await;
    let operator = gateway.operator().await;
    let (id, key) = operator.key("kept").await;
    let (revoked, revoked_key) = operator.key("revoked").await;
    operator.revoke(&revoked).await;
    let files = ["ca.pem", "server.pem", "admin.token"];
    let before = files.map(|file| gateway.file(file));
    gateway.stopped().await;

    let gateway = TestGateway::in_dir(dir).await;
    assert_eq!(files.map(|file| gateway.file(file)), before);
    let agent = gateway.agent(&key).await;
    let stream = agent.connect().await;
    let status = agent.with_key(Some(&revoked_key)).join().await.unwrap_err();
    assert_eq!(reason_of(&status), "KEY_REVOKED");
    let operator = gateway.operator().await;
    assert_eq!(operator.show(&id).await.unwrap().live_sessions, 1);
    assert!(operator.show(&revoked).await.unwrap().revoked_at.is_some());
    drop(stream);
    eventually("the session goes", async || {
        operator.list_sessions("").await.is_empty()
    })
    .await;
}

#[tokio::test]
async fn secrets_are_readable_by_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let gateway = TestGateway::in_dir(Arc::new(tempfile::tempdir().unwrap())).await;
    for file in ["admin.token", "ca.key", "server.key", "store.redb"] {
        let path = gateway.data_dir.path().join(file);
        let mode = std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

#[tokio::test]
async fn a_second_gateway_on_the_same_directory_is_told_so() {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let _first = TestGateway::in_dir(dir.clone()).await;
    let config = Config {
        data_dir: dir.path().to_owned(),
        ..Config::default()
    };
    let refused = Server::bind(config).await.err().unwrap();
    assert!(
        refused.to_string().contains("another muster is using it"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_foreign_store_is_refused_and_untouched() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    std::fs::write(&path, "somebody's notes").unwrap();
    let config = Config {
        data_dir: dir.path().to_owned(),
        ..Config::default()
    };
    let refused = Server::bind(config).await.err().unwrap();
    assert!(matches!(refused, StartError::StoreFile(_)), "{refused}");
    assert!(
        refused.to_string().contains("not a muster store"),
        "{refused}"
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "somebody's notes");
}

#[tokio::test]
async fn a_lost_token_file_is_replaced_and_a_strange_one_is_not_trusted() {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let gateway = TestGateway::in_dir(dir.clone()).await;
    let first = gateway.file("admin.token");
    gateway.stopped().await;
    std::fs::remove_file(dir.path().join("admin.token")).unwrap();
    let gateway = TestGateway::in_dir(dir.clone()).await;
    assert_ne!(gateway.file("admin.token"), first);
    gateway.operator().await.key("works").await;
    gateway.stopped().await;

    std::fs::write(dir.path().join("admin.token"), "hello").unwrap();
    let config = Config {
        data_dir: dir.path().to_owned(),
        ..Config::default()
    };
    let refused = Server::bind(config).await.err().unwrap();
    assert!(matches!(refused, StartError::Token(_)), "{refused}");
}
