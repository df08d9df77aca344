//! The contract for events: what operators may ask about afterwards.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::error::StoreError;
use crate::keys::{Epoch, Id, KeyId, Timestamp};

/// Something that happened. Numbered in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// One up on each event.
    pub id: u64,
    /// When, on the store's clock.
    pub at: Timestamp,
    /// What.
    pub kind: EventKind,
    /// The key that it is about.
    pub key: Option<KeyId>,
    /// The agent that it is about. Self-declared.
    pub agent: Option<Uuid>,
    /// In words: a reason, an address, an actor. Never a secret.
    pub detail: String,
    /// The name of the gateway that noted it; empty in rows that an older
    /// version wrote.
    #[serde(default)]
    pub gateway: String,
}

/// An event that the store has not numbered yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// When, on the store's clock.
    pub at: Timestamp,
    /// What.
    pub kind: EventKind,
    /// The key that it is about.
    pub key: Option<KeyId>,
    /// The agent that it is about. Self-declared.
    pub agent: Option<Uuid>,
    /// In words. Never a secret.
    pub detail: String,
    /// The name of the gateway that noted it.
    pub gateway: String,
}

impl NewEvent {
    /// The event under its number.
    pub fn numbered(self, id: u64) -> Event {
        Event {
            id,
            at: self.at,
            kind: self.kind,
            key: self.key,
            agent: self.agent,
            detail: self.detail,
            gateway: self.gateway,
        }
    }
}

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// An agent introduced itself and was accepted.
    AgentJoined,
    /// Calls were refused for a reason that is new for their key, agent and
    /// address.
    Rejected,
    /// A session was opened.
    SessionOpened,
    /// A session was closed.
    SessionClosed,
    /// An agent joined with another key than the last time.
    AgentChangedKey,
    /// Such an agent is still live under the old key, too.
    IdentityConflict,
    /// Two agents of one id replace each other's session.
    DuplicateAgent,
    /// An agent that was gone for too long was forgotten.
    AgentForgotten,
    /// An operator had an NGINX instance forgotten.
    InstanceDeleted,
    /// A key has 80 % of the agents it may have.
    KeyNearlyFull,
    /// A key was created.
    KeyCreated,
    /// A key was edited.
    KeyEdited,
    /// A key was revoked.
    KeyRevoked,
    /// A key was deleted.
    KeyDeleted,
    /// A key expired.
    KeyExpired,
    /// The store lacks a key that a gateway knows.
    KeyLost,
    /// A key can't be read from the store.
    KeyUnreadable,
    /// The store had lost the end of a key: written again.
    RevokeReasserted,
    /// The store began a new history: changes may be lost.
    StoreNewHistory,
    /// The store takes no writes, or may lose changes, until somebody acts.
    StoreNeedsOperator,
    /// It takes writes again, and loses none.
    StoreWell,
    /// The disk of the embedded store has little free space.
    DiskLow,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 22] = [
        Self::AgentJoined,
        Self::Rejected,
        Self::SessionOpened,
        Self::SessionClosed,
        Self::AgentChangedKey,
        Self::IdentityConflict,
        Self::DuplicateAgent,
        Self::AgentForgotten,
        Self::InstanceDeleted,
        Self::KeyNearlyFull,
        Self::KeyCreated,
        Self::KeyEdited,
        Self::KeyRevoked,
        Self::KeyDeleted,
        Self::KeyExpired,
        Self::KeyLost,
        Self::KeyUnreadable,
        Self::RevokeReasserted,
        Self::StoreNewHistory,
        Self::StoreNeedsOperator,
        Self::StoreWell,
        Self::DiskLow,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AgentJoined => "agent_joined",
            Self::Rejected => "rejected",
            Self::SessionOpened => "session_opened",
            Self::SessionClosed => "session_closed",
            Self::AgentChangedKey => "agent_changed_key",
            Self::IdentityConflict => "identity_conflict",
            Self::DuplicateAgent => "duplicate_agent",
            Self::AgentForgotten => "agent_forgotten",
            Self::InstanceDeleted => "instance_deleted",
            Self::KeyNearlyFull => "key_nearly_full",
            Self::KeyCreated => "key_created",
            Self::KeyEdited => "key_edited",
            Self::KeyRevoked => "key_revoked",
            Self::KeyDeleted => "key_deleted",
            Self::KeyExpired => "key_expired",
            Self::KeyLost => "key_lost",
            Self::KeyUnreadable => "key_unreadable",
            Self::StoreNeedsOperator => "store_needs_operator",
            Self::StoreWell => "store_well",
            Self::DiskLow => "disk_low",
            Self::RevokeReasserted => "revoke_reasserted",
            Self::StoreNewHistory => "store_new_history",
        }
    }
}

/// By what the store sees that events are appended once, however often they are
/// sent: an answer may get lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendOnce {
    /// The batch of that number by that writer, which counts from 1.
    Batch {
        /// Random, new at each start.
        writer: Id,
        /// One up on each batch.
        number: u64,
    },
    /// Keys that expired up to `from` have had their event, and after this
    /// step those up to `until`. `None`: the store has none yet.
    Expiries {
        /// As read before the look for expired keys.
        from: Option<Timestamp>,
        /// When it looked.
        until: Timestamp,
    },
}

/// A run of events, and where the store is.
#[derive(Debug, Clone)]
pub struct EventPage {
    /// The history that the ids belong to.
    pub epoch: Epoch,
    /// In order of their ids.
    pub events: Vec<Event>,
    /// All kept events up to here were given by this page or the ones before.
    pub upto: u64,
    /// The id of the newest event in the store.
    pub last: u64,
}

/// Keeps the last events of all gateways, in one order.
#[async_trait]
pub trait EventStore: Send + Sync + 'static {
    /// Gives events the next numbers, without a hole, in one step with what
    /// `once` says, and drops all but the last `keep`. Answers whether that was
    /// done: not if `once` shows that it was before, or that another gateway
    /// was first.
    ///
    /// # Errors
    /// [`StoreError`]; whether it was done is not known then: send the same
    /// again.
    async fn append_events(
        &self,
        events: Vec<NewEvent>,
        once: AppendOnce,
        keep: u64,
    ) -> Result<bool, StoreError>;

    /// At most `limit` events after the one of that id, in order.
    ///
    /// # Errors
    /// [`StoreError`]. A damaged event is left out.
    async fn events_after(&self, after: u64, limit: usize) -> Result<EventPage, StoreError>;

    /// Keys that expired up to here have had their event; `None` in a new store.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn expiries_until(&self) -> Result<Option<Timestamp>, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_from_before_gateways_were_noted_is_read() {
        let old = r#"{"id":7,"at":1,"kind":"key_created","key":null,"agent":null,"detail":"d"}"#;
        let event: Event = serde_json::from_str(old).unwrap();
        assert_eq!((event.id, event.gateway.as_str()), (7, ""));
    }
}
