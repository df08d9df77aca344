//! When an agent tries again.
//!
//! As measured with a real NGINX Agent v3.11.3: once at once (0.02 s, without
//! jitter, on the same connection), then by its backoff: 1 s, three times as
//! long each time up to 20 s, each drawn from half to one and a half of that
//! (`internal/config/defaults.go`).

use std::time::Duration;

use super::random::Random;

const AT_ONCE: Duration = Duration::from_millis(20);
const FIRST: f64 = 1.0;
const TIMES: f64 = 3.0;
const LONGEST: f64 = 20.0;
const SPREAD: f64 = 0.5;

/// The waits of one agent after one end of its session.
#[derive(Debug, Clone)]
pub(super) struct Waits {
    next: Option<f64>,
    random: Random,
}

impl Waits {
    /// `random` makes them repeatable.
    pub fn new(random: u64) -> Self {
        Self {
            next: None,
            random: Random(random),
        }
    }

    /// How long to wait before the next try.
    pub fn next(&mut self) -> Duration {
        let Some(base) = self.next else {
            self.next = Some(FIRST);
            return AT_ONCE;
        };
        self.next = Some((base * TIMES).min(LONGEST));
        let spread = 1.0 - SPREAD + 2.0 * SPREAD * self.random.fraction();
        Duration::from_secs_f64(base * spread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_tried_at_once_and_then_ever_more_seldom() {
        for random in 0..100 {
            let mut waits = Waits::new(random);
            assert_eq!(waits.next(), AT_ONCE);
            for base in [1.0, 3.0, 9.0, 20.0, 20.0, 20.0] {
                let wait = waits.next().as_secs_f64();
                assert!((base * 0.5..base * 1.5).contains(&wait), "{base}: {wait}");
            }
        }
    }

    #[test]
    fn agents_do_not_wait_in_step() {
        let second = |random| {
            let mut waits = Waits::new(random);
            waits.next();
            waits.next()
        };
        assert_ne!(second(1), second(2));
        assert_eq!(second(3), second(3));
    }
}
