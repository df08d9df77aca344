//! `hold`: many live sessions, kept, with some that come and go.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::stage::{Stage, number, turns};
use crate::load::LoadError;
use crate::load::agent::What;
use crate::load::fleet::Fleet;
use crate::load::outcome::{Fact, Outcome};
use crate::load::pace::Pace;

/// From the last join to the look at memory.
const SETTLE: Duration = Duration::from_secs(5);

/// Settings of `hold`.
#[derive(Debug, Clone)]
pub struct Hold {
    /// Sessions.
    pub agents: u64,
    /// Agents that come in at the same time.
    pub at_once: u64,
    /// Sessions a second that lose their connection and come back.
    pub churn: f64,
    /// For how long, once all are in.
    pub lasts: Duration,
}

impl Hold {
    pub(super) fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("agents", self.agents.to_string()),
            ("at once", self.at_once.to_string()),
            ("churn", format!("{} a second", self.churn)),
            ("for", format!("{:?}", self.lasts)),
        ]
    }

    pub(super) async fn run(self, stage: Stage) -> Result<Outcome, LoadError> {
        let (_, key) = stage.harness.key("hold").await?;
        let (mut fleet, mut told) = Fleet::new(&stage.harness, turns(self.at_once));
        stage.watched.look().await;
        let before = stage.watched.gateways_resident_bytes().await;
        let begun = Instant::now();
        stage.ramp(&mut fleet, &mut told, self.agents, &key).await?;
        let ramp = begun.elapsed().as_secs_f64();
        let mut marks = vec![stage.mark("all are in")];
        stage.say("sessions are held");
        tokio::time::sleep(SETTLE).await;
        stage.watched.look().await;
        let after = stage.watched.gateways_resident_bytes().await;

        let ends = Instant::now() + self.lasts;
        let mut lost = 0;
        let mut next = 0;
        let mut pace = (self.churn > 0.0).then(|| Pace::new(self.churn));
        let mut churned: u64 = 0;
        loop {
            let due = async {
                match &mut pace {
                    Some(pace) => pace.due().await,
                    None => std::future::pending().await,
                }
            };
            let step = async {
                tokio::select! {
                    happening = told.recv() => happening,
                    _ = due => {
                        fleet.cut(next);
                        next = (next + 1) % self.agents;
                        churned += 1;
                        None
                    }
                }
            };
            match timeout_at(ends, step).await {
                Ok(Some(happening)) if matches!(happening.what, What::Ended(_)) => lost += 1,
                Ok(_) => {}
                Err(_) => break,
            }
        }
        marks.push(stage.mark("the end"));
        let live = stage.harness.recorder.sessions();
        let mut facts = vec![
            Fact::new("all in after", ramp, "s"),
            Fact::new(
                "sessions at the end",
                number(live.max(0).unsigned_abs()),
                "",
            ),
            Fact::new("sessions cut by the harness", number(churned), ""),
            Fact::new(
                "sessions lost otherwise",
                number(u64::saturating_sub(lost, churned)),
                "",
            ),
        ];
        if let (Some(before), Some(after)) = (before, after) {
            let grown = number(after.saturating_sub(before));
            let each = grown / number(self.agents) / 1024.0;
            facts.push(Fact::new("gateways' memory for a session", each, "KiB"));
        }
        Ok(Outcome {
            facts,
            marks,
            curve: None,
        })
    }
}
