//! `revoke`: live sessions, and then their key is revoked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::stage::{Stage, curve, index, milliseconds, number, turns};
use crate::load::LoadError;
use crate::load::agent::What;
use crate::load::fleet::Fleet;
use crate::load::outcome::{Fact, Outcome};

/// A session that lives this long after the revoke counts as left.
const WAIT: Duration = Duration::from_secs(15);

/// Settings of `revoke`.
#[derive(Debug, Clone)]
pub struct Revoke {
    /// Sessions.
    pub agents: u64,
    /// How many of them are under the key that is revoked; left out: all.
    pub revoked: Option<u64>,
    /// Agents that come in at the same time.
    pub at_once: u64,
    /// How long the sessions live before it.
    pub settle: Duration,
    /// Whether an agent tries again when its session has ended, as a real one
    /// does. On the gateway's own host that is load beside what is measured.
    pub retries: bool,
}

impl Revoke {
    pub(super) fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("agents", self.agents.to_string()),
            ("revoked", self.count().to_string()),
            ("at once", self.at_once.to_string()),
            ("settle", format!("{:?}", self.settle)),
            ("retries", self.retries.to_string()),
        ]
    }

    fn count(&self) -> u64 {
        self.revoked.unwrap_or(self.agents)
    }

    pub(super) async fn run(self, stage: Stage) -> Result<Outcome, LoadError> {
        let count = self.count();
        let (id, key) = stage.harness.key("revoke").await?;
        let (mut fleet, mut told) = Fleet::new(&stage.harness, turns(self.at_once));
        fleet.retries(self.retries);
        stage.ramp(&mut fleet, &mut told, count, &key).await?;
        let others = self.agents - count;
        if others > 0 {
            let (_, other) = stage.harness.key("revoke, the others").await?;
            stage.ramp(&mut fleet, &mut told, others, &other).await?;
        }
        stage.say("sessions are held");
        sleep(self.settle).await;
        while told.try_recv().is_ok() {}

        stage.say("revoke");
        let marks = vec![stage.mark("revoke")];
        let called = Instant::now();
        let harness = Arc::clone(&stage.harness);
        let answer = tokio::spawn(async move {
            harness.revoke(&id).await?;
            Ok::<_, LoadError>(called.elapsed())
        });
        let mut ends = Vec::new();
        let mut told_why: BTreeMap<String, u64> = BTreeMap::new();
        let (mut came_back, mut others_cut) = (0_u64, 0_u64);
        let until = called + WAIT;
        while (ends.len() as u64) < count {
            let Ok(Some(happening)) = timeout_at(until, told.recv()).await else {
                break;
            };
            match happening.what {
                What::Ended(fault) if happening.number < count => {
                    let took = happening.at.saturating_duration_since(called);
                    stage
                        .harness
                        .recorder
                        .took("session's end", called, took, Ok::<_, String>(()));
                    ends.push(took);
                    *told_why.entry(fault.to_string()).or_default() += 1;
                }
                What::Ended(_) => others_cut += 1,
                What::Began if happening.number < count => came_back += 1,
                What::Began | What::Refused(_) | What::GaveUp => {}
            }
        }
        let answered = answer
            .await
            .map_err(|error| LoadError::Broken(error.to_string()))??;
        ends.sort_unstable();
        let ended = u64::try_from(ends.len()).unwrap_or(u64::MAX);
        let at = |share: f64| {
            ends.get(index(ends.len(), share))
                .copied()
                .unwrap_or_default()
        };
        let mut facts = vec![
            Fact::new("sessions under the key", number(count), ""),
            Fact::new("ended", number(ended), ""),
            Fact::new("left after 15 s", number(count - ended), ""),
            Fact::new("came back in", number(came_back), ""),
            Fact::new("others that were cut", number(others_cut), ""),
            Fact::new("first end", milliseconds(at(0.0)), "ms"),
            Fact::new("half ended", milliseconds(at(0.5)), "ms"),
            Fact::new("99 % ended", milliseconds(at(0.99)), "ms"),
            Fact::new("last end", milliseconds(at(1.0)), "ms"),
            Fact::new("the revoke was answered", milliseconds(answered), "ms"),
        ];
        for (why, count) in told_why {
            facts.push(Fact::new(format!("told: {why}"), number(count), ""));
        }
        Ok(Outcome {
            facts,
            marks,
            curve: Some(curve("sessions ended", &ends)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_where_so_many_have_come() {
        assert_eq!(index(100, 0.0), 0);
        assert_eq!(index(100, 0.5), 49);
        assert_eq!(index(100, 0.99), 98);
        assert_eq!(index(100, 1.0), 99);
        assert_eq!(index(1, 0.5), 0);
    }

    #[test]
    fn a_curve_keeps_its_ends() {
        let sorted: Vec<_> = (1..=1001).map(Duration::from_millis).collect();
        let points = curve("ended", &sorted).points;
        assert!(points.len() <= 402);
        assert_eq!(points[0].1, 1);
        let (at, count) = points[points.len() - 1];
        assert!((at - 1001.0).abs() < 1e-6 && count == 1001);
        assert!(curve("ended", &[]).points.is_empty());
    }
}
