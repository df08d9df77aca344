//! `storm`: all sessions are lost at once, and all agents want back in.

use std::collections::{BTreeMap, HashSet};
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::stage::{Stage, curve, index, number, turns};
use crate::load::LoadError;
use crate::load::agent::What;
use crate::load::fleet::Fleet;
use crate::load::outcome::{Fact, Outcome};

/// A command that can't work has said so by then.
const FAILS_WITHIN: Duration = Duration::from_millis(500);

/// Settings of `storm`.
#[derive(Debug, Clone)]
pub struct Storm {
    /// Sessions.
    pub agents: u64,
    /// Agents that join at the same time, before the storm.
    pub at_once: u64,
    /// A shell command that ends all sessions, such as a restart; left out: the
    /// agents lose their connections.
    pub cut: Option<String>,
    /// Longest wait for the last agent to be back.
    pub wait: Duration,
}

impl Storm {
    pub(super) fn settings(&self) -> Vec<(&'static str, String)> {
        let cut = self
            .cut
            .as_deref()
            .unwrap_or("all connections, by the harness");
        vec![
            ("agents", self.agents.to_string()),
            ("at once", self.at_once.to_string()),
            ("cut", cut.to_owned()),
            ("wait", format!("{:?}", self.wait)),
        ]
    }

    pub(super) async fn run(self, stage: Stage) -> Result<Outcome, LoadError> {
        let (_, key) = stage.harness.key("storm").await?;
        let (mut fleet, mut told) = Fleet::new(&stage.harness, turns(self.at_once));
        stage.ramp(&mut fleet, &mut told, self.agents, &key).await?;
        sleep(Duration::from_secs(2)).await;
        while told.try_recv().is_ok() {}

        stage.say("the storm");
        let mut marks = vec![stage.mark("cut")];
        let begun = Instant::now();
        match &self.cut {
            Some(command) => shell(command).await?,
            None => (0..self.agents).for_each(|number| fleet.cut(number)),
        }
        let mut out = HashSet::new();
        let mut back = Vec::new();
        let mut lost: Option<Instant> = None;
        let mut returned: Option<Instant> = None;
        let mut refused: BTreeMap<String, u64> = BTreeMap::new();
        let mut gave_up = 0_u64;
        let until = begun + self.wait;
        let all = usize::try_from(self.agents).unwrap_or(usize::MAX);
        while back.len() < all {
            let Ok(Some(happening)) = timeout_at(until, told.recv()).await else {
                break;
            };
            match happening.what {
                What::Ended(_) => {
                    lost.get_or_insert(happening.at);
                    out.insert(happening.number);
                }
                What::Began if out.remove(&happening.number) => {
                    if returned.is_none() {
                        returned = Some(happening.at);
                        marks.push(stage.mark("the first is back"));
                    }
                    back.push(happening.at);
                }
                What::Began => {}
                What::Refused(fault) => *refused.entry(fault.to_string()).or_default() += 1,
                What::GaveUp => gave_up += 1,
            }
        }
        let Some(lost) = lost else {
            let what = "no session ended: what --cut ran did not cut them";
            return Err(LoadError::Gateway(what.into()));
        };
        back.sort_unstable();
        let returned = returned.unwrap_or(lost);
        let since = |from: Instant| -> Vec<Duration> {
            back.iter()
                .map(|at| at.saturating_duration_since(from))
                .collect()
        };
        let (cut, first) = (since(lost), since(returned));
        let mut facts = vec![
            Fact::new("agents", number(self.agents), ""),
            Fact::new(
                "back",
                number(u64::try_from(back.len()).unwrap_or(u64::MAX)),
                "",
            ),
            Fact::new("gave up", number(gave_up), ""),
            Fact::new("gone for, at least", (returned - lost).as_secs_f64(), "s"),
        ];
        for (share, name) in [(0.5, "50 %"), (0.9, "90 %"), (0.99, "99 %"), (1.0, "100 %")] {
            // A share of all, not of those that made it.
            let at = index(all, share);
            for (times, from) in [(&cut, "the cut"), (&first, "the first")] {
                if let Some(time) = times.get(at) {
                    let name = format!("{name} back after {from}");
                    facts.push(Fact::new(name, time.as_secs_f64(), "s"));
                }
            }
        }
        for (why, count) in refused {
            facts.push(Fact::new(
                format!("tries that failed: {why}"),
                number(count),
                "",
            ));
        }
        Ok(Outcome {
            facts,
            marks,
            curve: Some(curve("agents back", &cut)),
        })
    }
}

/// Begins it; a restart may well take longer than the storm.
async fn shell(command: &str) -> Result<(), LoadError> {
    let mut run = Command::new("sh");
    run.arg("-c")
        .arg(command)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let failed = |error: std::io::Error| LoadError::Plan(format!("--cut: {error}"));
    let mut child = run.spawn().map_err(failed)?;
    // One that fails at once has cut nothing.
    sleep(FAILS_WITHIN).await;
    match child.try_wait().map_err(failed)? {
        Some(status) if !status.success() => Err(LoadError::Plan(format!(
            "--cut: {command:?} ended with {status}"
        ))),
        _ => Ok(()),
    }
}
