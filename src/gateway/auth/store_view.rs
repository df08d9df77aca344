//! Which of the store's histories counts for this gateway right now, and how
//! old what it knows of it is.
//!
//! Invariant: the age is never less than the time since the store was last
//! known to have had no change that is not applied here, be the host suspended
//! meanwhile or not.

use parking_lot::RwLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::staleness::Staleness;
use crate::keys::Epoch;
use crate::metrics::endpoints::Readiness;
use crate::store::Moment;

/// The tail's epoch, and a count of the resyncs that began or ended. A load
/// counts only if neither changed while it was under way.
#[derive(Debug)]
pub struct StoreView {
    history: RwLock<History>,
    staleness: Staleness,
    /// Why the store that answers is not believed, if so.
    foreign: RwLock<Option<String>>,
    /// Why the store takes no writes, if so.
    unwritable: RwLock<Option<String>>,
    began: Moment,
    /// Nanoseconds from `began` to the last moment for which this view is known to
    /// be current: while the host was awake, and since its boot.
    fresh_awake: AtomicU64,
    fresh_boot: AtomicU64,
    /// How the store may lose changes without need.
    unprotected: RwLock<Option<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct History {
    pub epoch: Epoch,
    turns: u64,
}

impl StoreView {
    /// The view of a gateway that enrolled in `epoch` by a call that it sent at
    /// `sent`.
    pub fn new(epoch: Epoch, staleness: Staleness, sent: Moment) -> Self {
        Self {
            history: RwLock::new(History { epoch, turns: 0 }),
            staleness,
            foreign: RwLock::default(),
            unwritable: RwLock::default(),
            began: sent,
            fresh_awake: AtomicU64::new(0),
            fresh_boot: AtomicU64::new(0),
            unprotected: RwLock::new(None),
        }
    }

    /// A resync begins or ends; from now on loads count in `epoch` alone.
    pub fn turn(&self, epoch: Epoch) {
        let mut history = self.history.write();
        history.epoch = epoch;
        history.turns += 1;
    }

    /// All that the store had when a call sent at `sent` came there is applied.
    /// Not its answer's time: how long that was on its way is unknown.
    pub fn refreshed(&self, sent: &Moment) {
        let fresh = sent.since(&self.began);
        self.fresh_awake
            .fetch_max(nanos(fresh.awake), Ordering::AcqRel);
        self.fresh_boot
            .fetch_max(nanos(fresh.boot), Ordering::AcqRel);
    }

    /// How old what this gateway knows is.
    pub fn age(&self) -> Duration {
        let awake = Duration::from_nanos(self.fresh_awake.load(Ordering::Acquire));
        let boot = Duration::from_nanos(self.fresh_boot.load(Ordering::Acquire));
        let elapsed = self.began.elapsed();
        let awake = elapsed.awake.saturating_sub(awake);
        awake.max(elapsed.boot.saturating_sub(boot))
    }

    /// The store is set up so that it may lose changes, or is not. Returns
    /// whether that is news.
    pub fn unprotected_by(&self, why: Option<&str>) -> bool {
        let mut known = self.unprotected.write();
        let is_news = known.as_deref() != why;
        *known = why.map(str::to_owned);
        is_news
    }

    /// How the store may lose changes without need; `None`: it does not.
    pub fn unprotected(&self) -> Option<String> {
        self.unprotected.read().clone()
    }

    /// Another store answers than the one that is known, or (`None`) the known
    /// one again. Returns whether that is news.
    pub fn set_foreign(&self, why: Option<String>) -> bool {
        let mut foreign = self.foreign.write();
        let is_news = foreign.is_some() != why.is_some();
        *foreign = why;
        is_news
    }

    /// Why the store that answers is not believed, if so.
    pub fn foreign(&self) -> Option<String> {
        let foreign = self.foreign.read();
        foreign.clone()
    }

    /// The store takes no writes, or (`None`) does again. Returns whether that is
    /// news.
    pub fn set_unwritable(&self, why: Option<String>) -> bool {
        let mut unwritable = self.unwritable.write();
        let is_news = unwritable.is_some() != why.is_some();
        *unwritable = why;
        is_news
    }

    /// What may be done at which age.
    pub fn staleness(&self) -> &Staleness {
        &self.staleness
    }

    /// The history that counts.
    pub fn epoch(&self) -> Epoch {
        self.history().epoch
    }

    pub(super) fn history(&self) -> History {
        *self.history.read()
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

impl Readiness for StoreView {
    /// A store that is away for a moment must not take every gateway out of a
    /// load balancer, so only a view past its bound counts.
    fn not_ready(&self) -> Option<String> {
        if let Some(why) = self.foreign() {
            return Some(why);
        }
        // That does not pass in a moment, and an operator has to see it.
        if let Some(why) = &*self.unwritable.read() {
            return Some(format!("the store takes no writes: {why}"));
        }
        let age = self.age();
        let stale = self.staleness.is_stale(age).then(|| {
            let seconds = age.as_secs();
            format!("the store's changes were last heard {seconds} s ago (bound: stale-after)")
        });
        stale.or_else(|| self.unprotected())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{FakeHost, StoreClock};

    #[tokio::test(start_paused = true)]
    async fn its_age_counts_from_the_send_and_never_goes_back() {
        let clock = StoreClock::starting_at(FakeHost::at(0), None);
        let began = clock.moment();
        let view = StoreView::new(Epoch(1), Staleness::default(), began.clone());
        assert_eq!(view.age(), Duration::ZERO);
        let second = Duration::from_secs(1);
        tokio::time::advance(5 * second).await;
        assert_eq!(view.age(), 5 * second);
        let sent = clock.moment();
        tokio::time::advance(2 * second).await;
        view.refreshed(&sent);
        assert_eq!(view.age(), 2 * second, "the answer took that long");
        view.refreshed(&began);
        assert_eq!(view.age(), 2 * second, "an older call tells nothing new");
    }

    #[tokio::test(start_paused = true)]
    async fn it_ages_while_the_host_is_suspended() {
        let host = FakeHost::at(0);
        let clock = StoreClock::starting_at(host.clone(), None);
        let view = StoreView::new(Epoch(1), Staleness::default(), clock.moment());
        let hour = Duration::from_secs(3_600);
        host.pass(3_600_000);
        assert_eq!(view.age(), hour);
        assert!(view.not_ready().is_some());
        let sent = clock.moment();
        host.pass(3_600_000);
        view.refreshed(&sent);
        assert_eq!(view.age(), hour, "suspended before the answer came");
        view.refreshed(&clock.moment());
        assert_eq!(view.age(), Duration::ZERO);
        assert_eq!(view.not_ready(), None);
    }
}
