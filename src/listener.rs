//! The accept loop of the TLS listeners.

mod limits;

pub use limits::Limits;
