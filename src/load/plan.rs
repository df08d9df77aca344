//! What to run, and against which gateways.

use std::net::SocketAddr;
use std::time::Duration;

use super::error::LoadError;
use super::scenario::Scenario;

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
    /// Time between two health reports of an agent.
    pub health_every: Duration,
    /// The user owns the targets beyond the loopback.
    pub hosts_are_own: bool,
}

pub(super) fn check(plan: &Plan) -> Result<(), LoadError> {
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
    super::limits::check(plan.scenario.connections())
}
