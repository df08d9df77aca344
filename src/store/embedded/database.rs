//! The open store file: reads and writes as transactions, off the async threads.

use std::collections::VecDeque;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redb::WriteTransaction;
use tokio::sync::watch;

use super::file::{Need, StoreFile};
use super::latest_time::{self, LatestTime};
pub(super) use super::transaction::{Identity, begin, failed};
use crate::keys::{Epoch, Revision};
use crate::store::clock::StoreClock;
use crate::store::error::StoreError;
use crate::store::gateways::{Enrolled, GatewayId, Outcome};

/// The store of one gateway. Clones share it.
#[derive(Clone)]
pub struct EmbeddedStore {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) file: StoreFile,
    /// How long a write may take.
    pub(super) deadline: Duration,
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

impl EmbeddedStore {
    pub(super) fn new(
        file: StoreFile,
        identity: &Identity,
        clock: StoreClock,
        deadline: Duration,
    ) -> Self {
        let latest = LatestTime::default();
        latest.written(clock.now());
        latest.tell(&clock);
        Self {
            shared: Arc::new(Shared {
                file,
                deadline,
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
        blocking(move || shared.file.read(step)).await
    }

    /// Runs one atomic, durable write of anything but keys.
    pub(super) async fn put(
        &self,
        step: impl FnOnce(&WriteTransaction) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<(), StoreError> {
        self.put_if(Need::Other, move |t| step(t).map(|()| ((), true)))
            .await
    }

    /// The same, unless the step says that nothing had to be written; `need` says
    /// whether it may wait for a better disk.
    pub(super) async fn put_if<T, E>(
        &self,
        need: Need,
        step: impl FnOnce(&WriteTransaction) -> Result<(T, bool), E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Display + Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        self.on_disk(move || shared.write(need, step)).await
    }

    /// Runs a write off the async threads, and waits for it no longer than is allowed:
    /// it may still be done then.
    pub(super) async fn on_disk<T, E>(
        &self,
        work: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let deadline = self.shared.deadline;
        match tokio::time::timeout(deadline, blocking(work)).await {
            Ok(written) => written,
            Err(_) => Err(failed(self.shared.file.is_slow(deadline)).into()),
        }
    }
}

impl Shared {
    /// One atomic, durable write; none where the step says that nothing has to be
    /// written.
    pub(super) fn write<T, E>(
        &self,
        need: Need,
        step: impl FnOnce(&WriteTransaction) -> Result<(T, bool), E>,
    ) -> Result<T, E>
    where
        E: From<StoreError> + Display,
    {
        self.file.write(need, |transaction| {
            let (result, is_written) = step(&transaction)?;
            if is_written {
                self.commit(transaction)?;
            }
            Ok(result)
        })
    }

    /// Looks whether the disk takes writes, where there is a doubt.
    ///
    /// # Errors
    /// [`StoreError::NoWrites`]: it does not. `Ok` says why it takes the ends of keys
    /// alone, if so.
    pub(super) fn look_at_disk(&self) -> Result<Option<String>, StoreError> {
        let probe = |transaction| self.commit(transaction);
        self.file.heal(probe).map_err(StoreError::NoWrites)
    }

    /// Commits, and notes the time in the same step.
    fn commit(&self, transaction: WriteTransaction) -> Result<(), StoreError> {
        let now = self.clock.now();
        latest_time::note(&transaction, now)?;
        transaction.commit().map_err(failed)?;
        self.latest.written(now);
        Ok(())
    }
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
