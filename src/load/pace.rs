//! When open-loop arrivals are due.
//!
//! Invariant: the n-th is due at the begin plus n / rate, whatever became of
//! the ones before it: a slow server makes no fewer arrivals, and each is
//! measured from when it was due (no coordinated omission).

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Arrivals at an even rate.
pub(super) struct Pace {
    begun: Instant,
    gap: Duration,
    next: u32,
}

impl Pace {
    /// So many a second, the first one now. `rate` is above zero.
    pub fn new(rate: f64) -> Self {
        Self {
            begun: Instant::now(),
            gap: Duration::from_secs_f64(1.0 / rate),
            next: 0,
        }
    }

    /// Waits for the next one and returns when it was due. One that is given up
    /// half way is waited for again.
    pub async fn due(&mut self) -> Instant {
        let due = self.begun + self.gap * self.next;
        if due > Instant::now() {
            sleep_until(due).await;
        }
        self.next = self.next.saturating_add(1);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_was_held_up_is_due_when_he_was_due() {
        let mut pace = Pace::new(10.0);
        let begun = pace.due().await;
        tokio::time::advance(Duration::from_millis(350)).await;
        let late = Instant::now();
        for n in 1..=3 {
            assert_eq!(pace.due().await, begun + Duration::from_millis(100) * n);
            assert_eq!(Instant::now(), late, "what is late is not waited for");
        }
        assert_eq!(pace.due().await, begun + Duration::from_millis(400));
        assert!(Instant::now() >= begun + Duration::from_millis(400));
        let given_up = tokio::time::timeout(Duration::from_millis(50), pace.due()).await;
        assert!(given_up.is_err());
        assert_eq!(pace.due().await, begun + Duration::from_millis(500));
    }
}
