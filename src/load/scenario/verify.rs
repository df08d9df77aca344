//! `verify`: calls on connections that are warm.

use std::sync::Arc;

use super::loops::Loop;
use super::stage::Stage;
use crate::load::LoadError;
use crate::load::connection::{Connection, Key};
use crate::load::harness::Harness;
use crate::load::identity::Identity;
use crate::load::outcome::Outcome;

/// Settings of `verify`.
#[derive(Debug, Clone)]
pub struct Verify {
    /// Connections, each of an agent of its own.
    pub connections: u64,
    /// How they follow each other.
    pub calls: Loop,
}

impl Verify {
    pub(super) fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("connections", self.connections.to_string()),
            self.calls.setting(),
            ("for", format!("{:?}", self.calls.lasts)),
        ]
    }

    pub(super) async fn run(self, stage: Stage) -> Result<Outcome, LoadError> {
        let (_, key) = stage.harness.key("verify").await?;
        stage.say("connections");
        let lines = warm(&stage.harness, 0, self.connections, &key).await?;
        stage.say("calls");
        call(&stage.harness, &lines, self.calls, "verify").await;
        Ok(Outcome::default())
    }
}

/// A connection over which an agent has joined, and its identity.
pub(super) struct Warm {
    line: Connection,
    who: Identity,
    key: Key,
}

/// Connections of the agents from `first` on, each joined once.
pub(super) async fn warm(
    harness: &Harness,
    first: u64,
    count: u64,
    key: &Key,
) -> Result<Arc<Vec<Warm>>, LoadError> {
    let mut lines = Vec::new();
    for number in first..first.saturating_add(count) {
        let who = Identity::of(harness.seed, number);
        let failed =
            |fault| LoadError::Gateway(format!("a connection could not be warmed: {fault}"));
        let line = harness.dial(number).await.map_err(failed)?;
        line.join(&who, key).await.map_err(failed)?;
        lines.push(Warm {
            line,
            who,
            key: key.clone(),
        });
    }
    Ok(Arc::new(lines))
}

/// Calls over these connections, recorded as `name`.
pub(super) async fn call(
    harness: &Arc<Harness>,
    lines: &Arc<Vec<Warm>>,
    calls: Loop,
    name: &'static str,
) {
    let (harness, lines) = (Arc::clone(harness), Arc::clone(lines));
    calls
        .run(move |number, since| {
            let (harness, lines) = (Arc::clone(&harness), Arc::clone(&lines));
            async move {
                let warm = &lines[usize::try_from(number).unwrap_or(0) % lines.len()];
                let said = warm.line.health(&warm.who, &warm.key).await;
                let failed = said.is_err();
                harness.recorder.done(name, since, said);
                failed
            }
        })
        .await;
}
