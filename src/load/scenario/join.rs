//! `join`: a new connection, its handshake and CreateConnection, over and over.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::loops::Loop;
use super::stage::Stage;
use crate::load::LoadError;
use crate::load::connection::{Fault, Key};
use crate::load::harness::Harness;
use crate::load::identity::Identity;
use crate::load::outcome::Outcome;

/// Settings of `join`.
#[derive(Debug, Clone)]
pub struct Join {
    /// Different agents that join, in turn.
    pub agents: u64,
    /// How they follow each other.
    pub calls: Loop,
}

impl Join {
    pub(super) fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("agents", self.agents.to_string()),
            self.calls.setting(),
            ("for", format!("{:?}", self.calls.lasts)),
        ]
    }

    pub(super) async fn run(self, stage: Stage) -> Result<Outcome, LoadError> {
        let harness = &stage.harness;
        let (_, key) = harness.key("join").await?;
        let next = Arc::new(AtomicU64::new(0));
        let (harness, agents) = (Arc::clone(harness), self.agents);
        stage.say("joins");
        self.calls
            .run(move |_, since| {
                let (harness, key) = (Arc::clone(&harness), key.clone());
                let number = next.fetch_add(1, Ordering::Relaxed) % agents;
                async move {
                    let joined = join(&harness, number, &key).await;
                    let failed = joined.is_err();
                    harness.recorder.done("join", since, joined);
                    failed
                }
            })
            .await;
        Ok(Outcome::default())
    }
}

async fn join(harness: &Harness, number: u64, key: &Key) -> Result<(), Fault> {
    let line = harness.dial(number).await?;
    line.join(&Identity::of(harness.seed, number), key).await
}
