//! The store's clock, as a gateway sees it.
//!
//! Owns: which of the host's clocks counts when. Must not know: what expires, how
//! a store is asked. Invariants: between two answers of a store time goes on by a
//! clock that nobody sets; where no store shows its time, time never goes back.

#[cfg(test)]
pub(crate) mod fake;
mod host;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

pub use host::{HostClock, Moment, SystemClock};

use crate::keys::Timestamp;

/// Smaller steps of a clock are its grain and the network's jitter.
const TOLERANCE_MICROS: i64 = 2_000;

/// Tells the store's time. Until a store has shown its own, that is the host's wall
/// clock, which is followed when it jumps ahead and not when it is set back. From a
/// store's first answer on it is what the store showed last, and the time that has
/// passed since: gateways that share a store agree on what has expired, whatever
/// becomes of a host's wall clock.
///
/// Clones share it.
#[derive(Debug, Clone)]
pub struct StoreClock {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    host: Arc<dyn HostClock>,
    time: Mutex<Time>,
    shift_millis: AtomicI64,
    moved: Notify,
}

#[derive(Debug)]
struct Time {
    /// The store's time less the time since the boot, in microseconds: what is lost
    /// in cutting both off to milliseconds would put this clock ahead.
    offset_micros: i64,
    /// A store has shown its time: the wall clock does not count any more.
    is_shown: bool,
}

impl Time {
    /// The time now, and by how much the wall clock has jumped ahead of it.
    fn read(&mut self, host: &dyn HostClock) -> (i64, i64) {
        // The wall clock first: a thread that is held up between the two is then
        // behind, which the next look corrects. Ahead would stay.
        let wall = host.wall_micros();
        let boot = micros(host.since_boot());
        let now = boot.saturating_add(self.offset_micros);
        if self.is_shown || wall <= now {
            return (now, 0);
        }
        self.offset_micros = wall.saturating_sub(boot);
        (wall, wall.saturating_sub(now))
    }
}

impl Default for StoreClock {
    /// By the system's clocks.
    fn default() -> Self {
        Self::starting_at(Arc::new(SystemClock), None)
    }
}

impl StoreClock {
    /// By the clocks of `host`, and not before `latest`, which was seen earlier.
    pub fn starting_at(host: Arc<dyn HostClock>, latest: Option<Timestamp>) -> Self {
        let wall = host.wall_micros();
        let begin = latest.map_or(wall, |latest| (latest.as_millis() * 1_000).max(wall));
        let time = Time {
            offset_micros: begin.saturating_sub(micros(host.since_boot())),
            is_shown: false,
        };
        Self {
            shared: Arc::new(Shared {
                host,
                time: Mutex::new(time),
                shift_millis: AtomicI64::new(0),
                moved: Notify::new(),
            }),
        }
    }

    /// The store's time now.
    pub fn now(&self) -> Timestamp {
        let (now, jump) = self.shared.time.lock().read(&*self.shared.host);
        if jump > TOLERANCE_MICROS {
            self.shared.moved.notify_waiters();
        }
        Timestamp::from_millis((now / 1_000).saturating_add(self.shift_millis()))
    }

    /// This moment, by the clocks of the same host.
    pub fn moment(&self) -> Moment {
        Moment::of(Arc::clone(&self.shared.host))
    }

    /// The host's wall clock.
    pub fn wall(&self) -> Timestamp {
        self.shared.host.wall()
    }

    /// By how much the host's wall clock is behind.
    pub fn ahead_of_host(&self) -> Duration {
        let (now, _) = self.shared.time.lock().read(&*self.shared.host);
        Timestamp::from_millis(now / 1_000).saturating_since(self.wall())
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
        let half = micros(round_trip / 2);
        let shown = shown.as_millis() * 1_000;
        let differs = {
            // Under one lock: of two answers that show the same jump at once, the
            // second finds that it was followed.
            let mut time = self.shared.time.lock();
            let (now, _) = time.read(&*self.shared.host);
            time.is_shown = true;
            let shift = self.shift_millis().saturating_mul(1_000);
            let here = now.saturating_add(shift);
            let ahead = shown.saturating_add(half).saturating_sub(here);
            // Within the round trip it is unknown which clock is ahead.
            let differs = ahead.saturating_abs() > half.saturating_add(TOLERANCE_MICROS);
            if differs {
                time.offset_micros = time.offset_micros.saturating_add(ahead);
            }
            differs
        };
        if differs {
            self.shared.moved.notify_waiters();
        }
    }

    /// Waits for the next jump of the clock after this call, not after the first
    /// poll: called before the clock is read, it misses none. A jump of the wall
    /// clock is found by the next that reads this one.
    pub fn moved(&self) -> impl Future<Output = ()> {
        self.shared.moved.notified()
    }
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::fake::FakeHost;
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn it_follows_the_store_and_the_tests_shift_stays_on_top() {
        let clock = StoreClock::default();
        let ahead = |millis: i64| at(clock.now().as_millis() + millis);
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

    #[test]
    fn answers_that_show_the_same_jump_at_once_add_it_once() {
        for _ in 0..2_000 {
            let clock = StoreClock::default();
            let begun = clock.now();
            let shown = at(begun.as_millis() + HOUR);
            let both = std::sync::Barrier::new(2);
            std::thread::scope(|threads| {
                for _ in 0..2 {
                    threads.spawn(|| {
                        both.wait();
                        clock.observe(shown, Duration::ZERO);
                    });
                }
            });
            let ahead = clock.now().as_millis() - begun.as_millis();
            assert!(ahead < HOUR + HOUR / 2, "{ahead}");
        }
    }

    #[test]
    fn after_an_answer_the_wall_clock_does_not_count() {
        // The first answer agrees with the wall clock, or it does not.
        for shown in [5 * HOUR, 7 * HOUR] {
            let host = FakeHost::at(5 * HOUR);
            let clock = StoreClock::starting_at(host.clone(), None);
            assert_eq!(clock.now(), at(5 * HOUR), "before any answer");
            clock.observe(at(shown), Duration::ZERO);
            for set in [-2 * HOUR, 9 * HOUR] {
                host.set_wall(set);
                assert_eq!(clock.now(), at(shown));
            }
            host.pass(HOUR);
            assert_eq!(clock.now(), at(shown + HOUR), "it counts on");
            clock.observe(at(shown), Duration::ZERO);
            assert_eq!(clock.now(), at(shown), "the store's clock was set back");
        }
    }

    #[test]
    fn without_a_store_that_shows_its_time_it_never_goes_back() {
        let host = FakeHost::at(5 * HOUR);
        let clock = StoreClock::starting_at(host.clone(), None);
        host.set_wall(3 * HOUR);
        host.pass(1_000);
        assert_eq!(clock.now(), at(5 * HOUR + 1_000));
        assert_eq!(clock.ahead_of_host().as_secs(), 2 * 3600);
        let mut moved = Box::pin(clock.moved());
        host.set_wall(6 * HOUR);
        assert_eq!(clock.now(), at(6 * HOUR), "a jump ahead is followed");
        assert_eq!(clock.ahead_of_host(), Duration::ZERO);
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(moved.as_mut().poll(&mut context).is_ready(), "and told");
    }

    #[test]
    fn what_was_seen_before_is_the_least() {
        for (latest, now) in [(4 * HOUR, 5 * HOUR), (9 * HOUR, 9 * HOUR)] {
            let host = FakeHost::at(5 * HOUR);
            let clock = StoreClock::starting_at(host, Some(at(latest)));
            assert_eq!(clock.now(), at(now));
        }
    }
}
