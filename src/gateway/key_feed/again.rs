//! When something is tried again: after a while, then later and later.

use std::time::Duration;

use tokio::time::Instant;

/// Before the second try, and before any.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

pub(super) struct Again {
    at: Instant,
    wait: Duration,
}

impl Again {
    /// It was just tried.
    pub fn new() -> Self {
        Self {
            at: Instant::now() + WAITS.0,
            wait: WAITS.0,
        }
    }

    /// When the next try is due.
    pub fn at(&self) -> Instant {
        self.at
    }

    /// Whether it is to be tried now; if so, the next time is later.
    pub fn is_due(&mut self) -> bool {
        let now = Instant::now();
        let is_due = now >= self.at;
        if is_due {
            self.wait = (self.wait * 2).min(WAITS.1);
            self.at = now + self.wait;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_waits_double_up_to_ten_seconds() {
        let mut again = Again::new();
        assert!(!again.is_due());
        for seconds in [1, 2, 4, 8, 10, 10] {
            tokio::time::advance(Duration::from_secs(seconds) - Duration::from_millis(1)).await;
            assert!(!again.is_due(), "{seconds}");
            tokio::time::advance(Duration::from_millis(1)).await;
            assert!(again.is_due(), "{seconds}");
        }
    }
}
