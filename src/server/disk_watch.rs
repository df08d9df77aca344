//! The watch over the free space of the embedded store's disk: it warns while there
//! still is room.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::files;
use crate::gateway::events::Events;
use crate::metrics::registry::Metrics;
use crate::store::EventKind;

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(30);

pub(super) struct DiskWatch {
    pub dir: PathBuf,
    /// Bytes; 0: never warn.
    pub min_free: u64,
    pub metrics: Arc<Metrics>,
    pub events: Arc<Events>,
}

impl DiskWatch {
    /// Looks until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut is_low = false;
        loop {
            is_low = self.look(is_low);
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Returns whether there is too little.
    fn look(&self, was_low: bool) -> bool {
        let free = match files::free_bytes(&self.dir) {
            Ok(free) => free,
            Err(error) => {
                tracing::warn!(dir = %self.dir.display(), %error, "the free space of the data directory is not known");
                return was_low;
            }
        };
        let shown = i64::try_from(free).unwrap_or(i64::MAX);
        self.metrics.store_disk_free_bytes.set(shown);
        let is_low = free < self.min_free;
        if is_low && !was_low {
            let why = format!(
                "{free} bytes are free on the disk of {}, less than --min-free-disk ({}); free \
                 space before the store takes no writes",
                self.dir.display(),
                self.min_free
            );
            tracing::warn!("{why}");
            self.events.note(EventKind::DiskLow, None, None, why);
        } else if was_low && !is_low {
            tracing::info!(free, "the data directory's disk has room again");
        }
        is_low
    }
}
