//! The open store file, and what is done when its disk fails: it is opened again,
//! and all but the ends of keys and tokens waits until there is room.
//!
//! Owns: the database, which faults there are, what is said of them. Must not know:
//! tables. Invariants: after a write that the disk refused nothing is written before
//! the file was opened again; nothing is written to a file that a restart would not
//! find.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use redb::{Database, ReadTransaction, ReadableDatabase, WriteTransaction};

use super::place::Place;
use super::transaction::{Identity, begin, failed};
use crate::keys::Epoch;
use crate::store::error::StoreError;

/// How long opening again waits for reads and writes under way.
const WAIT_FOR_OTHERS: Duration = Duration::from_secs(1);

/// Whether a write may wait for a better disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// The end of a key or a token, and the record of who ended it.
    End,
    /// Anything else.
    Other,
}

/// What is wrong with the disk.
#[derive(Debug)]
struct Trouble {
    why: String,
    /// The file is open and takes what must not wait.
    takes_ends: bool,
}

type ToWrite = dyn Fn() -> Result<(Database, Identity), String> + Send + Sync;
type ToRead = dyn Fn() -> Option<Database> + Send + Sync;

/// How the file is opened again.
pub(super) struct Ways {
    pub to_write: Box<ToWrite>,
    /// Where it can't be written: what it has.
    pub to_read: Box<ToRead>,
}

enum Open {
    ToWrite(Database),
    /// The disk takes no writes: what it has can be read.
    ToRead(Database),
}

impl Open {
    fn database(&self) -> &Database {
        match self {
            Self::ToWrite(database) | Self::ToRead(database) => database,
        }
    }
}

pub(super) struct StoreFile {
    /// Empty while it can't even be read.
    slot: RwLock<Option<Open>>,
    epoch: Epoch,
    ways: Ways,
    /// None: it is in memory.
    place: Option<Place>,
    trouble: Mutex<Option<Trouble>>,
    /// A read failed, or the reserve could not be laid: the disk is to be looked at.
    is_suspect: AtomicBool,
    is_healing: AtomicBool,
}

impl StoreFile {
    pub fn new(database: Database, epoch: Epoch, ways: Ways, place: Option<Place>) -> Self {
        // Here, not with the first heartbeat: a stop does not wait for that one's disk.
        let is_suspect = place
            .as_ref()
            .is_some_and(|place| place.lay_reserve().is_err());
        Self {
            slot: RwLock::new(Some(Open::ToWrite(database))),
            epoch,
            ways,
            place,
            trouble: Mutex::new(None),
            is_suspect: AtomicBool::new(is_suspect),
            is_healing: AtomicBool::new(false),
        }
    }

    pub fn read<T>(
        &self,
        step: impl FnOnce(&ReadTransaction) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let slot = self.slot.read();
        let read = match slot.as_ref() {
            Some(open) => open
                .database()
                .begin_read()
                .map_err(failed)
                .and_then(|transaction| step(&transaction)),
            None => Err(StoreError::Failed(self.why())),
        };
        if let Err(StoreError::Failed(_)) = &read {
            self.is_suspect.store(true, Ordering::Release);
        }
        read
    }

    /// One write; `step` commits it.
    pub fn write<T, E>(
        &self,
        need: Need,
        step: impl FnOnce(WriteTransaction) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<StoreError> + Display,
    {
        // What it says is the trouble that is looked at next.
        let _ = self.look_at_place();
        if let Some(trouble) = &*self.trouble.lock()
            && !(trouble.takes_ends && need == Need::End)
        {
            return Err(StoreError::NoWrites(trouble.why.clone()).into());
        }
        let written = self.begin().map_err(E::from).and_then(step);
        if let Err(error) = &written {
            self.look_after(error);
        }
        written
    }

    /// Whether a restart would find the file.
    fn look_at_place(&self) -> Result<(), String> {
        let looked = self.place.as_ref().map_or(Ok(()), Place::look);
        looked.inspect_err(|why| self.set(why.clone(), false))
    }

    /// Nothing is written where it can't begin.
    fn begin(&self) -> Result<WriteTransaction, StoreError> {
        let slot = self.slot.read();
        let Some(Open::ToWrite(database)) = slot.as_ref() else {
            return Err(StoreError::NoWrites(self.why()));
        };
        begin(database).map_err(|error| StoreError::NotWritten(error.to_string()))
    }

    /// Whether redb takes no more writes: it does so after any failed one.
    fn has_failed(&self) -> bool {
        self.begin().is_err()
    }

    /// After an error: of the disk, or an answer?
    fn look_after(&self, error: &impl Display) {
        if !self.has_failed() {
            return;
        }
        let why = in_words(&error.to_string());
        if let Some(place) = &self.place {
            place.give_up_reserve();
        }
        let opened = self.open_again();
        self.set(why, opened.is_ok());
    }

    /// The disk has not answered for `deadline`. Returns that in words.
    pub fn is_slow(&self, deadline: Duration) -> String {
        let why = format!("the disk has not answered for {} s", deadline.as_secs_f64());
        self.set(format!("{why}; look at it and at its load"), false);
        why
    }

    fn set(&self, why: String, takes_ends: bool) {
        let mut trouble = self.trouble.lock();
        let is_news = trouble
            .as_ref()
            .is_none_or(|known| known.takes_ends != takes_ends);
        if is_news {
            tracing::error!(%why, takes_ends, "the store's disk refuses writes");
        }
        *trouble = Some(Trouble { why, takes_ends });
    }

    fn why(&self) -> String {
        let trouble = self.trouble.lock();
        let why = trouble.as_ref().map(|trouble| trouble.why.clone());
        why.unwrap_or_else(|| "the store file is being opened again".into())
    }

    fn open_again(&self) -> Result<(), String> {
        let mut slot = self
            .slot
            .try_write_for(WAIT_FOR_OTHERS)
            .ok_or("the disk does not answer")?;
        // Its lock goes with it.
        drop(slot.take());
        match (self.ways.to_write)() {
            Ok((database, identity)) if identity.epoch == self.epoch => {
                *slot = Some(Open::ToWrite(database));
                Ok(())
            }
            Ok(_) => Err("another store file lies there now; restart muster to use it".into()),
            Err(error) => {
                *slot = (self.ways.to_read)().map(Open::ToRead);
                Err(in_words(&error))
            }
        }
    }

    /// Looks whether the disk is sound (again), where there is a doubt. `probe` is a
    /// small write. `Ok` says why only ends of keys are taken, if so; an error why
    /// nothing is.
    pub fn heal(
        &self,
        probe: impl FnOnce(WriteTransaction) -> Result<(), StoreError>,
    ) -> Result<Option<String>, String> {
        self.look_at_place()?;
        let is_suspect = self.is_suspect.load(Ordering::Acquire);
        if self.trouble.lock().is_none() && !is_suspect {
            return Ok(None);
        }
        if self.is_healing.swap(true, Ordering::AcqRel) {
            // Another look hangs at the disk.
            return Err(self.why());
        }
        let healed = self.try_to_heal(probe);
        self.is_healing.store(false, Ordering::Release);
        healed
    }

    fn try_to_heal(
        &self,
        probe: impl FnOnce(WriteTransaction) -> Result<(), StoreError>,
    ) -> Result<Option<String>, String> {
        if self.has_failed() {
            self.open_again()
                .inspect_err(|why| self.set(why.clone(), false))?;
        }
        if let Err(error) = self.begin().and_then(probe) {
            self.look_after(&error);
            return Err(self.why());
        }
        // What is open and was just written to takes ends; the rest needs room.
        if let Some(place) = &self.place
            && let Err(error) = place.lay_reserve()
        {
            let why = in_words(&error.to_string());
            self.set(why.clone(), true);
            return Ok(Some(format!(
                "{why}; until then the store takes the ends of keys and tokens alone"
            )));
        }
        self.is_suspect.store(false, Ordering::Release);
        if self.trouble.lock().take().is_some() {
            tracing::info!("the store's disk takes writes again");
        }
        Ok(None)
    }
}

/// What the system says, and what helps.
fn in_words(error: &str) -> String {
    let error = error.trim_start_matches("the store failed: ");
    let cure = [
        (
            "os error 28)",
            "free space on the disk of the data directory",
        ),
        (
            "os error 122)",
            "raise the quota of muster's user, or free space",
        ),
        (
            "os error 27)",
            "raise the limit on the size of a file (ulimit -f)",
        ),
        (
            "os error 30)",
            "mount the disk of the data directory writable",
        ),
        (
            "os error 5)",
            "the disk is failing: see the kernel's log, and make a backup",
        ),
    ];
    let cure = cure.iter().find(|(code, _)| error.contains(code));
    match cure {
        Some((_, cure)) => format!("{error}; {cure}"),
        None => error.to_owned(),
    }
}
