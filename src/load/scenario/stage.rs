//! What scenarios share: the harness, the fleet's way in, numbers for a report.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;

use crate::load::agent::{Happening, What};
use crate::load::connection::Key;
use crate::load::error::LoadError;
use crate::load::fleet::Fleet;
use crate::load::harness::Harness;
use crate::load::outcome::{Curve, Mark};
use crate::load::progress::{Progress, Watcher};
use crate::load::watch::Watchers;

/// What a scenario works with.
pub(in crate::load) struct Stage {
    pub harness: Arc<Harness>,
    pub watched: Arc<Watchers>,
    pub watcher: Watcher,
}

/// A count for a report; exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "no run has 2^53 of anything")]
pub(in crate::load) fn number(count: u64) -> f64 {
    count as f64
}

pub(in crate::load) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

impl Stage {
    pub(super) fn say(&self, phase: impl Into<String>) {
        (self.watcher)(Progress::Phase(phase.into()));
    }

    pub(super) fn mark(&self, what: impl Into<String>) -> Mark {
        Mark {
            at: self.harness.recorder.elapsed().as_secs_f64(),
            what: what.into(),
        }
    }

    /// Adds `count` agents of `key` to the fleet and waits until each is in.
    pub(super) async fn ramp(
        &self,
        fleet: &mut Fleet,
        told: &mut UnboundedReceiver<Happening>,
        count: u64,
        key: &Key,
    ) -> Result<(), LoadError> {
        self.say(format!("{count} agents come in"));
        let mut began = 0;
        let mut take = |happening: Option<Happening>| match happening.map(|h| h.what) {
            Some(What::Began) => {
                began += 1;
                Ok(began)
            }
            Some(What::Ended(_) | What::Refused(_)) => Ok(began),
            Some(What::GaveUp) | None => Err(LoadError::Gateway(
                "an agent was refused for good before it was in once; `muster rejections list` \
                 says why"
                    .into(),
            )),
        };
        for _ in 0..count {
            fleet.add(key).await;
            while let Ok(happening) = told.try_recv() {
                take(Some(happening))?;
            }
        }
        while take_until(told, &mut take, count).await? {}
        Ok(())
    }
}

/// Whether there are still fewer than `count`.
pub(super) async fn take_until(
    told: &mut UnboundedReceiver<Happening>,
    take: &mut impl FnMut(Option<Happening>) -> Result<u64, LoadError>,
    count: u64,
) -> Result<bool, LoadError> {
    Ok(take(told.recv().await)? < count)
}

pub(super) fn turns(at_once: u64) -> usize {
    // A semaphore takes an eighth of the address space.
    usize::try_from(at_once)
        .unwrap_or(usize::MAX)
        .min(1_000_000)
}

/// Where that share of `count` sorted values lies.
pub(super) fn index(count: usize, share: f64) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a place in a list, between 0 and its length"
    )]
    let at = (count as f64 * share).ceil() as usize;
    at.max(1) - 1
}

/// At most 400 points of it: a plot has no more.
pub(super) fn curve(of: &'static str, sorted: &[Duration]) -> Curve {
    let every = sorted.len().div_ceil(400).max(1);
    let last = sorted.len().saturating_sub(1);
    let points = sorted.iter().enumerate();
    let points = points.filter(|(n, _)| n % every == 0 || *n == last);
    Curve {
        of,
        points: points
            .map(|(n, at)| (milliseconds(*at), u64::try_from(n + 1).unwrap_or(u64::MAX)))
            .collect(),
    }
}
