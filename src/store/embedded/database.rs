//! The open store file: reads and writes as transactions, off the async threads.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use redb::{Database, ReadableDatabase, WriteTransaction};
use tokio::sync::watch;

use super::latest_time::{self, LatestTime};
use crate::keys::{Epoch, Revision, Timestamp};
use crate::store::clock::StoreClock;
use crate::store::error::StoreError;
use crate::store::gateways::{Enrolled, GatewayId, Outcome};

/// The store of one gateway. Clones share it.
#[derive(Clone)]
pub struct EmbeddedStore {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) database: Database,
    pub(super) epoch: Epoch,
    pub(super) clock: StoreClock,
    pub(super) latest: LatestTime,
    pub(super) revision: watch::Sender<Revision>,
    /// Not in the file: the file's lock proves that no other process follows
    /// the feed, so gateways enrolled before this start are gone.
    pub(super) enrolled: Mutex<Vec<Enrolled>>,
    /// The newest last, one for a key and gateway; not in the file, either.
    pub(super) outcomes: Mutex<VecDeque<(GatewayId, Outcome)>>,
}

/// Which history the file holds, and how far it goes.
#[derive(Debug)]
pub(super) struct Identity {
    pub epoch: Epoch,
    pub revision: Revision,
    /// The latest time that it has seen; none: written by an older muster.
    pub latest: Option<Timestamp>,
}

impl EmbeddedStore {
    pub(super) fn new(database: Database, identity: &Identity, clock: StoreClock) -> Self {
        let latest = LatestTime::default();
        latest.written(clock.now());
        latest.tell(&clock);
        Self {
            shared: Arc::new(Shared {
                database,
                epoch: identity.epoch,
                clock,
                latest,
                revision: watch::Sender::new(identity.revision),
                enrolled: Mutex::new(Vec::new()),
                outcomes: Mutex::default(),
            }),
        }
    }

    /// Runs a read where blocking is allowed.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        step: impl FnOnce(&redb::ReadTransaction) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || step(&shared.database.begin_read().map_err(failed)?)).await
    }

    /// Runs one atomic, durable write of anything but keys.
    pub(super) async fn put(
        &self,
        step: impl FnOnce(&redb::WriteTransaction) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<(), StoreError> {
        self.put_if(move |t| step(t).map(|()| ((), true))).await
    }

    /// The same, unless the step says that nothing had to be written.
    pub(super) async fn put_if<T, E>(
        &self,
        step: impl FnOnce(&redb::WriteTransaction) -> Result<(T, bool), E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        blocking(move || {
            let transaction = begin(&shared.database)?;
            let (result, written) = step(&transaction)?;
            if written {
                shared.commit(transaction)?;
            }
            Ok(result)
        })
        .await
    }
}

impl Shared {
    /// Commits, and notes the time in the same step.
    pub(super) fn commit(&self, transaction: WriteTransaction) -> Result<(), StoreError> {
        let now = self.clock.now();
        latest_time::note(&transaction, now)?;
        transaction.commit().map_err(failed)?;
        self.latest.written(now);
        Ok(())
    }
}

/// Begins a durable write. redb's default is an fsync at the commit; quick
/// repair makes the start after a crash fast, for a little more writing.
pub(super) fn begin(database: &Database) -> Result<WriteTransaction, StoreError> {
    let mut transaction = database.begin_write().map_err(failed)?;
    transaction.set_quick_repair(true);
    Ok(transaction)
}

pub(super) fn failed(error: impl std::fmt::Display) -> StoreError {
    StoreError::Failed(error.to_string())
}

/// Runs file work off the async threads; a lost worker counts as a failed store.
pub(super) async fn blocking<T, E>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E>
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(lost) => Err(failed(lost).into()),
    }
}
