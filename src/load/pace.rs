//! When open-loop arrivals are due.
//!
//! Invariant: the n-th is due between n / rate and (n + 1) / rate after the
//! begin, whatever became of the ones before it: a slow server makes no fewer
//! arrivals, and each is measured from when it was due (no coordinated
//! omission). Where in that time is drawn: at even gaps all arrivals would stand
//! alike to the milliseconds in which timers fire, in each run otherwise, and
//! that would be measured.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::random::Random;

/// Arrivals at a rate, one in each of its gaps.
pub(super) struct Pace {
    begun: Instant,
    gap: Duration,
    next: u32,
    due: Instant,
    random: Random,
}

impl Pace {
    /// `rate` calls a second, from now on; above zero.
    pub fn new(rate: f64) -> Self {
        let begun = Instant::now();
        let mut pace = Self {
            begun,
            gap: Duration::from_secs_f64(1.0 / rate),
            next: 0,
            due: begun,
            random: Random(0),
        };
        pace.draw();
        pace
    }

    fn draw(&mut self) {
        let place = self.gap.mul_f64(self.random.fraction());
        self.due = self.begun + self.gap * self.next + place;
    }

    /// Waits for the next one and returns when it was due. One that is given up
    /// half way is waited for again.
    pub async fn due(&mut self) -> Instant {
        let due = self.due;
        if due > Instant::now() {
            sleep_until(due).await;
        }
        self.next = self.next.saturating_add(1);
        self.draw();
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GAP: Duration = Duration::from_millis(100);

    /// Whether it is due in the n-th gap.
    fn is_in(gap: u32, due: Instant, begun: Instant) -> bool {
        due >= begun + GAP * gap && due < begun + GAP * (gap + 1)
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_held_up_is_due_when_he_was_due() {
        let begun = Instant::now();
        let mut pace = Pace::new(10.0);
        assert!(is_in(0, pace.due().await, begun));
        tokio::time::advance(begun + 4 * GAP - Instant::now()).await;
        let late = Instant::now();
        for n in 1..=3 {
            assert!(is_in(n, pace.due().await, begun));
            assert_eq!(Instant::now(), late, "what is late is not waited for");
        }
        let due = pace.due().await;
        assert!(is_in(4, due, begun));
        assert!(Instant::now() >= due);
        tokio::time::advance(begun + 5 * GAP - Instant::now()).await;
        let given_up = tokio::time::timeout(Duration::from_millis(1), pace.due()).await;
        assert!(given_up.is_err());
        assert!(is_in(5, pace.due().await, begun));
    }

    #[tokio::test(start_paused = true)]
    async fn arrivals_stand_anywhere_in_their_gaps() {
        let begun = Instant::now();
        let mut pace = Pace::new(10.0);
        let mut tenths = [0; 10];
        for n in 0..1_000 {
            let place = pace.due().await - (begun + GAP * n);
            tenths[usize::try_from(place.as_millis() / 10).unwrap()] += 1;
        }
        assert!(
            tenths.iter().all(|count| (50..200).contains(count)),
            "{tenths:?}"
        );
    }
}
