//! The contract for the audit trail: changes, their actors, times and origins.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::error::StoreError;
use crate::keys::{Id, Timestamp};

/// An operator's action. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When, on the store's clock.
    pub at: Timestamp,
    /// The actor: the token's id and name.
    pub actor: String,
    /// What: `key.revoke`.
    pub action: String,
    /// To what: an id. Absent where there is none, or it was not named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// In words: a name, what was set.
    #[serde(default)]
    pub detail: String,
    /// The peer's address.
    pub from: String,
    /// Over which interface: `grpc`, `rest`, `console`.
    pub door: String,
    /// The name of the gateway that did it.
    pub gateway: String,
    /// How it went.
    pub result: AuditResult,
    /// Why it did not go well, in the words that the caller got.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How an action went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditResult {
    /// Done.
    Ok,
    /// Refused: not allowed, against a rule, too late.
    Refused,
    /// A fault of muster: it was not done.
    Failed,
    /// A fault of muster: it may have been done all the same.
    Unknown,
}

impl AuditResult {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }

    /// By its word.
    pub fn parse(word: &str) -> Option<Self> {
        let all = [Self::Ok, Self::Refused, Self::Failed, Self::Unknown];
        all.into_iter().find(|result| result.as_str() == word)
    }
}

/// An action under its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// One up on each action.
    pub id: u64,
    /// When it was written, on the store's clock: after the action, and by much
    /// where the store was away. In the order of the numbers, as actions need not
    /// be.
    pub written_at: Timestamp,
    /// What was done.
    #[serde(flatten)]
    pub deed: AuditEntry,
}

/// A run of records, the newest first.
#[derive(Debug, Clone)]
pub struct AuditPage {
    /// In falling order of their numbers. A damaged one is left out.
    pub records: Vec<AuditRecord>,
    /// Where the next run begins, for `before`; `None`: there are no older ones.
    pub next: Option<u64>,
}

/// Keeps the audit trail of all gateways, in one order. There is no call that
/// changes a record.
#[async_trait]
pub trait AuditStore: Send + Sync + 'static {
    /// Gives entries the next numbers, without a hole, in one step with noting
    /// that the batch of that number by that writer is in: sent again, it is not
    /// appended again. Answers whether it was appended now.
    ///
    /// # Errors
    /// [`StoreError`]; whether it was done is not known then: send the same
    /// again.
    async fn append_audit(
        &self,
        deeds: Vec<AuditEntry>,
        writer: Id,
        number: u64,
    ) -> Result<bool, StoreError>;

    /// At most `limit` records older than the one of that number, or the newest.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn audit_before(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> Result<AuditPage, StoreError>;

    /// Forgets records from before that time, and all but the last `keep`; but
    /// never the newest, whose number is the counter.
    ///
    /// # Errors
    /// [`StoreError`]; some may be forgotten.
    async fn trim_audit(&self, before: Timestamp, keep: u64) -> Result<(), StoreError>;
}
