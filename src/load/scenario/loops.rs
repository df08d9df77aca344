//! Calls over and over: each after the last (closed), or whatever comes of the
//! last (open).
//!
//! Owns: when the next call is due and when no more are made. Must not know:
//! what a call is, what records it.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::load::pace::Pace;

/// After its end, calls on their way may come home.
const LAST_CALLS: Duration = Duration::from_secs(10);
/// What fails at once must not be tried a million times.
const AFTER_A_FAILURE: Duration = Duration::from_millis(50);

/// How calls follow each other.
#[derive(Debug, Clone, Copy)]
pub struct Loop {
    /// Calls on their way at once, where no rate is given.
    pub at_once: u64,
    /// Calls a second, however the gateway fares (an open loop).
    pub rate: Option<f64>,
    /// For how long.
    pub lasts: Duration,
}

impl Loop {
    /// For the report's head.
    pub(super) fn setting(self) -> (&'static str, String) {
        match self.rate {
            Some(rate) => ("rate", format!("{rate} a second (open loop)")),
            None => ("at once", format!("{} (closed loop)", self.at_once)),
        }
    }

    /// Makes calls; `call` gets the time from which one is measured, and a
    /// number: of the call in an open loop, of the caller in a closed one.
    /// It returns whether the call failed.
    pub(super) async fn run<F>(self, call: impl Fn(u64, Instant) -> F + Clone + Send + 'static)
    where
        F: Future<Output = bool> + Send + 'static,
    {
        let ends = Instant::now() + self.lasts;
        let mut tasks = JoinSet::new();
        if let Some(rate) = self.rate {
            let mut pace = Pace::new(rate);
            for number in 0.. {
                let due = pace.due().await;
                if due >= ends {
                    break;
                }
                let call = call(number, due);
                tasks.spawn(async move {
                    call.await;
                });
                while tasks.try_join_next().is_some() {}
            }
        } else {
            for number in 0..self.at_once {
                let call = call.clone();
                tasks.spawn(async move {
                    while Instant::now() < ends {
                        if call(number, Instant::now()).await {
                            sleep(AFTER_A_FAILURE).await;
                        }
                    }
                });
            }
            sleep(self.lasts).await;
        }
        let _ = timeout(LAST_CALLS, async {
            while tasks.join_next().await.is_some() {}
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// Runs calls that take `takes` for a minute; how many came home.
    async fn calls_of_a_minute(at_once: u64, rate: Option<f64>, takes: Duration) -> u64 {
        let home = Arc::<AtomicU64>::default();
        let counted = Arc::clone(&home);
        let lasts = Duration::from_secs(60);
        Loop {
            at_once,
            rate,
            lasts,
        }
        .run(move |_, _| {
            let counted = Arc::clone(&counted);
            async move {
                sleep(takes).await;
                counted.fetch_add(1, Ordering::SeqCst);
                takes.is_zero()
            }
        })
        .await;
        home.load(Ordering::SeqCst)
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_loop_calls_for_as_long_as_it_was_told() {
        assert_eq!(
            calls_of_a_minute(2, None, Duration::from_secs(1)).await,
            120
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_loop_calls_however_long_a_call_takes() {
        assert_eq!(
            calls_of_a_minute(0, Some(2.0), Duration::from_secs(5)).await,
            120
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_come_home_is_not_waited_for() {
        let begun = Instant::now();
        let takes = Duration::from_secs(3_600);
        assert_eq!(calls_of_a_minute(1, None, takes).await, 0);
        assert_eq!(begun.elapsed(), Duration::from_secs(60) + LAST_CALLS);
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_at_once_is_tried_20_times_a_second() {
        assert_eq!(calls_of_a_minute(1, None, Duration::ZERO).await, 1_200);
    }
}
