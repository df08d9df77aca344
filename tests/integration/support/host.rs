//! A host whose wall clock a test sets, and that it suspends.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use muster::store::{HostClock, SystemClock};

#[derive(Debug, Default)]
pub struct TestHost {
    wall_ahead_millis: AtomicI64,
    suspended_millis: AtomicU64,
}

impl TestHost {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Sets the wall clock, as ahead of the true time.
    pub fn set_wall_ahead(&self, hours: i64) {
        self.wall_ahead_millis
            .store(hours * 3_600_000, Ordering::SeqCst);
    }

    /// So long it was suspended by now.
    pub fn set_suspended(&self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap();
        self.suspended_millis.store(millis, Ordering::SeqCst);
    }
}

impl HostClock for TestHost {
    fn wall_micros(&self) -> i64 {
        SystemClock.wall_micros() + self.wall_ahead_millis.load(Ordering::SeqCst) * 1_000
    }

    fn since_boot(&self) -> Duration {
        let suspended = self.suspended_millis.load(Ordering::SeqCst);
        SystemClock.since_boot() + Duration::from_millis(suspended)
    }
}
