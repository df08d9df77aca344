//! The embedded store: one redb file, or its in-memory twin for tests.
//!
//! Owns: the file, its lock, the set of gateways (here: the one process that
//! holds the lock). Must not know: sessions, gRPC.
//! Invariants: time never goes back, across restarts either (latest_time.rs); a
//! change is on the disk (fsync) before its call returns.

mod audit;
mod claims;
mod compaction;
mod database;
#[cfg(test)]
mod disk_test;
mod events;
mod file;
mod gateways;
mod host_clock;
mod keys;
mod latest_time;
mod open;
mod overlay;
mod place;
mod presence;
mod registrations;
mod scan;
mod schema;
mod sequence;
mod settings;
#[cfg(test)]
mod time_test;
mod tokens;
mod tombstones;
mod transaction;

pub use compaction::{Compacted, compact};
pub use database::EmbeddedStore;
pub use host_clock::{Clocks, accept_host_clock, clocks};
pub use open::DISK_DEADLINE;
pub(crate) use open::OpenError;
pub use scan::{hold, scan};
