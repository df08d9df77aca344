//! The seam to where keys are kept: traits, what passes through them, errors.
//!
//! Owns: the contract that every backend keeps, proven by one test suite.
//! Must not know: any backend, gRPC, sessions.
//! Invariant: each change of any key raises the revision by one and enters the
//! feed in the same atomic step; order comes from revisions, never from clocks.

mod audit_store;
mod boards;
mod changes;
mod claims;
mod clock;
mod codec;
pub mod embedded;
mod event_store;
mod gateway;
mod instance_rows;
mod instance_store;
mod key_store;
pub mod redis;
mod setting_store;
pub mod survey;
mod token_changes;
mod token_store;

pub use audit_store::{AuditPage, AuditRecord, AuditStore, Deed, DeedResult};
pub use boards::{Board, BoardRow, BoardStore, BoardUpdate, Shown};
pub use claims::ClaimStore;
pub use clock::StoreClock;
pub use event_store::{AppendOnce, Event, EventKind, EventPage, EventStore, NewEvent};
pub use gateway::{Bound, Enrolled, GatewayId, GatewayInfo, Heartbeat, Outcome, Standing};
pub use instance_store::{
    AgentNews, AgentRecord, Health, InstanceBatch, InstanceCursor, InstanceNews, InstanceRecord,
    InstanceStore, Registration,
};
pub use key_store::{
    Change, ChangeError, Durability, Feed, KeyChange, KeyCursor, KeyEdit, KeyPage, KeyStore,
    Loaded, Lookup, NewKey, StoreError, Written,
};
pub use setting_store::SettingStore;
pub use token_store::{Role, TokenChangeError, TokenCursor, TokenPage, TokenRecord, TokenStore};

/// All that a gateway needs of a backend.
pub trait Store:
    KeyStore
    + InstanceStore
    + EventStore
    + TokenStore
    + ClaimStore
    + BoardStore
    + AuditStore
    + SettingStore
{
}

impl<S> Store for S where
    S: KeyStore
        + InstanceStore
        + EventStore
        + TokenStore
        + ClaimStore
        + BoardStore
        + AuditStore
        + SettingStore
{
}
