//! One simulated agent's life, as a real one's was measured.
//!
//! Owns: the order of its calls, when it tries again. Must not know: what a
//! scenario is after: it reports what happened, and leaves when asked to.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::{Instant, sleep};
use tonic::Code;

use super::connection::{Connection, Fault, Key, Subscription};
use super::harness::Harness;
use super::identity::Identity;
use super::retry::Waits;

/// From its session's begin to its first word on health.
const FIRST_HEALTH: Duration = Duration::from_secs(5);

/// Something that happened to an agent.
#[derive(Debug)]
pub(super) struct Happening {
    pub number: u64,
    pub at: Instant,
    pub what: What,
}

/// What happened.
#[derive(Debug)]
pub(super) enum What {
    Began,
    /// It ended: by the gateway or with the connection, not by the agent.
    Ended(Fault),
    /// A try to get in failed.
    Refused(Fault),
    /// The gateway will not have it, and it tries no more.
    GaveUp,
}

/// An agent to be.
pub(super) struct Agent {
    pub number: u64,
    pub key: Key,
    /// Notified: close the connection, and come back as after a lost one.
    pub cut: Arc<Notify>,
    /// Whether it tries again when its session has ended.
    pub retries: bool,
    /// Held until it is in for the first time, or not: how many come at once.
    pub turn: Option<OwnedSemaphorePermit>,
}

impl Agent {
    /// Lives until it is aborted, or gives up.
    pub async fn live(mut self, harness: Arc<Harness>, told: UnboundedSender<Happening>) {
        let tell = |what| {
            let _ = told.send(Happening {
                number: self.number,
                at: Instant::now(),
                what,
            });
        };
        let mut waits = self.waits(&harness);
        let mut line: Option<Connection> = None;
        let mut was_in = false;
        loop {
            match self.enter(&harness, &mut line, was_in).await {
                Ok(subscription) => {
                    drop(self.turn.take());
                    was_in = true;
                    harness.recorder.session(1);
                    tell(What::Began);
                    let ended = self.stay(&harness, line.as_ref(), subscription).await;
                    harness.recorder.session(-1);
                    match ended {
                        Some(fault) => tell(What::Ended(fault)),
                        None => {
                            line = None;
                            tell(What::Ended(Fault::Call(Code::Cancelled)));
                        }
                    }
                    if !self.retries {
                        // With its connection open, as a real one waits.
                        std::future::pending::<()>().await;
                    }
                    waits = self.waits(&harness);
                }
                Err(fault) => {
                    // One that never was in takes a permanent code for final.
                    let over = !was_in && is_permanent(&fault);
                    drop(self.turn.take());
                    tell(What::Refused(fault));
                    if over {
                        tell(What::GaveUp);
                        return;
                    }
                }
            }
            if line.as_ref().is_some_and(Connection::is_broken) {
                line = None;
            }
            sleep(waits.next()).await;
        }
    }

    fn waits(&self, harness: &Harness) -> Waits {
        Waits::new(harness.seed ^ self.number.rotate_left(32))
    }

    /// CreateConnection and Subscribe, on the line that there is or a new one.
    async fn enter(
        &self,
        harness: &Harness,
        line: &mut Option<Connection>,
        was_in: bool,
    ) -> Result<Subscription, Fault> {
        let who = Identity::of(harness.seed, self.number);
        let since = Instant::now();
        let open = match line {
            Some(open) => open,
            None => {
                let dialled = harness.dial(self.number).await;
                if let Err(fault) = &dialled {
                    harness.recorder.done("join", since, Err(fault));
                }
                line.insert(dialled?)
            }
        };
        let joined = open.join(&who, &self.key).await;
        harness
            .recorder
            .done("join", since, joined.as_ref().copied());
        if let Err(fault) = joined {
            if was_in {
                // A real one sends both, and is refused twice.
                let _ = open.subscribe(&who, &self.key).await;
            }
            return Err(fault);
        }
        let since = Instant::now();
        let begun = open.subscribe(&who, &self.key).await;
        harness
            .recorder
            .done("subscribe", since, begun.as_ref().map(drop));
        begun
    }

    /// Until the session ends (why), or the agent is to cut it (`None`).
    async fn stay(
        &self,
        harness: &Harness,
        line: Option<&Connection>,
        mut subscription: Subscription,
    ) -> Option<Fault> {
        let health = async {
            let who = Identity::of(harness.seed, self.number);
            sleep(FIRST_HEALTH).await;
            loop {
                let Some(line) = line else { return };
                let since = Instant::now();
                let said = line.health(&who, &self.key).await;
                harness.recorder.done("health", since, said);
                sleep(harness.health_every).await;
            }
        };
        let end = async {
            loop {
                match subscription.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => return Fault::Call(Code::Ok),
                    Err(status) => return status.into(),
                }
            }
        };
        tokio::pin!(end);
        tokio::select! {
            fault = &mut end => return Some(fault),
            () = self.cut.notified() => return None,
            () = health => {}
        }
        Some(end.await)
    }
}

/// grpc.go of the real agent: these are taken for final.
fn is_permanent(fault: &Fault) -> bool {
    matches!(
        fault,
        Fault::Call(
            Code::InvalidArgument
                | Code::Unimplemented
                | Code::Cancelled
                | Code::NotFound
                | Code::AlreadyExists
                | Code::PermissionDenied
                | Code::Unauthenticated
        )
    )
}
