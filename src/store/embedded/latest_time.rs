//! The latest time that the store has seen, kept in its file: a host whose clock
//! was set back meanwhile opens no expired key.
//!
//! Owns: when it is written, what is said of a host's clock that is behind. Must
//! not know: what expires. Invariant: it only grows, but by an operator's hand (host_clock.rs).

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use redb::{ReadableTable, Table, WriteTransaction};

use super::database::{EmbeddedStore, failed};
use super::schema::META;
use crate::keys::Timestamp;
use crate::store::clock::StoreClock;
use crate::store::error::StoreError;

pub(super) const LATEST: &str = "latest_time";
/// Every write notes the time. Without any, this often: what a crash loses of it
/// at most.
const WRITTEN_EVERY: Duration = Duration::from_secs(120);
/// NTP sets clocks back by less without need for an operator.
const WORTH_TELLING: Duration = Duration::from_secs(5);

/// What the file has; none in one from before.
pub(super) fn read(
    meta: &impl ReadableTable<&'static str, &'static [u8]>,
) -> Result<Option<Timestamp>, StoreError> {
    let value = meta.get(LATEST).map_err(failed)?;
    let millis = value.and_then(|value| value.value().try_into().ok());
    Ok(millis.map(|bytes| Timestamp::from_millis(i64::from_be_bytes(bytes))))
}

pub(super) fn write(
    meta: &mut Table<'_, &'static str, &'static [u8]>,
    at: Timestamp,
) -> Result<(), StoreError> {
    let millis = at.as_millis().to_be_bytes();
    meta.insert(LATEST, &millis[..]).map_err(failed)?;
    Ok(())
}

/// Notes `now` in a transaction that is about to be committed.
pub(super) fn note(transaction: &WriteTransaction, now: Timestamp) -> Result<(), StoreError> {
    let mut meta = transaction.open_table(META).map_err(failed)?;
    if read(&meta)?.is_none_or(|latest| latest < now) {
        write(&mut meta, now)?;
    }
    Ok(())
}

/// What this process has written and said.
#[derive(Debug, Default)]
pub(super) struct LatestTime {
    written_millis: AtomicI64,
    is_told: AtomicBool,
}

impl LatestTime {
    pub fn written(&self, at: Timestamp) {
        self.written_millis
            .fetch_max(at.as_millis(), Ordering::Relaxed);
    }

    /// Whether it has to be written; from now on it counts as written.
    pub fn is_due(&self, now: Timestamp) -> bool {
        let written = Timestamp::from_millis(self.written_millis.load(Ordering::Relaxed));
        let is_due = now.saturating_since(written) >= WRITTEN_EVERY;
        if is_due {
            self.written(now);
        }
        is_due
    }

    /// Whether the host's clock was behind when it was last looked at.
    #[cfg(test)]
    pub fn is_told(&self) -> bool {
        self.is_told.load(Ordering::Relaxed)
    }

    /// Tells, once a change, that the host's clock is behind, or is not any more.
    pub fn tell(&self, clock: &StoreClock) {
        let is_behind = clock.ahead_of_host() > WORTH_TELLING;
        if self.is_told.swap(is_behind, Ordering::Relaxed) == is_behind {
            return;
        }
        if is_behind {
            tracing::error!(
                host_clock = %clock.wall(), store_time = %clock.now(),
                "this host's clock is behind the time that the store has seen; time goes on from the later one, so that expired keys stay expired. Set the host's clock right; if it is right, and was wrong before, stop muster and type: muster store accept-clock"
            );
        } else {
            tracing::info!("this host's clock is not behind the store's time any more");
        }
    }
}

impl EmbeddedStore {
    /// Has the time written if it is due, and says if the host's clock is behind.
    /// Waits for no disk: it is called by what keeps the view fresh.
    pub(super) fn keep_time(&self) {
        let shared = &self.shared;
        shared.latest.tell(&shared.clock);
        if shared.latest.is_due(shared.clock.now()) {
            let store = self.clone();
            tokio::spawn(async move { store.write_time().await });
        }
    }

    /// Writes the time.
    pub(super) async fn write_time(&self) {
        // Each write notes it.
        if let Err(error) = self.put(|_| Ok(())).await {
            tracing::warn!(%error, "the time could not be written into the store");
        }
    }
}
