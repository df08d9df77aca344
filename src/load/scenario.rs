//! What can be done to gateways.
//!
//! Owns: the scenarios and their settings; one file each does it.

mod denied;
mod hold;
mod join;
mod loops;
mod revoke;
pub(super) mod stage;
mod storm;
mod verify;

use std::collections::BTreeMap;

pub use denied::Denied;
pub use hold::Hold;
pub use join::Join;
pub use loops::Loop;
pub use revoke::Revoke;
pub use storm::Storm;
pub use verify::Verify;

use super::LoadError;
use super::outcome::Outcome;
use crate::load::scenario::stage::Stage;

/// A scenario and its settings.
#[derive(Debug, Clone)]
pub enum Scenario {
    /// New connections, each with a handshake and a join.
    Join(Join),
    /// Calls on warm connections.
    Verify(Verify),
    /// Live sessions, kept.
    Hold(Hold),
    /// A key revoked under live sessions.
    Revoke(Revoke),
    /// All sessions lost at once.
    Storm(Storm),
    /// A revoked fleet that does not stop trying.
    Denied(Denied),
}

impl Scenario {
    /// As it is typed.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Join(_) => "join",
            Self::Verify(_) => "verify",
            Self::Hold(_) => "hold",
            Self::Revoke(_) => "revoke",
            Self::Storm(_) => "storm",
            Self::Denied(_) => "denied",
        }
    }

    /// Settings by name, for the report.
    pub(super) fn settings(&self) -> BTreeMap<&'static str, String> {
        let listed = match self {
            Self::Join(join) => join.settings(),
            Self::Verify(verify) => verify.settings(),
            Self::Hold(hold) => hold.settings(),
            Self::Revoke(revoke) => revoke.settings(),
            Self::Storm(storm) => storm.settings(),
            Self::Denied(denied) => denied.settings(),
        };
        listed.into_iter().collect()
    }

    /// Refuses settings that make no sense.
    pub(super) fn check(&self) -> Result<(), LoadError> {
        let (agents, at_once, rate) = match self {
            Self::Join(s) => (s.agents, s.calls.at_once, s.calls.rate),
            Self::Verify(s) => (s.connections, s.calls.at_once, s.calls.rate),
            Self::Hold(s) => (s.agents, s.at_once, None),
            Self::Revoke(s) => (s.agents, s.at_once, None),
            Self::Storm(s) => (s.agents, s.at_once, None),
            Self::Denied(s) => (s.agents.min(s.revoked), s.at_once, Some(s.rate)),
        };
        let wrong = |what: &str| Err(LoadError::Plan(what.to_owned()));
        if agents == 0 {
            return wrong("--agents (or --connections, --revoked): there must be at least 1");
        }
        if at_once == 0 {
            return wrong("--at-once: there must be at least 1");
        }
        if rate.is_some_and(|rate| !(0.001..=1e7).contains(&rate)) {
            return wrong("--rate: must be between 0.001 and 10000000 a second");
        }
        if let Self::Hold(hold) = self
            && !(0.0..=1e5).contains(&hold.churn)
        {
            return wrong("--churn: must be between 0 and 100000 a second");
        }
        if let Self::Revoke(revoke) = self
            && revoke.revoked.is_some_and(|n| n == 0 || n > revoke.agents)
        {
            return wrong("--revoked: must be between 1 and --agents");
        }
        Ok(())
    }

    /// Connections it has open at once, at most.
    pub(super) fn connections(&self) -> u64 {
        match self {
            // An open loop holds as many as are on their way; one second's is a
            // guess that a slow gateway may exceed, and then calls fail.
            Self::Join(s) => s
                .calls
                .rate
                .map_or(s.calls.at_once, |rate| s.calls.at_once.max(ceil(rate))),
            Self::Verify(s) => s.connections,
            Self::Hold(s) => s.agents,
            Self::Revoke(s) => s.agents,
            Self::Storm(s) => s.agents,
            Self::Denied(s) => s.agents.saturating_add(s.revoked),
        }
    }

    pub(super) async fn run(self, stage: Stage) -> Result<Outcome, LoadError> {
        match self {
            Self::Join(join) => join.run(stage).await,
            Self::Verify(verify) => verify.run(stage).await,
            Self::Hold(hold) => hold.run(stage).await,
            Self::Revoke(revoke) => revoke.run(stage).await,
            Self::Storm(storm) => storm.run(stage).await,
            Self::Denied(denied) => denied.run(stage).await,
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to lie between 0.001 and 10,000,000"
)]
fn ceil(rate: f64) -> u64 {
    rate.ceil() as u64
}
