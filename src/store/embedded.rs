//! The embedded store: one redb file, or its in-memory twin for tests.
//!
//! Owns: the file, its lock, the set of gateways (here: the one process that
//! holds the lock). Must not know: sessions, gRPC.
//! Invariant: a change is on the disk (fsync) before its call returns.

mod audit;
mod claims;
mod database;
mod events;
mod gateways;
mod keys;
mod open;
mod presence;
mod registrations;
mod scan;
mod schema;
mod sequence;
mod settings;
mod tokens;
mod tombstones;

pub use database::EmbeddedStore;
pub(crate) use open::OpenError;
pub use scan::{hold, scan};
