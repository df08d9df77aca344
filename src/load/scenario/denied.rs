//! `denied`: a revoked fleet that tries for ever, beside agents that are well.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::loops::Loop;
use super::stage::{Stage, number, turns};
use super::verify::{call, warm};
use crate::load::LoadError;
use crate::load::fleet::Fleet;
use crate::load::outcome::{Fact, Outcome};

/// Settings of `denied`.
#[derive(Debug, Clone)]
pub struct Denied {
    /// Good agents, whose calls are measured.
    pub agents: u64,
    /// Calls a second of all good agents together.
    pub rate: f64,
    /// Agents that are revoked.
    pub revoked: u64,
    /// Agents that come in at the same time.
    pub at_once: u64,
    /// From the revoke until the revoked ones' tries are counted. A real agent's
    /// are as seldom as they get within 40 s (reference: measured +41 s).
    pub steady: Duration,
    /// How long the good ones are measured, alone and then beside the others.
    pub lasts: Duration,
}

impl Denied {
    pub(super) fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("agents", self.agents.to_string()),
            ("rate", format!("{} a second", self.rate)),
            ("revoked", self.revoked.to_string()),
            ("at once", self.at_once.to_string()),
            ("for", format!("{:?} each", self.lasts)),
        ]
    }

    pub(super) async fn run(self, stage: Stage) -> Result<Outcome, LoadError> {
        let harness = &stage.harness;
        let (_, good) = harness.key("denied, the good").await?;
        let (id, bad) = harness.key("denied, the revoked").await?;
        // Numbers apart from the fleet's.
        let lines = warm(harness, self.revoked, self.agents, &good).await?;

        let calls = Loop {
            at_once: 0,
            rate: Some(self.rate),
            lasts: self.lasts,
        };
        stage.say("the good ones, alone");
        let mut marks = vec![stage.mark("the good ones, alone")];
        let (alone, _) = self
            .measured(&stage, || call(harness, &lines, calls, "good, alone"))
            .await;

        let (mut fleet, mut told) = Fleet::new(harness, turns(self.at_once));
        stage
            .ramp(&mut fleet, &mut told, self.revoked, &bad)
            .await?;
        harness.revoke(&id).await?;
        marks.push(stage.mark("revoke"));
        stage.say("the revoked ones find their pace");
        let steady = self.steady;
        let told = tokio::spawn(async move {
            let mut tries = 0_u64;
            let begun = Instant::now() + steady;
            while let Some(happening) = told.recv().await {
                tries += u64::from(happening.at >= begun);
            }
            tries
        });
        sleep(steady).await;

        stage.say("the good ones, beside them");
        marks.push(stage.mark("the good ones, beside them"));
        let (beside, took) = self
            .measured(&stage, || call(harness, &lines, calls, "good, beside"))
            .await;
        drop(fleet);
        let tries = told.await.unwrap_or(0);
        let mut facts = vec![Fact::new(
            "tries of the revoked",
            number(tries) / took,
            "a second",
        )];
        if let (Some(alone), Some(beside)) = (alone, beside) {
            facts.push(Fact::new(
                "gateways' CPU, alone",
                alone * 100.0,
                "% of a core",
            ));
            facts.push(Fact::new(
                "gateways' CPU, beside",
                beside * 100.0,
                "% of a core",
            ));
            let more = (beside - alone) * 100.0;
            facts.push(Fact::new("the revoked cost", more, "% of a core"));
        }
        Ok(Outcome {
            facts,
            marks,
            curve: None,
        })
    }

    /// The gateways' CPU seconds a second during `work`, and its seconds.
    async fn measured<F: Future<Output = ()>>(
        &self,
        stage: &Stage,
        work: impl FnOnce() -> F,
    ) -> (Option<f64>, f64) {
        stage.watched.look().await;
        let before = stage.watched.gateways_cpu_seconds().await;
        let begun = Instant::now();
        work().await;
        stage.watched.look().await;
        let after = stage.watched.gateways_cpu_seconds().await;
        let took = begun.elapsed().as_secs_f64();
        let share = before
            .zip(after)
            .map(|(before, after)| (after - before) / took);
        (share, took)
    }
}
