//! The only place where an error becomes a gRPC status of the admin API.

use tonic::{Code, Status};

use super::tokens::TokenError;
use crate::key_admin::KeyAdminError;
use crate::store::ChangeError;

/// A refused token.
pub(super) fn token_status(error: &TokenError) -> Status {
    let code = match error {
        TokenError::Credential(_) | TokenError::Unknown => Code::Unauthenticated,
        TokenError::Unavailable(_) => Code::Unavailable,
    };
    Status::new(code, error.to_string())
}

/// A refused or failed change of a key.
pub(super) fn key_status(error: &KeyAdminError) -> Status {
    let code = match error {
        KeyAdminError::Change(change) => match change {
            ChangeError::NotFound(_) => Code::NotFound,
            ChangeError::Revoked(_) | ChangeError::Expired { .. } | ChangeError::StillValid(_) => {
                Code::FailedPrecondition
            }
            ChangeError::Rule(_) => Code::InvalidArgument,
            ChangeError::Store(_) => Code::Unavailable,
        },
        KeyAdminError::EmptyEdit => Code::InvalidArgument,
        KeyAdminError::CreateUnknown { .. } | KeyAdminError::NoRandomness(_) => Code::Unavailable,
    };
    Status::new(code, error.to_string())
}

/// A field that breaks a rule, in words.
pub(super) fn invalid(field: &str, fault: impl std::fmt::Display) -> Status {
    Status::invalid_argument(format!("{field}: {fault}"))
}
