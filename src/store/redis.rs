//! The store that several gateways share: one Redis master.
//!
//! Owns: this process's connections and what it knows of the store (its id, the
//! greatest revision seen). Must not know: sessions, gRPC.
//! Invariants: everything is read and written by one script, which checks the
//! store's identity and history in the same atomic step; an answer that does not
//! come in time is an error, and its connection is not used again.

mod adopt;
mod audit;
mod claims;
mod connection;
mod copy;
mod error;
mod events;
mod feed;
mod gateway_rows;
mod gateways;
mod info;
mod keys;
mod markers;
mod memory;
mod open;
mod options;
mod presence;
mod registration_feed;
mod registrations;
mod replicas;
mod scan;
mod schema;
mod script;
mod sentinel;
mod sequence;
mod settings;
mod shared;
mod tokens;
mod unscripted;
mod url;

pub(crate) use adopt::AdoptionState;
pub(crate) use copy::CopyEnd;
pub use copy::CopyTarget;
pub use error::RedisOpenError;
pub use options::RedisOptions;
pub use scan::scan;
pub use shared::RedisStore;
pub use url::RedisUrl;
