//! The audit trail: every change that an operator made or was refused.
//!
//! Owns: the records that wait for the store, which refusals are told one by
//! one. Must not know: gRPC, REST, what an action means.
//! Invariants: a record that could not be written waits, in order; nothing here
//! changes or drops one that is written, but for its age.

mod actor;
mod pending;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;

pub use actor::{Actor, Part};

use crate::keys::{Id, Timestamp};
use crate::store::{AuditPage, AuditStore, Deed, DeedResult, StoreClock, StoreError};
use crate::telemetry::Metrics;
use pending::Pending;

/// How long an answer waits for its record to be written.
const WRITE_WITHIN: Duration = Duration::from_secs(2);
/// Between two tries to write what the store did not take.
const RETRY: Duration = Duration::from_secs(1);
/// Between two looks for records that are too old.
const TRIM_EVERY: Duration = Duration::from_secs(3_600);
/// Records kept at most, whatever their age: with 200 bytes each they fit any
/// store, and a year has room for two a minute.
pub const MOST: u64 = 1_000_000;
/// Characters of a detail and of a reason.
const MAX_WORDS: usize = 512;
/// Records read from the store at once.
const STEP: usize = 500;
/// Records that one question looks through: with a filter that nothing passes
/// it must not read a whole store.
const LOOK_THROUGH: usize = 10_000;

/// Whose call it is, and how it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The token's id and name.
    pub actor: String,
    /// The peer's address.
    pub from: String,
    /// `grpc`, `rest` or `console`.
    pub door: &'static str,
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
    pub result: DeedResult,
    /// Why it did not go well.
    pub reason: Option<String>,
}

/// Which records are asked for. All that is given has to hold.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Part of the actor: a token's id or name.
    pub actor: Option<String>,
    /// The action, or what it is of: `key` for all of `key.…`.
    pub action: Option<String>,
    /// The target's id.
    pub target: Option<String>,
    /// Not older.
    pub since: Option<Timestamp>,
    /// How it went.
    pub result: Option<DeedResult>,
}

impl AuditFilter {
    fn takes(&self, deed: &Deed) -> bool {
        let is_of = |action: &String| {
            let rest = deed.action.strip_prefix(action.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.actor
            .as_ref()
            .is_none_or(|part| deed.actor.contains(part))
            && self.action.as_ref().is_none_or(is_of)
            && self
                .target
                .as_ref()
                .is_none_or(|id| deed.target.as_ref() == Some(id))
            && self.since.is_none_or(|since| deed.at >= since)
            && self.result.is_none_or(|result| deed.result == result)
    }
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
    writing: tokio::sync::Mutex<Writing>,
}

/// This writer's batches.
struct Writing {
    writer: Id,
    number: u64,
    /// Sent, and not known to be written: the same is sent again.
    sent: Option<Vec<Deed>>,
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
        let writer = Id::random().map_err(|error| StoreError::Failed(error.to_string()))?;
        Ok(Self {
            store,
            clock,
            gateway: gateway.to_owned(),
            keep,
            metrics,
            pending: Mutex::default(),
            noted: Notify::new(),
            writing: tokio::sync::Mutex::new(Writing {
                writer,
                number: 0,
                sent: None,
            }),
        })
    }

    /// Notes what was done, and comes back when it is written, or after 2 s: a
    /// store that is away must not hold up the answer. It is written when the
    /// store is back.
    pub async fn note(&self, origin: &Origin, action: Action) {
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
        if !self.pending().push(deed, tokio::time::Instant::now()) {
            return;
        }
        self.noted.notify_one();
        if !matches!(timeout(WRITE_WITHIN, self.write()).await, Ok(Ok(()))) {
            tracing::warn!("a record of the audit trail waits for the store");
        }
    }

    fn deed(&self, origin: &Origin, action: Action) -> Deed {
        Deed {
            at: self.clock.now(),
            actor: origin.actor.clone(),
            action: action.name.to_owned(),
            target: action.target,
            detail: bounded(action.detail),
            from: origin.from.clone(),
            door: origin.door.to_owned(),
            gateway: self.gateway.clone(),
            result: action.result,
            reason: action.reason.map(bounded),
        }
    }

    /// Writes what waits. May be dropped half way: what it began is then done
    /// the next time.
    ///
    /// # Errors
    /// [`StoreError`]; what was noted waits.
    pub async fn write(&self) -> Result<(), StoreError> {
        let mut writing = self.writing.lock().await;
        loop {
            let deeds = match &writing.sent {
                Some(deeds) => deeds.clone(),
                None => {
                    let deeds = self.pending().take(STEP);
                    if deeds.is_empty() {
                        break;
                    }
                    writing.number += 1;
                    writing.sent.insert(deeds).clone()
                }
            };
            let (writer, number) = (writing.writer, writing.number);
            self.store.append_audit(deeds, writer, number).await?;
            writing.sent = None;
        }
        let lost = self.pending().take_lost();
        if lost > 0 {
            self.metrics.audit_lost.inc_by(lost);
            tracing::error!(
                lost,
                "the store was away for too long: so many records of the audit trail are in this \
                 log alone"
            );
        }
        Ok(())
    }

    /// Writes what could not be written at once, and forgets what is too old,
    /// until `shutdown`; then once more.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let mut trim = interval(TRIM_EVERY);
        loop {
            tokio::select! {
                () = self.noted.notified() => {}
                _ = trim.tick() => {
                    let before = self.clock.now().saturating_sub(self.keep);
                    if let Err(error) = self.store.trim_audit(before, MOST).await {
                        tracing::warn!(%error, "the audit trail could not be trimmed");
                    }
                    continue;
                }
                () = shutdown.cancelled() => break,
            }
            while let Err(error) = self.write().await {
                tracing::warn!(%error, "the audit trail could not be written; trying again");
                tokio::select! {
                    () = tokio::time::sleep(RETRY) => {}
                    () = shutdown.cancelled() => break,
                }
            }
        }
        let _ = timeout(WRITE_WITHIN, self.write()).await;
    }

    /// At most `limit` records that pass the filter, the newest first, older
    /// than the one of the number `before`. Looks through 10,000 at most: there
    /// may be fewer than `limit`, even none, and older ones all the same.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn page(
        &self,
        filter: &AuditFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<AuditPage, StoreError> {
        let mut found = AuditPage {
            records: Vec::new(),
            next: before,
        };
        let mut looked = 0;
        loop {
            let page = self
                .store
                .audit_before(found.next, STEP.min(limit.max(1) * 4))
                .await?;
            looked += page.records.len().max(1);
            found.next = page.next;
            let mut records = page.records.into_iter();
            while let Some(record) = records.next() {
                // Older ones follow: the filter can't be passed any more.
                if filter.since.is_some_and(|since| record.deed.at < since) {
                    found.next = None;
                    return Ok(found);
                }
                if !filter.takes(&record.deed) {
                    continue;
                }
                let id = record.id;
                found.records.push(record);
                if found.records.len() == limit {
                    let is_end = records.next().is_none() && found.next.is_none();
                    found.next = (!is_end).then_some(id);
                    return Ok(found);
                }
            }
            if found.next.is_none() || looked >= LOOK_THROUGH {
                return Ok(found);
            }
        }
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bounded(mut words: String) -> String {
    if let Some((end, _)) = words.char_indices().nth(MAX_WORDS) {
        words.truncate(end);
    }
    words
}

#[cfg(test)]
mod tests;
