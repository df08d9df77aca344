//! The load harness: many simulated agents against running gateways.
//!
//! Owns: scenarios, what they measure, the report. Must not know: a gateway's
//! inside; it speaks the agent's protocol, and asks for keys by [`Admin`].
//! Invariant: what a run made is removed at its end, whatever the end.

mod agent;
pub(crate) mod baseline;
mod connection;
mod harness;
mod identity;
mod limits;
mod measure;
mod pace;
mod random;
mod report;
mod retry;
mod scenario;
mod watch;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use connection::Dialer;
use harness::Harness;
use measure::Recorder;
pub use measure::{Point, PointOf, Summary};
pub use report::{Curve, Fact, Mark, Report, thousandths};
pub use scenario::{Denied, Hold, Join, Loop, Revoke, Scenario, Storm, Verify};
pub use watch::Cost;

/// Between two looks at the gateways and the clock.
const TICK: Duration = Duration::from_secs(1);

/// Makes and ends the keys of a run: the admin API, however it is reached.
#[async_trait::async_trait]
pub trait Admin: Send + Sync {
    /// A new key of that name: its id, and what agents present.
    async fn create_key(&self, name: &str) -> Result<(String, SecretString), String>;
    /// Revokes it; comes back when the gateway has answered.
    async fn revoke_key(&self, id: &str) -> Result<(), String>;
    /// Deletes a revoked one.
    async fn delete_key(&self, id: &str) -> Result<(), String>;
}

/// A gateway under load.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its agent listener.
    pub address: SocketAddr,
    /// The name that its certificate has to have.
    pub host: String,
    /// Its ops listener, for CPU and memory.
    pub ops: Option<SocketAddr>,
}

/// What to run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What is done.
    pub scenario: Scenario,
    /// The gateways; agents go round them.
    pub targets: Vec<Target>,
    /// Whom agents trust (PEM).
    pub ca: Vec<u8>,
    /// The same seed makes the same agents.
    pub seed: u64,
    /// What begins in it does not count.
    pub warm_up: Duration,
    /// Between two words of an agent on its health.
    pub health_every: Duration,
    /// Whoever asks says that targets beyond the loopback are his own.
    pub hosts_are_own: bool,
}

/// What goes on.
#[derive(Debug)]
pub enum Progress {
    /// The scenario has come to another part.
    Phase(String),
    /// A second has passed.
    Second(Point),
}

/// Told what goes on; must not block.
pub type Watcher = Arc<dyn Fn(Progress) + Send + Sync>;

/// Why a run did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No gateway was named.
    #[error("--target: no gateway is named; name one, for example 127.0.0.1:7443")]
    NoTarget,
    /// Somebody else's host, perhaps.
    #[error(
        "--target: {0} is not on the loopback; a load test takes a host down: if it is yours, add \
         --yes-i-own-these-hosts"
    )]
    NotOwn(SocketAddr),
    /// Too few descriptors for so many connections.
    #[error(
        "{needed} open files are needed, this process may have {limit}: `ulimit -n {needed}` \
         first (and as many for each gateway), or use fewer agents"
    )]
    TooFewFiles {
        /// How many the run needs.
        needed: u64,
        /// How many it may have.
        limit: u64,
    },
    /// A plan that makes no sense.
    #[error("{0}")]
    Plan(String),
    /// The admin API refused or failed.
    #[error("the admin API: {0}")]
    Admin(String),
    /// The gateway does not do what the scenario is about.
    #[error("{0}")]
    Gateway(String),
    /// Told to stop.
    #[error("interrupted: there is no result")]
    Interrupted,
    /// A fault of ours.
    #[error("the harness failed: {0}")]
    Broken(String),
}

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
    check(&plan)?;
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
    let stage = scenario::Stage {
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

fn check(plan: &Plan) -> Result<(), LoadError> {
    if plan.targets.is_empty() {
        return Err(LoadError::NoTarget);
    }
    let mut addresses = plan.targets.iter().map(|target| target.address);
    if let Some(other) = addresses.find(|address| !address.ip().is_loopback())
        && !plan.hosts_are_own
    {
        return Err(LoadError::NotOwn(other));
    }
    plan.scenario.check()?;
    limits::check(plan.scenario.connections())
}
