//! A host's clock that is set, and a host that is suspended: what has expired stays
//! expired.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use muster::store::KeyStore;
use muster::store::embedded::EmbeddedStore;

use crate::support::{TestGateway, TestHost, reason_of};

const HOUR: Duration = Duration::from_secs(3600);

fn store(folder: &Path, host: &Arc<TestHost>) -> Arc<EmbeddedStore> {
    let path = folder.join("store.redb");
    Arc::new(EmbeddedStore::open_on(&path, host.clone()).unwrap())
}

#[tokio::test]
async fn a_clock_set_back_opens_no_expired_key_nor_does_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let host = TestHost::new();
    let gateway = TestGateway::over(store(folder.path(), &host), |_| {}).await;
    let operator = gateway.operator().await;
    let (_, key) = operator.key_for("short", HOUR).await;
    let (_, other) = operator.key_for("long", 10 * HOUR).await;
    let agent = gateway.agent(&key).await;
    let mut stream = agent.connect().await;
    let bystander = gateway.agent(&other).await;
    let _stream = bystander.connect().await;
    // A jump ahead is followed, and wakes the timers.
    host.set_wall_ahead(2);
    assert_eq!(reason_of(&stream.end().await), "KEY_EXPIRED");
    host.set_wall_ahead(0);
    let refused = agent.join().await.unwrap_err();
    assert_eq!(reason_of(&refused), "KEY_EXPIRED", "set back");
    bystander.join().await.unwrap();
    drop(agent);
    gateway.stopped().await;

    let gateway = TestGateway::over(store(folder.path(), &host), |_| {}).await;
    let refused = gateway.agent(&key).await.join().await.unwrap_err();
    assert_eq!(reason_of(&refused), "KEY_EXPIRED", "after a restart");
    gateway.agent(&other).await.join().await.unwrap();
}

#[tokio::test]
async fn a_key_that_expires_while_its_host_is_suspended_is_ended_once_that_is_awake() {
    let folder = tempfile::tempdir().unwrap();
    let host = TestHost::new();
    let store = store(folder.path(), &host);
    let gateway = TestGateway::over(store.clone(), |_| {}).await;
    let operator = gateway.operator().await;
    let (_, key) = operator.key_for("short", HOUR).await;
    let mut stream = gateway.agent(&key).await.connect().await;
    let before = store.clock().moment();
    host.set_suspended(2 * HOUR);
    assert!(before.elapsed().boot >= 2 * HOUR);
    assert_eq!(reason_of(&stream.end().await), "KEY_EXPIRED");
}
