//! What a run found out, for people and for programs.

mod html;
mod plot;

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Serialize;

use super::Plan;
use super::measure::{Point, Recorder, Summary};
use super::outcome::{Curve, Fact, Mark, Outcome};
use super::watch::Cost;
use crate::keys::Timestamp;

/// A run's result.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The program that measured.
    pub muster: &'static str,
    /// Which scenario.
    pub scenario: &'static str,
    /// Its settings.
    pub settings: BTreeMap<&'static str, String>,
    /// The gateways.
    pub targets: Vec<String>,
    /// The fleet's seed.
    pub seed: u64,
    /// When it ended, RFC 3339 UTC.
    pub ended_at: String,
    /// How long it took, warm-up included.
    pub seconds: f64,
    /// How long the warm-up was, which is in no histogram.
    pub warm_up_seconds: f64,
    /// What the scenario is about.
    pub facts: Vec<Fact>,
    /// Each operation.
    pub operations: BTreeMap<&'static str, Summary>,
    /// CPU and memory: the gateways', and the harness's own beside them.
    pub costs: Vec<Cost>,
    /// Moments.
    pub marks: Vec<Mark>,
    /// Sessions after a cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub curve: Option<Curve>,
    /// Second by second.
    pub points: Vec<Point>,
    /// What could not be removed again.
    pub left_behind: Vec<String>,
}

impl Report {
    pub(super) fn of(
        plan: &Plan,
        recorder: &Recorder,
        outcome: Outcome,
        costs: Vec<Cost>,
        left_behind: Vec<String>,
    ) -> Self {
        let (operations, points) = recorder.finish();
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let millis = since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(0));
        let targets = plan.targets.iter().map(|target| target.address.to_string());
        Self {
            muster: env!("CARGO_PKG_VERSION"),
            scenario: plan.scenario.name(),
            settings: plan.scenario.settings(),
            targets: targets.collect(),
            seed: plan.seed,
            ended_at: Timestamp::from_millis(millis).to_string(),
            seconds: recorder.elapsed().as_secs_f64(),
            warm_up_seconds: plan.warm_up.as_secs_f64(),
            facts: outcome.facts,
            operations,
            costs,
            marks: outcome.marks,
            curve: outcome.curve,
            points,
            left_behind,
        }
    }
}
