//! What a run found out, for people and for programs.

mod html;
mod plot;

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Serialize;

use super::Plan;
use super::measure::{Point, Recorder, Summary};
use super::watch::Cost;
use crate::keys::Timestamp;

/// A number that a scenario is about.
#[derive(Debug, Clone, Serialize)]
pub struct Fact {
    /// What it is.
    pub name: String,
    /// The number.
    pub value: f64,
    /// Its unit; empty: a count.
    pub unit: &'static str,
}

impl Fact {
    /// A number of that name and unit.
    pub fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self {
            name: name.into(),
            value,
            unit,
        }
    }
}

impl Fact {
    /// Number and unit, with as many digits as mean something.
    pub fn shown(&self) -> String {
        let digits = match self.value.abs() {
            value if value.fract() == 0.0 || value >= 1000.0 => 0,
            value if value >= 100.0 => 1,
            value if value >= 1.0 => 2,
            _ => 3,
        };
        format!("{:.digits$} {}", self.value, self.unit)
            .trim_end()
            .to_owned()
    }
}

/// Thousandths as a number with its point.
pub fn thousandths(number: u64) -> String {
    format!("{}.{:03}", number / 1000, number % 1000)
}

/// A moment worth a line in a plot.
#[derive(Debug, Clone, Serialize)]
pub struct Mark {
    /// Seconds since the begin.
    pub at: f64,
    /// What happened then.
    pub what: String,
}

/// Each session's end after a cut, for the plot of it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Curve {
    /// What is counted.
    pub of: &'static str,
    /// (milliseconds since the cut, how many by then).
    pub points: Vec<(f64, u64)>,
}

/// What a scenario hands in.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub facts: Vec<Fact>,
    pub marks: Vec<Mark>,
    pub curve: Option<Curve>,
}

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

    /// One page with plots, which needs nothing but itself.
    pub fn html(&self) -> String {
        html::page(self)
    }
}
