//! `verify`: calls on connections that are warm.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::{Outcome, Stage};
use crate::load::LoadError;
use crate::load::harness::Harness;
use crate::load::identity::Identity;
use crate::load::pace::Pace;
use crate::load::wire::{Key, Line};

/// After its end, calls on their way may come home.
const LAST_CALLS: Duration = Duration::from_secs(10);

/// Settings of `verify`.
#[derive(Debug, Clone)]
pub struct Verify {
    /// Connections, each of an agent of its own.
    pub connections: u64,
    /// Calls on their way at once, on all connections together.
    pub at_once: u64,
    /// Calls a second, however the gateway fares (an open loop).
    pub rate: Option<f64>,
    /// For how long.
    pub lasts: Duration,
}

impl Verify {
    pub(super) fn settings(&self) -> Vec<(&'static str, String)> {
        let loop_ = match self.rate {
            Some(rate) => ("rate", format!("{rate} a second (open loop)")),
            None => ("at once", format!("{} (closed loop)", self.at_once)),
        };
        vec![
            ("connections", self.connections.to_string()),
            loop_,
            ("for", format!("{:?}", self.lasts)),
        ]
    }

    pub(super) async fn run(self, stage: Stage) -> Result<Outcome, LoadError> {
        let (_, key) = stage.harness.key("verify").await?;
        stage.say("connections");
        let lines = warm(&stage.harness, 0, self.connections, &key).await?;
        stage.say("calls");
        match self.rate {
            Some(rate) => open_loop(&stage.harness, &lines, rate, self.lasts, "verify").await,
            None => closed_loop(&stage.harness, &lines, self.at_once, self.lasts).await,
        }
        Ok(Outcome::default())
    }
}

/// A connection over which an agent has joined, and who it is.
pub(super) struct Warm {
    line: Line,
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

async fn closed_loop(
    harness: &Arc<Harness>,
    lines: &Arc<Vec<Warm>>,
    at_once: u64,
    lasts: Duration,
) {
    let ends = Instant::now() + lasts;
    let mut tasks = JoinSet::new();
    for n in 0..at_once {
        let (harness, lines) = (Arc::clone(harness), Arc::clone(lines));
        tasks.spawn(async move {
            let at = usize::try_from(n).unwrap_or(0) % lines.len();
            let warm = &lines[at];
            while Instant::now() < ends {
                let since = Instant::now();
                let said = warm.line.health(&warm.who, &warm.key).await;
                let failed = said.is_err();
                harness.recorder.done("verify", since, said);
                if failed {
                    // What fails at once must not be tried a million times.
                    sleep(Duration::from_millis(50)).await;
                }
            }
        });
    }
    while tasks.join_next().await.is_some() {}
}

/// Calls at an even rate, recorded as `name`.
pub(super) async fn open_loop(
    harness: &Arc<Harness>,
    lines: &Arc<Vec<Warm>>,
    rate: f64,
    lasts: Duration,
    name: &'static str,
) {
    let ends = Instant::now() + lasts;
    let mut pace = Pace::new(rate);
    let mut tasks = JoinSet::new();
    for n in 0_usize.. {
        let due = pace.due().await;
        if due >= ends {
            break;
        }
        let (harness, lines) = (Arc::clone(harness), Arc::clone(lines));
        tasks.spawn(async move {
            let warm = &lines[n % lines.len()];
            let said = warm.line.health(&warm.who, &warm.key).await;
            harness.recorder.done(name, due, said);
        });
        while tasks.try_join_next().is_some() {}
    }
    let _ = timeout(LAST_CALLS, async {
        while tasks.join_next().await.is_some() {}
    })
    .await;
}
