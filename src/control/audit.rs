//! The audit trail: every change that an operator made or was refused.
//!
//! Owns: the records that wait for the store, which refusals are recorded one by
//! one. Must not know: gRPC, REST, what an action means.
//! Invariants: a record that could not be written waits, in order; nothing here
//! changes or drops one that is written, but for its age.

mod actor;
mod pending;
mod query;
mod redact;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use actor::Actor;
pub(crate) use query::AuditFilter;

use crate::metrics::registry::Metrics;
use crate::store::{AuditEntry, AuditResult, AuditStore, BatchWriter, StoreClock, StoreError};
use pending::{AGAIN, Pending};
use redact::redact;

/// How long an answer waits for its record to be written.
const WRITE_WITHIN: Duration = Duration::from_secs(2);
/// Between two tries to write what the store did not take.
const RETRY: Duration = Duration::from_secs(1);
/// Between two looks for records that are too old.
const TRIM_EVERY: Duration = Duration::from_secs(3_600);
/// Records kept at most, whatever their age: with 300 bytes each they fit any
/// store, and a year has room for two a minute.
pub const MOST: u64 = 1_000_000;
/// Records written or read in one step.
const STEP: usize = 500;
/// The action of signing in at the console.
pub const SIGN_IN: &str = "sign_in";

/// Whose call it is, and how it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The token's id and name.
    pub actor: String,
    /// The peer's address.
    pub from: String,
    /// `grpc`, `rest` or `console`; `restart` of what was taken up again.
    pub door: &'static str,
}

impl Origin {
    /// Of what an earlier process of this gateway left undone.
    pub fn left_by(actor: &str) -> Self {
        Self {
            actor: actor.to_owned(),
            from: String::new(),
            door: "restart",
        }
    }
}

/// What was done, or was to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// For example `key.revoke`.
    pub name: &'static str,
    /// An id, if there is one.
    pub target: Option<String>,
    /// In words: a name, what was set. Never a secret.
    pub detail: String,
    /// How it went.
    pub result: AuditResult,
    /// Why it did not go well.
    pub reason: Option<String>,
}

/// The audit trail of a store.
pub struct Audit {
    store: Arc<dyn AuditStore>,
    clock: StoreClock,
    gateway: String,
    keep: Duration,
    metrics: Arc<Metrics>,
    pending: Mutex<Pending>,
    noted: Notify,
    /// Held while records go to the store, so that they go in order.
    writing: tokio::sync::Mutex<BatchWriter<AuditEntry>>,
    /// Calls that are to be noted.
    calls: TaskTracker,
}

impl Audit {
    /// The trail of `store`, whose records are forgotten after `keep`; `gateway`
    /// is the name of the one that notes.
    ///
    /// # Errors
    /// [`StoreError::Failed`]: there are no random numbers.
    pub fn new(
        store: Arc<dyn AuditStore>,
        clock: StoreClock,
        gateway: &str,
        keep: Duration,
        metrics: Arc<Metrics>,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            store,
            clock,
            gateway: gateway.to_owned(),
            keep,
            metrics,
            pending: Mutex::default(),
            noted: Notify::new(),
            writing: tokio::sync::Mutex::new(BatchWriter::new()?),
            calls: TaskTracker::new(),
        })
    }

    /// Takes a call to its end, also when its caller hangs up: else the caller
    /// could change something and leave no record.
    pub async fn to_the_end<T: Send + 'static>(
        &self,
        call: impl Future<Output = T> + Send + 'static,
    ) -> T {
        match self.calls.spawn(call).await {
            Ok(answer) => answer,
            Err(lost) => match lost.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The process stops, and this task with it.
                Err(_) => std::future::pending().await,
            },
        }
    }

    /// Notes what one call did, and comes back when it is written, or after 2 s:
    /// a store that is away must not hold up the answer. It is written when the
    /// store is back.
    pub async fn note(&self, origin: &Origin, actions: Vec<Action>) {
        let mut is_new = false;
        for action in actions {
            is_new |= self.queue(origin, action);
        }
        if is_new && !matches!(timeout(WRITE_WITHIN, self.write()).await, Ok(Ok(()))) {
            tracing::warn!("a record of the audit trail waits for the store");
        }
    }

    /// Records a console sign-in, or why it was refused. Use one shared actor for
    /// unknown callers; each distinct actor gets its own records.
    pub async fn sign_in(&self, from: String, actor: String, reason: Option<String>) {
        let origin = Origin {
            actor,
            from,
            door: "console",
        };
        let action = Action {
            name: SIGN_IN,
            target: None,
            detail: String::new(),
            result: match reason {
                None => AuditResult::Ok,
                Some(_) => AuditResult::Refused,
            },
            reason,
        };
        self.note(&origin, vec![action]).await;
    }

    /// Notes what was done, for the next write. Does not wait. `false`: it is
    /// one of many alike, and counted.
    pub fn queue(&self, origin: &Origin, action: Action) -> bool {
        let deed = self.deed(origin, action);
        tracing::info!(
            target: "muster::audit",
            actor = %deed.actor,
            action = %deed.action,
            target = deed.target.as_deref().unwrap_or(""),
            detail = %deed.detail,
            from = %deed.from,
            door = %deed.door,
            result = deed.result.as_str(),
            reason = deed.reason.as_deref().unwrap_or(""),
            "audit"
        );
        let is_new = self.pending.lock().push(deed, Instant::now());
        self.count_lost();
        if is_new {
            self.noted.notify_one();
        }
        is_new
    }

    fn deed(&self, origin: &Origin, action: Action) -> AuditEntry {
        AuditEntry {
            at: self.clock.now(),
            actor: origin.actor.clone(),
            action: action.name.to_owned(),
            target: action.target.as_deref().map(redact),
            detail: redact(&action.detail),
            from: origin.from.clone(),
            door: origin.door.to_owned(),
            gateway: self.gateway.clone(),
            result: action.result,
            reason: action.reason.as_deref().map(redact),
        }
    }

    /// Writes what waits. May be dropped half way: what it began is then done
    /// the next time.
    ///
    /// # Errors
    /// [`StoreError`]; what was noted waits.
    pub async fn write(&self) -> Result<(), StoreError> {
        let mut writing = self.writing.lock().await;
        let take = || self.pending.lock().take(STEP);
        let written = writing.write(take, |entries, writer, number| {
            self.store.append_audit(entries, writer, number)
        });
        written.await
    }

    fn count_lost(&self) {
        let lost = self.pending.lock().take_lost();
        if lost > 0 {
            self.metrics.audit_lost.inc_by(lost);
            tracing::error!(
                lost,
                "the store is unreachable for too long: these records of the audit trail are only in \
                 this log"
            );
        }
    }

    /// Writes what could not be written at once, and forgets what is too old,
    /// until `shutdown`; then once more.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let mut trim = interval(TRIM_EVERY);
        let mut settle = interval(AGAIN);
        let mut is_behind = false;
        loop {
            tokio::select! {
                () = self.noted.notified() => {}
                () = tokio::time::sleep(RETRY), if is_behind => {}
                _ = settle.tick() => self.pending.lock().settle_until(Instant::now()),
                _ = trim.tick() => {
                    let before = self.clock.now().saturating_sub(self.keep);
                    if let Err(error) = self.store.trim_audit(before, MOST).await {
                        tracing::warn!(%error, "the audit trail could not be trimmed");
                    }
                    continue;
                }
                () = shutdown.cancelled() => break,
            }
            let done = self.write().await;
            if let Err(error) = &done
                && !is_behind
            {
                tracing::warn!(%error, "the audit trail could not be written; retrying");
            }
            is_behind = done.is_err();
        }
        // Calls that outlived their connections are waited for.
        self.calls.close();
        let _ = timeout(WRITE_WITHIN, self.calls.wait()).await;
        self.pending.lock().settle_all();
        if !matches!(timeout(WRITE_WITHIN, self.write()).await, Ok(Ok(()))) {
            tracing::error!("the last records of the audit trail are only in this log");
        }
    }
}

#[cfg(test)]
mod tests;
