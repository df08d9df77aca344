//! The load harness: many simulated agents against running gateways.
//!
//! Owns: scenarios, what they measure, the report. Must not know: a gateway's
//! inside; it speaks the agent's protocol, and asks for keys by [`Admin`].
//! Invariant: what a run made is removed at its end, whatever the end.

mod agent;
pub(crate) mod baseline;
mod connection;
mod error;
mod fleet;
mod harness;
mod identity;
mod limits;
mod measure;
mod outcome;
mod pace;
mod plan;
mod progress;
mod random;
mod report;
mod retry;
mod scenario;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

pub use error::LoadError;
pub use harness::Admin;
pub(crate) use measure::Point;
pub(crate) use outcome::thousandths;
pub use plan::{Plan, Target};
pub use progress::Progress;
pub(crate) use progress::Watcher;
pub use report::Report;
pub use scenario::{Denied, Hold, Join, Loop, Revoke, Scenario, Storm, Verify};

use connection::Dialer;
use harness::Harness;
use measure::Recorder;

/// Between two looks at the gateways and the clock.
const TICK: Duration = Duration::from_secs(1);

/// Runs a plan to its end, or until `stop`.
///
/// # Errors
/// [`LoadError`]; what was made is removed all the same.
pub async fn run(
    plan: Plan,
    admin: Arc<dyn Admin>,
    watcher: Watcher,
    stop: CancellationToken,
) -> Result<Report, LoadError> {
    plan::check(&plan)?;
    let dialers = plan.targets.iter().map(|target| {
        let dialer = Dialer::new(target.address, &target.host, &plan.ca);
        Ok((dialer.map_err(LoadError::Plan)?, target.address))
    });
    let dialers = dialers.collect::<Result<_, LoadError>>()?;
    let watched = watch::Watchers::of(plan.targets.iter().filter_map(|target| target.ops));
    watched.look().await;
    let harness = Arc::new(Harness::new(
        dialers,
        Recorder::new(plan.warm_up),
        plan.seed,
        plan.health_every,
        admin,
    ));
    let stage = scenario::stage::Stage {
        harness: Arc::clone(&harness),
        watched: Arc::clone(&watched),
        watcher: Arc::clone(&watcher),
    };
    let scenario = plan.scenario.clone();
    let mut running = tokio::spawn(async move { scenario.run(stage).await });
    let mut second = interval(TICK);
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    second.tick().await;
    let ended = loop {
        tokio::select! {
            ended = &mut running => {
                break ended.unwrap_or_else(|error| Err(LoadError::Broken(error.to_string())));
            }
            () = stop.cancelled() => {
                running.abort();
                break Err(LoadError::Interrupted);
            }
            _ = second.tick() => {
                watcher(Progress::Second(harness.recorder.tick()));
                watched.look().await;
            }
        }
    };
    watcher(Progress::Phase("removing what was made".into()));
    let left = harness.remove_what_was_made().await;
    let outcome = ended?;
    Ok(Report::of(
        &plan,
        &harness.recorder,
        outcome,
        watched.costs().await,
        left,
    ))
}
