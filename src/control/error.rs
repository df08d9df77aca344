//! The kind of an administrative error, from which each protocol's code follows.

use crate::keys::RuleError;
use crate::store::{ChangeError, StoreError, TokenChangeError};

/// What kind of error an operator's call ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// A field breaks a rule.
    Invalid,
    /// There is no good admin token.
    Unauthenticated,
    /// The token's role, or the request's origin, does not allow the call.
    Forbidden,
    /// There is no such thing.
    NotFound,
    /// The change comes too late: what it is about has ended for good.
    TooLate,
    /// The state of the thing does not allow the call yet.
    Conflict,
    /// Another caller changed the thing since this one read it.
    Changed,
    /// The store or the gateway failed; it may pass.
    Unavailable,
}

/// An error that an operator gets to see.
pub trait AdminError: std::error::Error {
    /// Its kind.
    fn kind(&self) -> ErrorKind;
}

impl AdminError for StoreError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Unavailable
    }
}

impl AdminError for RuleError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

impl AdminError for ChangeError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound(_) => ErrorKind::NotFound,
            Self::Revoked(_) | Self::Expired { .. } => ErrorKind::TooLate,
            Self::StillValid(_) => ErrorKind::Conflict,
            Self::RevisionMismatch { .. } => ErrorKind::Changed,
            Self::Rule(error) => error.kind(),
            Self::Store(error) => error.kind(),
        }
    }
}

impl AdminError for TokenChangeError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound(_) => ErrorKind::NotFound,
            Self::LastAdmin(_) => ErrorKind::Conflict,
            Self::Store(error) => error.kind(),
        }
    }
}

/// Why a key or a token was not created, as far as is known.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CreateError {
    /// The write may or may not have happened.
    #[error("outcome unknown: if {id} exists, revoke it and create again ({cause})")]
    Unknown {
        /// The id that it has, if it exists.
        id: String,
        /// What the store said.
        cause: StoreError,
    },
    /// Surely nothing was written.
    #[error("not created: {0}; try again")]
    NotCreated(StoreError),
    /// There are no random numbers to make a secret of.
    #[error("no random numbers from the operating system: {0}")]
    NoRandomness(String),
}

impl AdminError for CreateError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Unavailable
    }
}
