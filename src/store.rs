//! The seam to where keys are kept: traits, what passes through them, errors.
//!
//! Owns: the contract that every backend keeps, proven by one test suite.
//! Must not know: any backend, gRPC, sessions.
//! Invariant: each change of any key raises the revision by one and enters the
//! feed in the same atomic step; order comes from revisions, never from clocks.

mod audit;
mod batches;
mod claims;
mod clock;
mod codec;
pub mod embedded;
mod error;
mod events;
mod feed;
mod gateways;
mod key_changes;
mod keys;
mod presence;
pub mod redis;
mod registration_rows;
mod registrations;
pub(crate) mod scan;
mod settings;
mod token_changes;
mod tokens;

pub(crate) use audit::AuditRecord;
pub use audit::{AuditEntry, AuditPage, AuditResult, AuditStore};
pub(crate) use batches::BatchWriter;
pub use claims::ClaimStore;
#[cfg(test)]
pub(crate) use clock::fake::FakeHost;
pub use clock::{HostClock, Moment, StoreClock, SystemClock};
pub use error::StoreError;
pub use events::{AppendOnce, Event, EventKind, EventPage, EventStore, NewEvent};
pub use feed::{Change, Feed, KeyChange};
pub(crate) use gateways::Bound;
pub use gateways::{
    Enrolled, GatewayId, GatewayInfo, GatewayStore, Heartbeat, Outcome, Reach, Standing,
};
pub(crate) use keys::Durability;
pub use keys::{
    ChangeError, KeyCursor, KeyEdit, KeyPage, KeyStore, Loaded, LoadedKeys, Lookup, Marker, NewKey,
    Written,
};
pub(crate) use presence::PresenceRow;
pub use presence::{PresenceList, PresenceStore, PresenceUpdate, PublishedList};
pub(crate) use registrations::AgentNews;
pub use registrations::{
    AgentRecord, Health, InstanceBatch, InstanceCursor, InstanceNews, InstanceRecord,
    InstanceStore, Registration,
};
pub use settings::SettingStore;
pub use tokens::{Role, TokenChangeError, TokenCursor, TokenPage, TokenRecord, TokenStore};

/// Keys, the feed of their changes, and the gateways that follow it.
pub trait FeedStore: KeyStore + GatewayStore {}

impl<S: KeyStore + GatewayStore + ?Sized> FeedStore for S {}

/// All that a gateway needs of a backend.
pub trait Store:
    FeedStore
    + InstanceStore
    + EventStore
    + TokenStore
    + ClaimStore
    + PresenceStore
    + AuditStore
    + SettingStore
{
}

impl<S> Store for S where
    S: FeedStore
        + InstanceStore
        + EventStore
        + TokenStore
        + ClaimStore
        + PresenceStore
        + AuditStore
        + SettingStore
{
}
