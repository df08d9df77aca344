//! Opening the store file: is it ours, which format, is it in use?
//!
//! A file that is not ours or is newer than we are is left byte for byte as it
//! was: it is looked at read-only before it is opened for writing.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use redb::backends::InMemoryBackend;
use redb::{
    Builder, Database, DatabaseError, ReadOnlyDatabase, ReadTransaction, ReadableDatabase,
    TableError, WriteTransaction,
};

use super::compaction::compact_if_mostly_free;
use super::database::{self, EmbeddedStore, Identity, begin};
use super::file::{StoreFile, Ways};
use super::latest_time;
use super::overlay::Overlay;
use super::place::Place;
use super::schema::{LAYOUT, META, create_tables};
use super::tombstones;
use crate::files::{self, Access};
use crate::keys::{Epoch, Revision, Timestamp};
use crate::store::clock::{HostClock, StoreClock, SystemClock};
use crate::store::error::StoreError;

/// Why the store file can't be used. It is left as it was.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process holds its lock.
    #[error(
        "{path}: another muster is using it; stop that one, or give this one its own --data-dir"
    )]
    InUse { path: String },
    /// It holds something else.
    #[error("{path}: not a muster store ({why}); move it away, or give another --data-dir")]
    Foreign {
        path: String,
        /// What gave it away.
        why: String,
    },
    /// A newer muster wrote it.
    #[error(
        "{path}: written by a newer muster (layout {found}, this one knows {LAYOUT}); \
         start that version, or give another --data-dir"
    )]
    Newer { path: String, found: u64 },
    /// There is none, and none is made.
    #[error("{path}: there is no store; give the --data-dir of a gateway that has been started")]
    Absent {
        /// Where it should be.
        path: String,
    },
    /// It can't be read or written.
    #[error("{path}: {why}")]
    Failed { path: String, why: String },
}

/// Pages that redb keeps in memory, in bytes. Its own default, 1 GiB, grows with
/// the agents' rows until it holds them all a second time; the system keeps the
/// file's pages, too, and gives them up when memory is short.
const CACHE_BYTES: usize = 4 << 20;

/// How long the disk may take for a write, where nothing else is said.
pub const DISK_DEADLINE: Duration = Duration::from_secs(10);

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

impl EmbeddedStore {
    /// Opens the store file, or makes it when there is none.
    ///
    /// # Errors
    /// [`OpenError`] when the file is not ours, is of a newer format, is in use
    /// or can't be read; it is left as it was.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_on(path, Arc::new(SystemClock))
    }

    /// The same; a write that takes longer than `deadline` counts as failed.
    ///
    /// # Errors
    /// Those of [`Self::open`].
    pub fn open_within(path: &Path, deadline: Duration) -> Result<Self, OpenError> {
        Self::open_with(path, Arc::new(SystemClock), deadline)
    }

    /// The same, by the clocks of `host`.
    ///
    /// # Errors
    /// Those of [`Self::open`].
    pub fn open_on(path: &Path, host: Arc<dyn HostClock>) -> Result<Self, OpenError> {
        Self::open_with(path, host, DISK_DEADLINE)
    }

    fn open_with(
        path: &Path,
        host: Arc<dyn HostClock>,
        deadline: Duration,
    ) -> Result<Self, OpenError> {
        let (mut database, identity) = open(path)?;
        compact_if_mostly_free(&mut database, path)
            .map_err(|e| failed(&path.display().to_string(), e))?;
        let clock = StoreClock::starting_at(host, identity.latest);
        prepare(&database, clock.now()).map_err(|e| failed(&path.display().to_string(), e))?;
        let place = Place::of(path).map_err(|e| failed(&path.display().to_string(), e))?;
        let file = StoreFile::new(database, identity.epoch, ways(path), Some(place));
        Ok(Self::new(file, &identity, clock, deadline))
    }

    /// A store that is gone when the last clone is dropped.
    ///
    /// # Errors
    /// [`OpenError`] when there are no random numbers for its identity.
    pub fn in_memory() -> Result<Self, OpenError> {
        let (database, identity) = in_memory()?;
        let ways = Ways {
            to_write: Box::new(|| Err("what was in memory is gone".into())),
            to_read: Box::new(|| None),
        };
        let file = StoreFile::new(database, identity.epoch, ways, None);
        Ok(Self::new(
            file,
            &identity,
            StoreClock::default(),
            DISK_DEADLINE,
        ))
    }
}

/// How the file at `path` is opened again after a fault of its disk.
fn ways(path: &Path) -> Ways {
    let name = path.display().to_string();
    let (path, read_path, read_name) = (path.to_owned(), path.to_owned(), name.clone());
    Ways {
        to_write: Box::new(move || open_existing(&path, &name).map_err(|e| e.to_string())),
        to_read: Box::new(move || {
            let read = repaired_in_memory(&read_path, &read_name);
            read.inspect_err(|error| tracing::error!(%error, "the store can't even be read"))
                .ok()
        }),
    }
}

pub(super) fn open(path: &Path) -> Result<(Database, Identity), OpenError> {
    let name = path.display().to_string();
    if path.try_exists().map_err(|e| failed(&name, e))? {
        return open_existing(path, &name);
    }
    // Made under another name first: a start that is cut off half way leaves no
    // file behind that the next start would take for a foreign one.
    let unfinished = path.with_extension("new");
    files::create(&unfinished, Access::Secret).map_err(|e| failed(&name, e))?;
    let database = builder()
        .create(&unfinished)
        .map_err(|e| cannot_open(&name, e))?;
    found(&database, &name)?;
    drop(database);
    files::rename(&unfinished, path).map_err(|e| failed(&name, e))?;
    open(path)
}

pub(super) fn open_existing(path: &Path, name: &str) -> Result<(Database, Identity), OpenError> {
    look(path, name)?;
    let database = builder().open(path).map_err(|e| cannot_open(name, e))?;
    let transaction = database.begin_read().map_err(|e| failed(name, e))?;
    let identity = identify(&transaction, name)?;
    Ok((database, identity))
}

/// Changes a file that is there and that nobody uses.
pub(super) fn change(
    path: &Path,
    step: impl FnOnce(&WriteTransaction) -> Result<(), StoreError>,
) -> Result<(), OpenError> {
    let name = path.display().to_string();
    let (database, _) = open_existing(path, &name)?;
    let transaction = begin(&database).map_err(|e| failed(&name, e))?;
    step(&transaction).map_err(|e| failed(&name, e))?;
    transaction.commit().map_err(|e| failed(&name, e))
}

/// The latest time that the store in a file has seen.
pub(super) fn latest_time(path: &Path) -> Result<Option<Timestamp>, OpenError> {
    let name = path.display().to_string();
    let transaction = open_for_reading(path)?.begin();
    let transaction = transaction.map_err(|e| failed(&name, e))?;
    Ok(identify(&transaction, &name)?.latest)
}

/// A store file that is read alone.
pub(super) enum Reading {
    File(ReadOnlyDatabase),
    /// Repaired in memory.
    Repaired(Database),
}

impl Reading {
    pub fn begin(&self) -> Result<ReadTransaction, redb::TransactionError> {
        match self {
            Self::File(database) => database.begin_read(),
            Self::Repaired(database) => database.begin_read(),
        }
    }
}

/// Opens a file that is there, and writes nothing to it. One that was not closed
/// cleanly (a crash, or a copy of a file in use) has to be repaired before it
/// can be read: in memory.
pub(super) fn open_for_reading(path: &Path) -> Result<Reading, OpenError> {
    let name = path.display().to_string();
    if !path.try_exists().map_err(|e| failed(&name, e))? {
        return Err(OpenError::Absent { path: name });
    }
    let reading = match ReadOnlyDatabase::open(path) {
        Err(DatabaseError::RepairAborted) => Reading::Repaired(repaired_in_memory(path, &name)?),
        database => Reading::File(database.map_err(|e| cannot_open(&name, e))?),
    };
    let transaction = reading.begin().map_err(|e| failed(&name, e))?;
    identify(&transaction, &name)?;
    Ok(reading)
}

/// The store of a file as it is after its repair, which is done in memory alone.
pub(super) fn repaired_in_memory(path: &Path, name: &str) -> Result<Database, OpenError> {
    let overlay = Overlay::over(path).map_err(|e| failed(name, e))?;
    builder()
        .create_with_backend(overlay)
        .map_err(|e| cannot_open(name, e))
}

/// Repairs a file that was not closed cleanly, as a start does.
pub(super) fn repair(path: &Path) -> Result<(), OpenError> {
    match ReadOnlyDatabase::open(path) {
        Err(DatabaseError::RepairAborted) => {
            let name = path.display().to_string();
            Database::open(path)
                .map(drop)
                .map_err(|e| cannot_open(&name, e))
        }
        // Other faults are reported when it is read.
        _ => Ok(()),
    }
}

pub(super) fn in_memory() -> Result<(Database, Identity), OpenError> {
    let name = "in-memory store";
    let database = builder()
        .create_with_backend(InMemoryBackend::new())
        .map_err(|e| cannot_open(name, e))?;
    let identity = found(&database, name)?;
    Ok((database, identity))
}

/// On a backend of a test's own, which may hold a store already.
#[cfg(test)]
pub(super) fn open_over(
    backend: impl redb::StorageBackend,
) -> Result<(Database, Identity), OpenError> {
    let name = "a test's backend";
    let database = builder()
        .create_with_backend(backend)
        .map_err(|e| cannot_open(name, e))?;
    let transaction = database.begin_read().map_err(|e| failed(name, e))?;
    let identity = match identify(&transaction, name) {
        Err(OpenError::Foreign { .. }) => found(&database, name)?,
        identity => identity?,
    };
    Ok((database, identity))
}

/// Looks at the file without writing to it. A file that was not closed cleanly
/// can't be looked at this way; redb repairs it when it is opened.
fn look(path: &Path, name: &str) -> Result<(), OpenError> {
    match ReadOnlyDatabase::open(path) {
        Ok(database) => {
            let transaction = database.begin_read().map_err(|e| failed(name, e))?;
            identify(&transaction, name).map(|_| ())
        }
        Err(DatabaseError::RepairAborted) => Ok(()),
        Err(error) => Err(cannot_open(name, error)),
    }
}

/// Lays out an empty store.
fn found(database: &Database, name: &str) -> Result<Identity, OpenError> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|e| failed(name, e))?;
    let identity = Identity {
        epoch: Epoch(u128::from_be_bytes(random)),
        revision: Revision(0),
        latest: None,
    };
    let lay_out = || -> Result<(), redb::Error> {
        let transaction = database.begin_write()?;
        {
            let mut meta = transaction.open_table(META)?;
            meta.insert("layout", LAYOUT.to_be_bytes().as_slice())?;
            meta.insert("epoch", random.as_slice())?;
            meta.insert("revision", 0_u64.to_be_bytes().as_slice())?;
        }
        create_tables(&transaction)?;
        transaction.commit()?;
        Ok(())
    };
    lay_out().map_err(|e| failed(name, e))?;
    Ok(identity)
}

/// Readies a store that was there: adds the tables that an older muster did
/// not have, removes the markers of deleted keys that would have expired by
/// `now`, and notes that time.
pub(super) fn prepare(database: &Database, now: Timestamp) -> Result<(), StoreError> {
    let are_known = tombstones::are_known(database)?;
    let transaction = begin(database)?;
    create_tables(&transaction).map_err(database::failed)?;
    if !are_known {
        tombstones::find(&transaction)?;
    }
    tombstones::remove_spent(&transaction, now)?;
    latest_time::note(&transaction, now)?;
    transaction.commit().map_err(database::failed)
}

fn identify(transaction: &ReadTransaction, name: &str) -> Result<Identity, OpenError> {
    let foreign = |why: &str| OpenError::Foreign {
        path: name.to_owned(),
        why: why.to_owned(),
    };
    let meta = match transaction.open_table(META) {
        Ok(meta) => meta,
        Err(TableError::Storage(error)) => return Err(failed(name, error)),
        Err(_) => return Err(foreign("it has no muster tables")),
    };
    let number = |field: &str| -> Result<u64, OpenError> {
        let value = meta.get(field).map_err(|e| failed(name, e))?;
        value
            .and_then(|v| v.value().try_into().ok())
            .map(u64::from_be_bytes)
            .ok_or_else(|| foreign("its meta table is incomplete"))
    };
    let layout = number("layout")?;
    if layout > LAYOUT {
        return Err(OpenError::Newer {
            path: name.to_owned(),
            found: layout,
        });
    }
    let epoch = meta
        .get("epoch")
        .map_err(|e| failed(name, e))?
        .and_then(|v| v.value().try_into().ok())
        .map(u128::from_be_bytes)
        .ok_or_else(|| foreign("its meta table is incomplete"))?;
    Ok(Identity {
        epoch: Epoch(epoch),
        revision: Revision(number("revision")?),
        latest: latest_time::read(&meta).map_err(|e| failed(name, e))?,
    })
}

fn cannot_open(name: &str, error: DatabaseError) -> OpenError {
    let path = name.to_owned();
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            OpenError::InUse { path }
        }
        DatabaseError::UpgradeRequired(version) => OpenError::Foreign {
            path,
            why: format!("a redb file of version {version}"),
        },
        DatabaseError::Storage(redb::StorageError::Io(io))
            if io.kind() == std::io::ErrorKind::InvalidData =>
        {
            OpenError::Foreign {
                path,
                why: "not a redb file".into(),
            }
        }
        DatabaseError::Storage(redb::StorageError::Corrupted(why)) => {
            OpenError::Foreign { path, why }
        }
        other => failed(name, other),
    }
}

fn failed(name: &str, error: impl std::fmt::Display) -> OpenError {
    OpenError::Failed {
        path: name.to_owned(),
        why: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use redb::TableDefinition;

    use super::*;

    #[test]
    fn a_foreign_file_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.redb");
        for content in [b"".to_vec(), b"hello".to_vec(), vec![b'x'; 100_000]] {
            std::fs::write(&path, &content).unwrap();
            let refused = open(&path).unwrap_err();
            assert!(matches!(refused, OpenError::Foreign { .. }), "{refused}");
            assert_eq!(std::fs::read(&path).unwrap(), content);
        }
    }

    #[test]
    fn a_redb_file_of_somebody_else_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.redb");
        let theirs = Database::create(&path).unwrap();
        let transaction = theirs.begin_write().unwrap();
        transaction
            .open_table(TableDefinition::<u64, u64>::new("theirs"))
            .unwrap();
        transaction.commit().unwrap();
        drop(theirs);
        let before = std::fs::read(&path).unwrap();
        assert!(matches!(open(&path), Err(OpenError::Foreign { .. })));
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    #[test]
    fn a_newer_layout_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.redb");
        let (database, _) = open(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction
            .open_table(META)
            .unwrap()
            .insert("layout", 2_u64.to_be_bytes().as_slice())
            .unwrap();
        transaction.commit().unwrap();
        drop(database);
        let before = std::fs::read(&path).unwrap();
        let refused = open(&path).unwrap_err();
        assert!(
            matches!(refused, OpenError::Newer { found: 2, .. }),
            "{refused}"
        );
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    #[test]
    fn one_process_at_a_time_and_the_epoch_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.redb");
        let (database, first) = open(&path).unwrap();
        assert!(matches!(open(&path), Err(OpenError::InUse { .. })));
        drop(database);
        let (_database, second) = open(&path).unwrap();
        assert_eq!(first.epoch, second.epoch);
    }
}
