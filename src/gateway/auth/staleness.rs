//! What a gateway may still do when it has not heard from its store for long.
//!
//! Owns: the bounds, and the decision on each. Must not know: why the store is
//! silent, or the caller. Invariant: pure; nothing that is refused here is the
//! agent's fault.

use std::time::Duration;

/// What becomes of known keys and live sessions once the view is stale.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StaleMode {
    /// Live sessions stay; known keys may join until the stale limit. A revoke
    /// that does not arrive ends no session until the store is back.
    #[default]
    BestEffort,
    /// Sessions end and no agent joins: a revoke is late by a stated bound.
    Strict,
}

/// The bounds on the age of the view: the time since the last call was sent whose
/// answer had all changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staleness {
    /// What is held to the bounds. Default: best effort.
    pub mode: StaleMode,
    /// Above this age, keys that are not cached are not let in. Default: 3 s.
    pub uncached_after: Duration,
    /// Above this age the view is stale: the gateway is not ready, and strict
    /// ends its sessions. Default: 60 s.
    pub stale_after: Duration,
    /// Above this age best effort lets no known key in either. Default: 15 min.
    pub stale_limit: Duration,
    /// Over how long strict spreads the ends of its sessions. Default: 10 s.
    pub spread: Duration,
    /// How long a store that others have given up may go on to answer: what is
    /// said of the bounds to others grows by it. Not a setting; 11 s with
    /// Sentinel, else none.
    pub lag: Duration,
}

impl Default for Staleness {
    fn default() -> Self {
        Self {
            mode: StaleMode::default(),
            uncached_after: Duration::from_secs(3),
            stale_after: Duration::from_secs(60),
            stale_limit: Duration::from_secs(15 * 60),
            spread: Duration::from_secs(10),
            lag: Duration::ZERO,
        }
    }
}

impl Staleness {
    /// Whether a key that is not cached may be loaded. Past that, a load would
    /// hold the agent up only to fail.
    pub fn loads_uncached(&self, age: Duration) -> bool {
        age <= self.uncached_after
    }

    /// Whether a key that is known to be good may join.
    pub fn admits_known(&self, age: Duration) -> bool {
        match self.mode {
            StaleMode::BestEffort => age <= self.stale_limit,
            StaleMode::Strict => age <= self.stale_after,
        }
    }

    /// Whether the view is past its bound.
    pub fn is_stale(&self, age: Duration) -> bool {
        age > self.stale_after
    }

    /// Whether live sessions have to end.
    pub fn ends_sessions(&self, age: Duration) -> bool {
        self.mode == StaleMode::Strict && self.is_stale(age)
    }

    /// How long after the last heartbeat that others know of the last live session
    /// has ended; `None`: they stay.
    pub fn ends_all_after(&self) -> Option<Duration> {
        let strict = self.mode == StaleMode::Strict;
        strict.then(|| self.stale_after + self.spread + self.lag)
    }

    /// How many of `total` sessions must have ended at this time after their end
    /// began: none at first, so that a process that was only suspended hears
    /// from its store before it ends anybody.
    pub fn ended_by(&self, total: usize, since: Duration) -> usize {
        if since >= self.spread {
            return total;
        }
        let part = since.as_secs_f64() / self.spread.as_secs_f64();
        // In 0..total: the cast only cuts the fraction off.
        ((total as f64 * part) as usize).min(total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_holds_in_each_mode() {
        let of = |mode| Staleness {
            mode,
            ..Staleness::default()
        };
        let (strict, best) = (of(StaleMode::Strict), of(StaleMode::BestEffort));
        // Age in ms; uncached keys load; known keys join, strict and best
        // effort; the view is stale, and with it strict's sessions end.
        for (age, loads, in_strict, in_best, stale) in [
            (0, true, true, true, false),
            (3_000, true, true, true, false),
            (3_001, false, true, true, false),
            (60_000, false, true, true, false),
            (60_001, false, false, true, true),
            (900_000, false, false, true, true),
            (900_001, false, false, false, true),
            (u64::MAX, false, false, false, true),
        ] {
            let at = Duration::from_millis(age);
            for policy in [&strict, &best] {
                assert_eq!(policy.loads_uncached(at), loads, "{age} {policy:?}");
                assert_eq!(policy.is_stale(at), stale, "{age} {policy:?}");
            }
            assert_eq!(strict.admits_known(at), in_strict, "{age}");
            assert_eq!(best.admits_known(at), in_best, "{age}");
            assert_eq!(strict.ends_sessions(at), stale, "{age}");
            assert!(!best.ends_sessions(at), "{age}");
        }
    }

    #[test]
    fn others_are_told_when_the_last_session_has_ended() {
        let strict = Staleness {
            mode: StaleMode::Strict,
            ..Staleness::default()
        };
        let seconds = |policy: &Staleness| policy.ends_all_after().map(|end| end.as_secs());
        assert_eq!(seconds(&strict), Some(70));
        let lag = Duration::from_secs(11);
        assert_eq!(seconds(&Staleness { lag, ..strict }), Some(81));
        assert_eq!(seconds(&Staleness::default()), None);
    }

    #[test]
    fn the_ends_are_spread_evenly() {
        let policy = Staleness::default();
        let at = |seconds| policy.ended_by(1_000, Duration::from_secs(seconds));
        assert_eq!([0, 1, 5, 9].map(at), [0, 100, 500, 900]);
        assert_eq!([10, 11, u64::MAX].map(at), [1_000; 3]);
        assert_eq!(policy.ended_by(0, Duration::from_secs(5)), 0);
        let at_once = Staleness {
            spread: Duration::ZERO,
            ..policy
        };
        assert_eq!(at_once.ended_by(7, Duration::ZERO), 7);
    }
}
