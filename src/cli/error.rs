//! Why a command ends without success, and with which exit code.
//!
//! Invariant: no secret gets into a message; text from elsewhere (a gateway's
//! message, a name) has its control characters escaped.

use std::io;

use crate::server::config::ConfigError;
use crate::server::maintenance::MaintenanceError;
use crate::server::{ServeError, StartError};

/// Why a command did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// Typed wrongly; exit code 2.
    #[error("{0}")]
    Usage(String),
    /// The configuration of `serve` is wrong; exit code 2.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The gateway could not start; exit code 1.
    #[error("muster could not start: {}", with_causes(.0))]
    Start(#[from] StartError),
    /// The gateway stopped by itself; exit code 1.
    #[error("muster stopped: {}", with_causes(.0))]
    Serve(#[from] ServeError),
    /// Refused or failed, in words; exit code 1.
    #[error("{0}")]
    Refused(String),
    /// A store could not be looked at, copied or adopted; exit code 1.
    #[error("{}", with_causes(.0))]
    Upkeep(#[from] MaintenanceError),
    /// A store is not sound, as has been said; exit code 3.
    #[error("the store is not sound")]
    Found,
    /// Revoked, but not every gateway has confirmed it, as has been said; exit code 4.
    #[error("not every gateway has closed the key's sessions")]
    NotComplete,
    /// Revoked on one gateway alone, as has been said; exit code 5.
    #[error("the store has not taken the revoke")]
    Pending,
    /// All has been said already; exit code 1.
    #[error("not everything was done")]
    Told,
    /// The result could not be written; exit code 1, but 0 without a word when
    /// the reader has gone (`| head`).
    #[error("can't write the result: {0}")]
    Output(io::Error),
    /// The operating system gave no threads, signals or the like; exit code 1.
    #[error("can't run: {0}")]
    Runtime(io::Error),
}

impl CliError {
    /// The program's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Config(_) => 2,
            Self::Found => 3,
            Self::NotComplete => 4,
            Self::Pending => 5,
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::Start(_)
            | Self::Serve(_)
            | Self::Refused(_)
            | Self::Upkeep(_)
            | Self::Told
            | Self::Output(_)
            | Self::Runtime(_) => 1,
        }
    }

    /// What to say about it, if anything.
    pub fn told(&self) -> Option<String> {
        match self {
            Self::Told | Self::Found | Self::NotComplete | Self::Pending => None,
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => None,
            other => Some(other.to_string()),
        }
    }
}

/// An error and all that caused it, in one line; a cause whose text is in the
/// line already is left out.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_has_gone_is_no_error() {
        let gone = CliError::Output(io::ErrorKind::BrokenPipe.into());
        assert_eq!((gone.exit_code(), gone.told()), (0, None));
        let full = CliError::Output(io::ErrorKind::StorageFull.into());
        assert_eq!(full.exit_code(), 1);
        assert!(full.told().is_some());
    }

    #[test]
    fn causes_are_told_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer: no such file")]
        struct Outer(#[source] Inner);
        #[derive(Debug, thiserror::Error)]
        #[error("no such file")]
        struct Inner(#[source] io::Error);
        let error = Outer(Inner(io::Error::other("disk on fire")));
        assert_eq!(with_causes(&error), "outer: no such file: disk on fire");
    }
}
