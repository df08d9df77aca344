//! The store's time across restarts, on hosts whose clocks are set.

use redb::WriteTransaction;
use tempfile::TempDir;

use super::database::failed;
use super::latest_time::{LATEST, read};
use super::schema::META;
use super::{EmbeddedStore, accept_host_clock, clocks, events, open};
use crate::keys::{Id, Timestamp};
use crate::store::{FakeHost, GatewayId, GatewayStore, HostClock, KeyStore, SystemClock};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// A store file, and the time that it has.
struct File(TempDir);

impl File {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> std::path::PathBuf {
        self.0.path().join("store.redb")
    }

    fn open_on(&self, host: &std::sync::Arc<FakeHost>) -> EmbeddedStore {
        EmbeddedStore::open_on(&self.path(), host.clone()).unwrap()
    }
}

fn written(store: &EmbeddedStore) -> Option<Timestamp> {
    let read = |t: &redb::ReadTransaction| read(&t.open_table(META).unwrap());
    store.shared.file.read(read).unwrap()
}

#[tokio::test]
async fn a_restart_after_a_clock_set_back_goes_on_from_the_last_write() {
    let file = File::new();
    let host = FakeHost::at(5 * HOUR);
    let store = file.open_on(&host);
    host.pass(MINUTE);
    store.put(|_| Ok(())).await.unwrap();
    drop(store);
    let host = FakeHost::at(2 * HOUR);
    let store = file.open_on(&host);
    assert_eq!(store.clock().now(), at(5 * HOUR + MINUTE));
    host.pass(MINUTE);
    assert_eq!(store.clock().now(), at(5 * HOUR + 2 * MINUTE));
    assert!(store.shared.latest.is_told());
    host.set_wall(6 * HOUR);
    store.keep_time();
    assert_eq!(store.clock().now(), at(6 * HOUR), "set right");
    assert!(!store.shared.latest.is_told());
}

#[tokio::test]
async fn an_idle_gateway_writes_the_time_now_and_then_and_at_its_end() {
    let file = File::new();
    let host = FakeHost::at(5 * HOUR);
    let store = file.open_on(&host);
    assert_eq!(written(&store), Some(at(5 * HOUR)), "at the start");
    host.pass(119_000);
    store.keep_time();
    assert!(!store.shared.latest.is_due(store.clock().now()));
    host.pass(1_000);
    store.keep_time();
    while written(&store) != Some(at(5 * HOUR + 2 * MINUTE)) {
        tokio::task::yield_now().await;
    }
    assert!(!store.shared.latest.is_due(store.clock().now()), "once");
    host.pass(MINUTE);
    let gateway = GatewayId(Id::random().unwrap());
    store.leave(gateway).await.unwrap();
    assert_eq!(written(&store), Some(at(5 * HOUR + 3 * MINUTE)));
}

#[test]
fn a_file_from_before_goes_by_the_hosts_clock() {
    let file = File::new();
    drop(file.open_on(&FakeHost::at(5 * HOUR)));
    open::change(&file.path(), |transaction| {
        let mut meta = transaction.open_table(META).map_err(failed)?;
        meta.remove(LATEST).map_err(failed)?;
        Ok(())
    })
    .unwrap();
    assert_eq!(clocks(&file.path()).unwrap().seen, None);
    let store = file.open_on(&FakeHost::at(2 * HOUR));
    assert_eq!(store.clock().now(), at(2 * HOUR));
    assert_eq!(written(&store), Some(at(2 * HOUR)));
}

#[tokio::test]
async fn the_hosts_clock_is_accepted_by_hand() {
    let file = File::new();
    let now = SystemClock.wall().as_millis();
    let ahead = FakeHost::at(now + 10_000 * HOUR);
    let store = file.open_on(&ahead);
    let until = store.clock().now();
    let move_expiries = move |transaction: &WriteTransaction| {
        let mut meta = transaction.open_table(META).map_err(failed)?;
        events::set_expiries_until(&mut meta, until)
    };
    store.put(move_expiries).await.unwrap();
    assert!(accept_host_clock(&file.path()).is_err(), "in use");
    drop(store);
    let store = EmbeddedStore::open(&file.path()).unwrap();
    assert!(store.clock().now() >= until, "remembered");
    drop(store);
    let accepted = accept_host_clock(&file.path()).unwrap();
    assert!(accepted < at(now + HOUR));
    let store = EmbeddedStore::open(&file.path()).unwrap();
    assert!(store.clock().now() < at(now + HOUR));
    let until = |t: &redb::ReadTransaction| events::expiries_until(&t.open_table(META).unwrap());
    assert_eq!(store.shared.file.read(until).unwrap(), Some(accepted));
}
