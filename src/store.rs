//! The seam to where keys are kept: traits, what passes through them, errors.
//!
//! Owns: the contract that every backend keeps, proven by one test suite.
//! Must not know: any backend, gRPC, sessions.
//! Invariant: each change of any key raises the revision by one and enters the
//! feed in the same atomic step; order comes from revisions, never from clocks.

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
mod token_changes;
mod token_store;

pub use claims::ClaimStore;
pub use clock::StoreClock;
pub use event_store::{Event, EventKind, EventLog, EventStore};
pub use gateway::{Enrolled, GatewayId, GatewayInfo, Heartbeat, Outcome};
pub use instance_store::{
    AgentRecord, Health, InstanceBatch, InstanceRecord, InstanceStore, Registration,
};
pub use key_store::{
    Change, ChangeError, Durability, Feed, KeyChange, KeyCursor, KeyEdit, KeyPage, KeyStore,
    Loaded, Lookup, NewKey, StoreError, Written,
};
pub use token_store::{Role, TokenChangeError, TokenCursor, TokenPage, TokenRecord, TokenStore};

/// All that a gateway needs of a backend.
pub trait Store: KeyStore + InstanceStore + EventStore + TokenStore + ClaimStore {}

impl<S: KeyStore + InstanceStore + EventStore + TokenStore + ClaimStore> Store for S {}
