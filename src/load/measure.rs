//! What is measured, while it happens.
//!
//! Owns: a histogram of each operation, one line a second of how it went.
//! Invariant: what began in the warm-up is in no histogram and no count.

use parking_lot::{Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::time::Instant;

/// Longest time that is recorded, in microseconds: ten minutes.
const LONGEST_US: u64 = 600_000_000;
/// Significant digits.
const DIGITS: u8 = 3;

/// Takes what the scenario's tasks measure.
pub(super) struct Recorder {
    begun: Instant,
    warm_from: Instant,
    operations: Mutex<BTreeMap<&'static str, Operation>>,
    sessions: AtomicI64,
    points: Mutex<Vec<Point>>,
}

struct Operation {
    all: Histogram<u64>,
    second: Histogram<u64>,
    errors: BTreeMap<String, u64>,
}

impl Operation {
    fn new() -> Self {
        Self {
            all: empty(),
            second: empty(),
            errors: BTreeMap::new(),
        }
    }
}

fn empty() -> Histogram<u64> {
    let made = Histogram::new_with_bounds(1, LONGEST_US, DIGITS);
    // The bounds are constants that a test makes one of.
    made.unwrap_or_else(|_| unreachable!("bounds that make a histogram"))
}

/// One second of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Point {
    /// Seconds since the begin.
    pub at: f64,
    pub sessions: i64,
    /// What was done in it, by operation.
    pub operations: BTreeMap<&'static str, PointOf>,
}

/// One operation in one second.
#[derive(Debug, Clone, Serialize)]
pub struct PointOf {
    pub count: u64,
    pub p50_us: u64,
    pub p99_us: u64,
}

/// An operation over the whole run.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// How many succeeded, the warm-up's left out.
    pub count: u64,
    /// A second, over what the run took after its warm-up.
    pub per_second: f64,
    pub p50_us: u64,
    pub p90_us: u64,
    pub p99_us: u64,
    pub p999_us: u64,
    pub max_us: u64,
    /// How many failed, by what.
    pub errors: BTreeMap<String, u64>,
    /// (share of operations, microseconds), for a plot.
    pub percentiles: Vec<(f64, u64)>,
}

/// The shares of a plot of percentiles.
const SHARES: [f64; 13] = [
    0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999, 1.0,
];

impl Recorder {
    /// Begins now; what happens in the first `warm_up` does not count.
    pub fn new(warm_up: Duration) -> Self {
        let begun = Instant::now();
        Self {
            begun,
            warm_from: begun + warm_up,
            operations: Mutex::default(),
            sessions: AtomicI64::new(0),
            points: Mutex::default(),
        }
    }

    /// How long it has run.
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// An operation that was to begin at `since` and ends now, in success or for
    /// that reason.
    pub fn done<E: ToString>(&self, name: &'static str, since: Instant, end: Result<(), E>) {
        self.took(name, since, since.elapsed(), end);
    }

    /// The same, of an end that is over.
    pub fn took<E: ToString>(
        &self,
        name: &'static str,
        since: Instant,
        took: Duration,
        end: Result<(), E>,
    ) {
        if since < self.warm_from {
            return;
        }
        let mut operations = locked(&self.operations);
        let operation = operations.entry(name).or_insert_with(Operation::new);
        match end {
            Ok(()) => {
                let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
                operation.all.saturating_record(us.max(1));
                operation.second.saturating_record(us.max(1));
            }
            Err(error) => *operation.errors.entry(error.to_string()).or_default() += 1,
        }
    }

    /// A session began (1) or ended (-1).
    pub fn session(&self, change: i64) {
        self.sessions.fetch_add(change, Ordering::Relaxed);
    }

    pub fn sessions(&self) -> i64 {
        self.sessions.load(Ordering::Relaxed)
    }

    /// Ends a second; what was in it is returned.
    pub fn tick(&self) -> Point {
        let mut operations = locked(&self.operations);
        let of = operations.iter_mut().map(|(name, operation)| {
            let second = &mut operation.second;
            let point = PointOf {
                count: second.len(),
                p50_us: second.value_at_quantile(0.5),
                p99_us: second.value_at_quantile(0.99),
            };
            second.reset();
            (*name, point)
        });
        let point = Point {
            at: self.elapsed().as_secs_f64(),
            sessions: self.sessions(),
            operations: of.collect(),
        };
        drop(operations);
        locked(&self.points).push(point.clone());
        point
    }

    /// All of it, and its seconds.
    pub fn finish(&self) -> (BTreeMap<&'static str, Summary>, Vec<Point>) {
        let seconds = self.warm_from.elapsed().as_secs_f64();
        let operations = locked(&self.operations);
        let summaries = operations
            .iter()
            .map(|(name, operation)| (*name, operation.summary(seconds)));
        (summaries.collect(), locked(&self.points).clone())
    }
}

impl Operation {
    #[expect(clippy::cast_precision_loss, reason = "a rate is no count")]
    fn summary(&self, seconds: f64) -> Summary {
        let all = &self.all;
        let at = |share| all.value_at_quantile(share);
        Summary {
            count: all.len(),
            per_second: if seconds > 0.0 {
                all.len() as f64 / seconds
            } else {
                0.0
            },
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: all.max(),
            errors: self.errors.clone(),
            percentiles: SHARES.map(|share| (share, at(share))).to_vec(),
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_began_in_the_warm_up_does_not_count() {
        let recorder = Recorder::new(Duration::from_secs(1));
        let early = Instant::now();
        tokio::time::advance(Duration::from_secs(3)).await;
        recorder.done("join", early, Ok::<_, String>(()));
        recorder.done("join", early, Err("Unavailable"));
        assert!(recorder.finish().0.is_empty());
        let since = Instant::now();
        tokio::time::advance(Duration::from_millis(250)).await;
        recorder.done("join", since, Ok::<_, String>(()));
        recorder.done("join", since, Err("Unavailable"));
        let (summaries, _) = recorder.finish();
        let join = &summaries["join"];
        assert_eq!(join.count, 1);
        // Three significant digits.
        assert!((249_000..=251_000).contains(&join.p50_us), "{join:?}");
        assert_eq!(join.errors, BTreeMap::from([("Unavailable".into(), 1)]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_holds_what_was_done_in_it() {
        let recorder = Recorder::new(Duration::ZERO);
        recorder.session(1);
        recorder.done("join", Instant::now(), Ok::<_, String>(()));
        assert_eq!(recorder.tick().operations["join"].count, 1);
        recorder.session(-1);
        let point = recorder.tick();
        assert_eq!((point.operations["join"].count, point.sessions), (0, 0));
        assert_eq!(recorder.finish().1.len(), 2);
    }
}
