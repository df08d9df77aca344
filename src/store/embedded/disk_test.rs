//! What the store does on a disk that fails and gets well again.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use redb::StorageBackend;

use super::database::EmbeddedStore;
use super::file::{StoreFile, Ways};
use super::open::{DISK_DEADLINE, open_over, prepare};
use crate::keys::{KeyId, Kind, mint};
use crate::store::clock::StoreClock;
use crate::store::{
    ChangeError, GatewayId, GatewayInfo, GatewayStore, Heartbeat, KeyStore, Lookup, NewKey,
    StoreError,
};

/// Which calls of a disk fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failing {
    Nothing,
    /// Writes, with this error of the system.
    Writes(i32),
    Syncs(i32),
    Growth(i32),
}

/// A disk in memory. What is written stays when the store is opened again.
#[derive(Debug, Clone)]
struct Disk {
    bytes: Arc<Mutex<Vec<u8>>>,
    failing: Arc<Mutex<Failing>>,
}

impl Disk {
    fn new() -> Self {
        Self {
            bytes: Arc::default(),
            failing: Arc::new(Mutex::new(Failing::Nothing)),
        }
    }

    fn set(&self, failing: Failing) {
        *self.failing.lock() = failing;
    }

    fn check(&self, is_it: impl Fn(Failing) -> Option<i32>) -> io::Result<()> {
        let failing = *self.failing.lock();
        is_it(failing).map_or(Ok(()), |code| Err(io::Error::from_raw_os_error(code)))
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.bytes.lock().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let from = usize::try_from(offset).unwrap();
        out.copy_from_slice(&self.bytes.lock()[from..from + out.len()]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.check(|failing| match failing {
            Failing::Growth(code) => Some(code),
            _ => None,
        })?;
        self.bytes.lock().resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.check(|failing| match failing {
            Failing::Syncs(code) => Some(code),
            _ => None,
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.check(|failing| match failing {
            Failing::Writes(code) => Some(code),
            _ => None,
        })?;
        let from = usize::try_from(offset).unwrap();
        self.bytes.lock()[from..from + data.len()].copy_from_slice(data);
        Ok(())
    }
}

const ENOSPC: i32 = 28;
const EROFS: i32 = 30;
const EIO: i32 = 5;

fn store_on(disk: &Disk) -> EmbeddedStore {
    let (database, identity) = open_over(disk.clone()).unwrap();
    let clock = StoreClock::default();
    prepare(&database, clock.now()).unwrap();
    let again = disk.clone();
    let ways = Ways {
        to_write: Box::new(move || open_over(again.clone()).map_err(|e| e.to_string())),
        to_read: Box::new(|| None),
    };
    let file = StoreFile::new(database, identity.epoch, ways, None);
    EmbeddedStore::new(file, &identity, clock, DISK_DEADLINE)
}

fn new_key(name: &str) -> NewKey {
    let minted = mint(Kind::DataPlaneKey).unwrap();
    NewKey {
        id: KeyId(minted.id),
        digest: minted.digest,
        name: name.into(),
        expires_at: None,
    }
}

async fn heartbeat(store: &EmbeddedStore, gateway: GatewayId) -> Result<(), StoreError> {
    let (_, position) = store.gateways().await?;
    let beat = Heartbeat {
        gateway,
        position,
        applied: position,
        live_sessions: 0,
        standing: Default::default(),
        outcomes: Vec::new(),
    };
    store.renew(beat).await.map(drop)
}

#[tokio::test]
async fn a_disk_that_failed_is_told_and_takes_writes_again_once_it_is_well() {
    for (failing, cure) in [
        (Failing::Writes(ENOSPC), "free space"),
        (Failing::Writes(EROFS), "writable"),
        (Failing::Writes(EIO), "failing"),
        (Failing::Syncs(EIO), "failing"),
        (Failing::Syncs(ENOSPC), "free space"),
    ] {
        let disk = Disk::new();
        let store = store_on(&disk);
        let info = GatewayInfo {
            id: GatewayId(crate::keys::Id::random().unwrap()),
            name: "g".into(),
            version: String::new(),
        };
        let gateway = info.id;
        store.enrol(info).await.unwrap();
        let key = new_key("k");
        let id = key.id;
        store.create(key).await.unwrap();
        heartbeat(&store, gateway).await.unwrap();

        disk.set(failing);
        let failed = store.create(new_key("lost")).await.unwrap_err();
        assert!(
            matches!(failed, ChangeError::Store(_)),
            "{failing:?}: {failed}"
        );
        let told = heartbeat(&store, gateway).await.unwrap_err();
        assert!(
            matches!(&told, StoreError::NoWrites(why) if why.contains(cure)),
            "{failing:?}: {told}"
        );
        let refused = store.revoke(id).await.unwrap_err();
        assert!(
            matches!(refused, ChangeError::Store(_)),
            "{failing:?}: {refused}"
        );

        disk.set(Failing::Nothing);
        heartbeat(&store, gateway).await.unwrap();
        let loaded = store.load(id).await.unwrap().lookup;
        assert!(
            matches!(&loaded, Lookup::Present(record) if record.revoked_at.is_none()),
            "{failing:?}: {loaded:?}"
        );
        store.revoke(id).await.unwrap();
        drop(store);
        let loaded = store_on(&disk).load(id).await.unwrap().lookup;
        assert!(
            matches!(&loaded, Lookup::Present(record) if record.revoked_at.is_some()),
            "{failing:?}, after a restart: {loaded:?}"
        );
    }
}

#[tokio::test]
async fn a_file_that_can_not_grow_takes_writes_again_once_it_can() {
    let disk = Disk::new();
    let store = store_on(&disk);
    disk.set(Failing::Growth(ENOSPC));
    let mut failed = None;
    for _ in 0..200 {
        let mut key = new_key("k");
        key.name = "x".repeat(100_000);
        if let Err(error) = store.create(key).await {
            failed = Some(error);
            break;
        }
    }
    assert!(matches!(failed, Some(ChangeError::Store(_))), "{failed:?}");
    disk.set(Failing::Nothing);
    store.shared.look_at_disk().unwrap();
    store.create(new_key("after")).await.unwrap();
}

#[tokio::test]
async fn nothing_is_written_to_a_file_that_a_restart_would_not_find() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let store = EmbeddedStore::open(&path).unwrap();
    let key = new_key("k");
    let id = key.id;
    store.create(key).await.unwrap();
    let aside = folder.path().join("aside.redb");
    std::fs::rename(&path, &aside).unwrap();
    let refused = store.revoke(id).await.unwrap_err();
    assert!(refused.to_string().contains("was removed"), "{refused}");
    std::fs::write(&path, "something else").unwrap();
    let refused = store.revoke(id).await.unwrap_err();
    assert!(refused.to_string().contains("was replaced"), "{refused}");
    assert!(store.shared.look_at_disk().is_err());
    std::fs::rename(&aside, &path).unwrap();
    assert_eq!(store.shared.look_at_disk().unwrap(), None);
    store.revoke(id).await.unwrap();
}
