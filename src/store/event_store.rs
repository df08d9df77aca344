//! The contract for events: what operators may ask about afterwards.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::key_store::StoreError;
use crate::keys::{KeyId, Timestamp};

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
    /// In words: a reason, an address, who did it. Never a secret.
    pub detail: String,
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
    /// Two agents of one id fight for their session.
    DuplicateAgent,
    /// An agent that was gone for too long was forgotten.
    AgentForgotten,
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
    /// The store had lost the end of a key: written again.
    RevokeReasserted,
    /// The store began a new history: changes may be lost.
    StoreNewHistory,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 17] = [
        Self::AgentJoined,
        Self::Rejected,
        Self::SessionOpened,
        Self::SessionClosed,
        Self::AgentChangedKey,
        Self::IdentityConflict,
        Self::DuplicateAgent,
        Self::AgentForgotten,
        Self::KeyNearlyFull,
        Self::KeyCreated,
        Self::KeyEdited,
        Self::KeyRevoked,
        Self::KeyDeleted,
        Self::KeyExpired,
        Self::KeyLost,
        Self::RevokeReasserted,
        Self::StoreNewHistory,
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
            Self::KeyNearlyFull => "key_nearly_full",
            Self::KeyCreated => "key_created",
            Self::KeyEdited => "key_edited",
            Self::KeyRevoked => "key_revoked",
            Self::KeyDeleted => "key_deleted",
            Self::KeyExpired => "key_expired",
            Self::KeyLost => "key_lost",
            Self::RevokeReasserted => "revoke_reasserted",
            Self::StoreNewHistory => "store_new_history",
        }
    }
}

/// What a store keeps of events.
#[derive(Debug, Clone, Default)]
pub struct EventLog {
    /// In order; the newest last.
    pub events: Vec<Event>,
    /// Keys that expired up to here have had their event.
    pub expiries_until: Option<Timestamp>,
}

/// Keeps the last events.
#[async_trait]
pub trait EventStore: Send + Sync + 'static {
    /// All that is kept.
    ///
    /// # Errors
    /// [`StoreError`]. A damaged event is left out.
    async fn events(&self) -> Result<EventLog, StoreError>;

    /// Adds events, in one step with how far expiries are told, and drops all
    /// but the last `keep`.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing is changed.
    async fn save_events(&self, log: EventLog, keep: u64) -> Result<(), StoreError>;
}
