//! `join`: a new connection, its handshake and CreateConnection, over and over.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::{Outcome, Stage};
use crate::load::LoadError;
use crate::load::harness::Harness;
use crate::load::identity::Identity;
use crate::load::pace::Pace;
use crate::load::wire::{Fault, Key};

/// After its end, calls on their way may come home.
const LAST_CALLS: Duration = Duration::from_secs(10);

/// Settings of `join`.
#[derive(Debug, Clone)]
pub struct Join {
    /// Different agents that join, in turn.
    pub agents: u64,
    /// Joins on their way at once, where no rate is given.
    pub at_once: u64,
    /// Joins a second, however the gateway fares (an open loop).
    pub rate: Option<f64>,
    /// For how long.
    pub lasts: Duration,
}

impl Join {
    pub(super) fn settings(&self) -> Vec<(&'static str, String)> {
        let loop_ = match self.rate {
            Some(rate) => ("rate", format!("{rate} a second (open loop)")),
            None => ("at once", format!("{} (closed loop)", self.at_once)),
        };
        vec![
            ("agents", self.agents.to_string()),
            loop_,
            ("for", format!("{:?}", self.lasts)),
        ]
    }

    pub(super) async fn run(self, stage: Stage) -> Result<Outcome, LoadError> {
        let harness = &stage.harness;
        let (_, key) = harness.key("join").await?;
        let next = Arc::new(AtomicU64::new(0));
        let ends = Instant::now() + self.lasts;
        let one = {
            let (harness, agents) = (Arc::clone(harness), self.agents);
            move |since: Instant| {
                let (harness, key) = (Arc::clone(&harness), key.clone());
                let number = next.fetch_add(1, Ordering::Relaxed) % agents;
                async move {
                    let joined = join(&harness, number, &key).await;
                    let failed = joined.is_err();
                    harness.recorder.done("join", since, joined);
                    failed
                }
            }
        };
        stage.say("joins");
        let mut tasks = JoinSet::new();
        if let Some(rate) = self.rate {
            let mut pace = Pace::new(rate);
            loop {
                let due = pace.due().await;
                if due >= ends {
                    break;
                }
                let join = one(due);
                tasks.spawn(async move {
                    join.await;
                });
                while tasks.try_join_next().is_some() {}
            }
        } else {
            for _ in 0..self.at_once {
                let one = one.clone();
                tasks.spawn(async move {
                    while Instant::now() < ends {
                        if one(Instant::now()).await {
                            // What fails at once must not be tried a million times.
                            sleep(Duration::from_millis(50)).await;
                        }
                    }
                });
            }
        }
        let _ = timeout(LAST_CALLS, async {
            while tasks.join_next().await.is_some() {}
        })
        .await;
        Ok(Outcome::default())
    }
}

async fn join(harness: &Harness, number: u64, key: &Key) -> Result<(), Fault> {
    let line = harness.dial(number).await?;
    line.join(&Identity::of(harness.seed, number), key).await
}
