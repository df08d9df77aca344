//! Rows that the store could not read or write beside the feed: told once each, for
//! as long as they are so.

use std::collections::BTreeSet;

use parking_lot::Mutex;

use crate::metrics::registry::Metrics;
use crate::store::StoreError;

#[derive(Default)]
pub(super) struct Damage {
    told: Mutex<BTreeSet<String>>,
}

impl Damage {
    /// What is damaged as of this turn.
    pub fn tell(&self, damaged: &[StoreError], metrics: &Metrics) {
        let now: BTreeSet<_> = damaged.iter().map(ToString::to_string).collect();
        let mut told = self.told.lock();
        for error in now.difference(&told) {
            metrics.store_corrupt.inc();
            tracing::error!(%error, "a row of the store is of no use; muster goes on without it (muster store check names all that are)");
        }
        *told = now;
    }
}
