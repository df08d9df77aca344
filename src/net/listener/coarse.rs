//! Far deadlines that come together.
//!
//! Owns: how they are rounded. Must not know: what is waited for. Invariant: no
//! deadline comes early, a far one at most [`STEP`] late, and a near one as it
//! was asked for. Thousands of connections that have nothing to do but to keep
//! their deadlines would else wake a thread each at a moment of its own, which
//! costs more than what there is to do then (docs/performance.md).

use std::sync::LazyLock;
use std::time::Duration;

use tokio::time::Instant;

/// Between two moments to which deadlines are put off. So short that what comes
/// at one of them is done before anybody notices.
const STEP: Duration = Duration::from_millis(50);
/// What counts as far: a [`STEP`] more is a third of a percent.
const FAR: Duration = Duration::from_secs(15);

/// `at`, or the next common moment after it where that is far away from `now`.
pub(super) fn together(at: Instant, now: Instant) -> Instant {
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    if at.saturating_duration_since(now) < FAR {
        return at;
    }
    let past = at.saturating_duration_since(*BEGAN).as_nanos() % STEP.as_nanos();
    let missing = (STEP.as_nanos() - past) % STEP.as_nanos();
    let missing = Duration::from_nanos(u64::try_from(missing).unwrap_or(0));
    at.checked_add(missing).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn far_deadlines_come_together_and_near_ones_as_asked() {
        let now = Instant::now();
        let near = now + FAR - Duration::from_nanos(1);
        assert_eq!(together(near, now), near);

        let first = together(now + FAR, now);
        assert!(first >= now + FAR && first < now + FAR + STEP);
        for nanos in [0, 1, 7_000, 49_999_999] {
            let at = first - Duration::from_nanos(nanos);
            assert_eq!(together(at, at - FAR), first);
        }
        let next = together(first + Duration::from_nanos(1), now);
        assert_eq!(next, first + STEP);
    }
}
