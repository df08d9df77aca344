//! A host whose clocks a test sets.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::HostClock;

#[derive(Debug, Default)]
pub(crate) struct FakeHost {
    wall_millis: AtomicI64,
    boot_millis: AtomicI64,
}

impl FakeHost {
    /// Its wall clock shows that many milliseconds since 1970.
    pub fn at(wall_millis: i64) -> Arc<Self> {
        Arc::new(Self {
            wall_millis: AtomicI64::new(wall_millis),
            boot_millis: AtomicI64::new(1_000),
        })
    }

    /// Time passes; the host may be suspended meanwhile.
    pub fn pass(&self, millis: i64) {
        self.wall_millis.fetch_add(millis, Ordering::SeqCst);
        self.boot_millis.fetch_add(millis, Ordering::SeqCst);
    }

    pub fn set_wall(&self, millis: i64) {
        self.wall_millis.store(millis, Ordering::SeqCst);
    }
}

impl HostClock for FakeHost {
    fn wall_micros(&self) -> i64 {
        self.wall_millis.load(Ordering::SeqCst) * 1_000
    }

    fn since_boot(&self) -> Duration {
        let millis = self.boot_millis.load(Ordering::SeqCst);
        Duration::from_millis(millis.unsigned_abs())
    }
}
