//! The store's clock, as a gateway sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;

use crate::keys::Timestamp;

/// Smaller steps of the store's clock are its grain and the network's jitter.
const TOLERANCE_MILLIS: i64 = 2;

/// Tells the store's time: this host's wall clock and the offset that the store
/// showed last. Gateways that share a store thus agree on what has expired.
///
/// Clones share the offset.
#[derive(Debug, Clone, Default)]
pub struct StoreClock {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    offset_millis: AtomicI64,
    shift_millis: AtomicI64,
    moved: Notify,
}

impl StoreClock {
    /// The store's time now.
    pub fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX));
        let offset = self.shared.offset_millis.load(Ordering::Relaxed);
        let shift = self.shared.shift_millis.load(Ordering::Relaxed);
        Timestamp::from_millis(since_epoch.saturating_add(offset).saturating_add(shift))
    }

    /// Lets time pass for tests, on top of what the store shows: in milliseconds.
    pub fn set_shift_millis(&self, shift: i64) {
        self.shared.shift_millis.store(shift, Ordering::Relaxed);
        self.shared.moved.notify_waiters();
    }

    /// The shift that a test has set; 0 otherwise.
    pub fn shift_millis(&self) -> i64 {
        self.shared.shift_millis.load(Ordering::Relaxed)
    }

    /// Takes over what the store's clock showed in an answer that took
    /// `round_trip`, and wakes callers of [`Self::moved`] if it differs.
    pub fn observe(&self, shown: Timestamp, round_trip: Duration) {
        let half = i64::try_from(round_trip.as_millis() / 2).unwrap_or(0);
        let ahead = shown.as_millis().saturating_add(half) - self.now().as_millis();
        // Within the round trip it is unknown which clock is ahead.
        if ahead.abs() > TOLERANCE_MILLIS + half {
            self.shared
                .offset_millis
                .fetch_add(ahead, Ordering::Relaxed);
            self.shared.moved.notify_waiters();
        }
    }

    /// Waits for the next change of the offset after this call, not after the
    /// first poll: called before the clock is read, it misses none.
    pub fn moved(&self) -> impl Future<Output = ()> {
        self.shared.moved.notified()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_the_store_and_the_tests_shift_stays_on_top() {
        let clock = StoreClock::default();
        let ahead = |millis: i64| Timestamp::from_millis(clock.now().as_millis() + millis);
        let before = clock.now();
        clock.observe(ahead(2_000), Duration::ZERO);
        assert!(clock.now().saturating_since(before) >= Duration::from_millis(1_990));
        clock.set_shift_millis(60_000);
        clock.observe(ahead(0), Duration::ZERO);
        assert!(clock.now().saturating_since(before) >= Duration::from_millis(61_990));
        let before = clock.now();
        clock.observe(ahead(-90), Duration::from_millis(200));
        assert!(clock.now() >= before, "within the round trip");
    }
}
