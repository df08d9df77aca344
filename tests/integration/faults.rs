//! The faults of `docs/faults.md`, with real processes: what must hold is
//! asserted with a stated margin, what was seen is printed, one line a row.

mod cache;
mod f01;
mod f02;
mod f03;
mod f04;
mod f05;
mod f06;
mod f07;
mod f08;
mod f10;
mod f11;
mod f13;
mod f31;
mod f32;

use std::fmt;
use std::time::{Duration, Instant};

use muster::proto::admin::v1 as pb;
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::JoinHandle;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::support::{Operator, PATIENCE, Process, Stream, TestAgent, reason_of};

/// What a busy machine may add to a bound.
const MARGIN: Duration = Duration::from_secs(5);

/// One at a time: each is heavy, and its figures are its own.
async fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::const_new(());
    ALONE.lock().await
}

/// Whether the long ones are to be run, too.
fn long() -> bool {
    std::env::var_os("MUSTER_LONG_FAULTS").is_some()
}

/// A session whose end is noted the moment it comes.
struct Watched(JoinHandle<(Instant, Status)>);

impl Watched {
    fn new(stream: Stream) -> Self {
        Self(tokio::spawn(async move {
            let Stream {
                mut incoming,
                outgoing: _kept,
            } = stream;
            loop {
                match incoming.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => return (Instant::now(), Status::ok("")),
                    Err(status) => return (Instant::now(), status),
                }
            }
        }))
    }

    fn has_ended(&self) -> bool {
        self.0.is_finished()
    }

    /// Its end; `None` if it still stands after so long.
    async fn end(&mut self, at_most: Duration) -> Option<(Instant, Status)> {
        let ended = tokio::time::timeout(at_most, &mut self.0).await;
        ended.ok().map(|ended| ended.unwrap())
    }

    /// The moment of its end, if it was for that reason.
    async fn ended_by(&mut self, reason: &str) -> Option<Instant> {
        let (at, status) = self.end(PATIENCE).await?;
        (reason_of(&status) == reason).then_some(at)
    }
}

/// The agent joins and opens a session.
async fn session(agent: &TestAgent) -> Watched {
    Watched::new(agent.connect().await)
}

/// A connection for many agents that stays open, whosever key ends: one session
/// of another key is on it.
struct Shared {
    channel: Channel,
    keeper: Watched,
}

impl Shared {
    async fn open(gateway: &Process, keeper: &str) -> Self {
        let channel = gateway.agent_channel().await;
        let keeper = session(&TestAgent::new(channel.clone(), keeper)).await;
        Self { channel, keeper }
    }

    fn agent(&self, key: &str) -> TestAgent {
        TestAgent::new(self.channel.clone(), key)
    }
}

/// Durations, as a row tells them.
struct Figures(Vec<Duration>);

impl Figures {
    fn of(mut all: Vec<Duration>) -> Self {
        all.sort();
        Self(all)
    }

    fn part(&self, of_100: usize) -> Duration {
        let last = self.0.len().saturating_sub(1);
        let at = (self.0.len() * of_100).div_ceil(100).saturating_sub(1);
        self.0.get(at.min(last)).copied().unwrap_or_default()
    }

    fn max(&self) -> Duration {
        self.0.last().copied().unwrap_or_default()
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = |d: Duration| d.as_secs_f64() * 1000.0;
        let (p50, p99) = (self.part(50), self.part(99));
        write!(
            f,
            "p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
            millis(p50),
            millis(p99),
            millis(self.max())
        )
    }
}

/// What was answered to an agent with a good key.
#[derive(Default)]
struct Answers {
    good: usize,
    ours: usize,
    /// UNAUTHENTICATED, or what agents take for it: must stay 0.
    false_ends: Vec<Status>,
    took: Vec<Duration>,
}

impl Answers {
    /// Joins again and again until told to stop.
    fn ask(agent: TestAgent, stop: tokio::sync::watch::Receiver<bool>) -> JoinHandle<Self> {
        tokio::spawn(async move {
            let mut answers = Self::default();
            while !*stop.borrow() {
                let asked = Instant::now();
                let answer = agent.join().await;
                answers.took.push(asked.elapsed());
                answers.note(answer.err());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            answers
        })
    }

    fn note(&mut self, refused: Option<Status>) {
        match refused {
            None => self.good += 1,
            Some(status) if status.code() == Code::Unavailable => self.ours += 1,
            Some(status) => self.false_ends.push(status),
        }
    }
}

/// How long until each gateway has heard from its store within `age`.
async fn heard_again(gateways: &[Process], age: Duration) -> Duration {
    let begun = Instant::now();
    for gateway in gateways {
        let hears = async || view_age(gateway).await < age;
        crate::support::eventually("contact to the store is back", hears).await;
    }
    begun.elapsed()
}

async fn view_age(gateway: &Process) -> Duration {
    Duration::from_secs_f64(gateway.metric("muster_view_age_seconds").await)
}

/// A revoke that may fail while a fault lasts.
async fn try_revoke(
    operator: &Operator,
    id: &str,
    wait: Duration,
) -> Result<pb::RevokeKeyResponse, Status> {
    let request = pb::RevokeKeyRequest {
        object_id: id.into(),
        wait: Some(wait.try_into().unwrap()),
    };
    let answer = operator.keys().revoke_key(request).await?;
    Ok(answer.into_inner())
}
