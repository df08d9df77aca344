//! Data plane keys: what a key is, what a credential looks like, the rules of a
//! key's life.
//!
//! Owns: ids, secrets, digests, records, revisions, the rules for names and
//! expiries. Must not know: stores, networks, time sources, gRPC. No I/O here.
//! Invariant: a secret can be made and handed out once, but never printed.

mod credential;
mod id;
mod record;
mod rules;
mod timestamp;

pub(crate) use credential::{CredentialError, PresentedToken};
pub use credential::{Kind, PresentedKey, bare, mint};
pub(crate) use id::{Digest, ParseIdError};
pub use id::{Id, KeyId, TokenId};
pub use record::{Epoch, KeyRecord, KeyStatus, Position, Revision};
pub(crate) use rules::{
    DEFAULT_NAMESPACE, RuleError, check_expiry, check_future, check_name, latest_expiry,
};
pub use timestamp::Timestamp;
pub(crate) use timestamp::TimestampError;
