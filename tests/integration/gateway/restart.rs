//! What a restart keeps, and what it refuses to start on.

use std::sync::Arc;

use muster::server::config::Config;
use muster::server::{Server, StartError};

use crate::support::{Process, TestGateway, eventually, reason_of};

#[tokio::test]
async fn a_restart_keeps_keys_token_and_certificates() {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let gateway = TestGateway::in_dir(dir.clone()).await;
    let operator = gateway.operator().await;
    let (id, key) = operator.key("kept").await;
    let (revoked, revoked_key) = operator.key("revoked").await;
    operator.revoke(&revoked).await;
    gateway.agent(&key).await.join().await.unwrap();
    let used = operator.show(&id).await.unwrap().last_used_at;
    let files = ["ca.pem", "server.pem", "admin.token"];
    let before = files.map(|file| gateway.file(file));
    gateway.stopped().await;

    let gateway = TestGateway::in_dir(dir).await;
    assert_eq!(files.map(|file| gateway.file(file)), before);
    let operator = gateway.operator().await;
    let shown = operator.show(&id).await.unwrap();
    assert!(used.is_some());
    assert_eq!(shown.last_used_at, used);
    assert_eq!(operator.show(&revoked).await.unwrap().last_used_at, None);
    let agent = gateway.agent(&key).await;
    let stream = agent.connect().await;
    let status = agent.with_key(Some(&revoked_key)).join().await.unwrap_err();
    assert_eq!(reason_of(&status), "KEY_REVOKED");
    let shown = operator.show(&id).await.unwrap();
    assert_eq!(shown.live_sessions, 1);
    assert_eq!(shown.registered_agents, 2, "one of them before the restart");
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
        refused
            .to_string()
            .contains("is in use by another muster (process "),
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

/// A flipped bit in one record: that key is UNAVAILABLE, never UNAUTHENTICATED,
/// an alarm is raised, and the others go on.
#[tokio::test]
async fn a_damaged_record_admits_nobody_and_raises_an_alarm() {
    use redb::{Database, ReadableTable, TableDefinition};
    const KEYS: TableDefinition<&[u8; 16], &[u8]> = TableDefinition::new("keys");

    let dir = Arc::new(tempfile::tempdir().unwrap());
    let gateway = TestGateway::in_dir(dir.clone()).await;
    let operator = gateway.operator().await;
    let (damaged, key) = operator.key("damaged").await;
    let (_, sound) = operator.key("sound").await;
    gateway.stopped().await;
    let database = Database::open(dir.path().join("store.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let id: &[u8; 16] = damaged.as_bytes()[4..].try_into().unwrap();
        let mut keys = transaction.open_table(KEYS).unwrap();
        let mut record = keys.get(id).unwrap().unwrap().value().to_vec();
        *record.last_mut().unwrap() ^= 1;
        keys.insert(id, record.as_slice()).unwrap();
    }
    transaction.commit().unwrap();
    drop(database);

    let gateway = TestGateway::in_dir(dir).await;
    let agent = gateway.agent(&key).await;
    let status = agent.join().await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unavailable, "{status}");
    assert_eq!(reason_of(&status), "STORE_UNAVAILABLE");
    assert!(gateway.metric("muster_store_corrupt_records_total").await >= 1.0);
    agent.with_key(Some(&sound)).join().await.unwrap();
    let operator = gateway.operator().await;
    let shown = operator.show(&damaged).await.unwrap_err();
    assert_eq!(shown.code(), tonic::Code::Unavailable, "{shown}");
    assert!(shown.message().contains(&damaged), "{shown}");
    let list = muster::proto::admin::v1::ListKeysRequest::default();
    let list = operator.keys().list_keys(list).await.unwrap().into_inner();
    assert_eq!((list.keys.len(), list.unreadable), (1, vec![damaged]));
}

#[tokio::test]
async fn a_data_directory_in_use_names_who_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Process::start(folder.path(), &[]).await;
    let (code, log) = Process::launch(folder.path(), &[]).ended().await;
    assert_eq!(code, Some(1), "{log}");
    let holder = format!("process {}", gateway.id());
    assert!(
        log.contains("in use by another muster") && log.contains(&holder),
        "{log}"
    );
    assert!(!log.contains("make it writable"), "{log}");
}
