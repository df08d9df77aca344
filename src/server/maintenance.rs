//! What is done to a store as a whole, past any gateway: look whether it is
//! sound, put it in the place of a lost one, copy it to where it can grow, set
//! its clock right.
//!
//! Owns: which backend that means for a configuration, what may go wrong. Must
//! not know: the command line. Invariant: no gateway's work is needed for it,
//! and none is hindered but where that is said.

mod adopt;
mod check;
mod clock;
mod compact;
mod copy;
mod error;

pub use crate::store::embedded::Clocks;
pub(crate) use crate::store::redis::AdoptionState;
pub use adopt::look;
pub(crate) use adopt::{Adopted, Adoption, AdoptionCheck, TokenFate};
pub(crate) use check::{Counts, Finding};
pub use check::{Report, check};
pub use clock::{accept_clock, clocks};
pub use compact::compact;
pub use copy::{Copied, copy};
pub(crate) use error::MaintenanceError;
