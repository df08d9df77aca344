//! The clocks of this host.
//!
//! Owns: which clock of the system each one is. Must not know: the store.
//! Invariant: the time since the boot is never set and goes on while the host is
//! suspended.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

use crate::keys::Timestamp;

/// What a host knows of the time. A test may have one of its own.
pub trait HostClock: fmt::Debug + Send + Sync {
    /// The wall clock, in microseconds since 1970. Operators and NTP set it.
    fn wall_micros(&self) -> i64;

    /// The same as a time.
    fn wall(&self) -> Timestamp {
        Timestamp::from_millis(self.wall_micros() / 1_000)
    }

    /// The time since the host booted.
    fn since_boot(&self) -> Duration;
}

/// The clocks of the system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

/// `CLOCK_MONOTONIC`, and with it `std` and tokio, stands still on Linux while the
/// host is suspended; on others it does not.
#[cfg(target_os = "linux")]
const SINCE_BOOT: ClockId = ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const SINCE_BOOT: ClockId = ClockId::Monotonic;

impl HostClock for SystemClock {
    fn wall_micros(&self) -> i64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| {
                i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
            })
    }

    fn since_boot(&self) -> Duration {
        Duration::try_from(clock_gettime(SINCE_BOOT)).unwrap_or_default()
    }
}

/// A moment from which time is measured: as [`Instant`] does it, which tests pause,
/// and with the time during which the host is suspended.
#[derive(Debug, Clone)]
pub struct Moment {
    host: Arc<dyn HostClock>,
    awake: Instant,
    boot: Duration,
}

impl Moment {
    /// Now, by the system's clocks.
    pub fn now() -> Self {
        Self::of(Arc::new(SystemClock))
    }

    pub(super) fn of(host: Arc<dyn HostClock>) -> Self {
        Self {
            awake: Instant::now(),
            boot: host.since_boot(),
            host,
        }
    }

    /// The time from this moment to now.
    pub fn elapsed(&self) -> Span {
        Span {
            awake: self.awake.elapsed(),
            boot: self.host.since_boot().saturating_sub(self.boot),
        }
    }

    /// The time from `earlier` to this moment; nothing when it is later.
    pub fn since(&self, earlier: &Self) -> Span {
        Span {
            awake: self.awake.saturating_duration_since(earlier.awake),
            boot: self.boot.saturating_sub(earlier.boot),
        }
    }
}

/// A time that passed, on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// While the host was awake, as tokio has it.
    pub awake: Duration,
    /// While it was suspended, too.
    pub boot: Duration,
}
