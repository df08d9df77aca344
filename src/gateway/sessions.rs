//! Live sessions, and the gate that each key's sessions pass.
//!
//! Owns: the one point where admits and changes of a key meet. Must not know:
//! gRPC, stores' backends, how a stream or a socket is closed.
//! Invariant: once a key's end is applied, no session of it is live and none
//! gets in; either a session is in the set that the end drains, or it meets the
//! ended gate.

mod deadlines;
mod ends;
mod expiry;
mod gate;
mod guard;
mod held_call;
mod index;
mod queries;
mod registry;
mod session;
mod stale_store;
#[cfg(test)]
mod tests;

pub(crate) use expiry::ExpiryTimers;
pub use gate::KnownBy;
pub(crate) use gate::{AdmitError, KeyEnd};
pub use guard::SessionGuard;
pub use held_call::HeldCall;
pub use registry::{Registry, RegistryOptions};
pub use session::{CloseConnection, Scope, SessionInfo};
pub(crate) use session::{EndReason, EndedSessions, SessionId, SessionView};
pub(crate) use stale_store::StaleWatch;
