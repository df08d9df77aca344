//! The only place where an error becomes a gRPC status of the admin API.

use tonic::{Code, Status};

use crate::control::gateways::GatewayError;
use crate::control::keys::KeyAdminError;
use crate::control::settings::SettingsError;
use crate::control::tokens::{TokenAdminError, TokenError};
use crate::keys::TokenId;
use crate::store::{ChangeError, DeedResult, Role, StoreError, TokenChangeError};

/// Why a good token may not make a call.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum RoleError {
    /// The call needs a greater role.
    #[error(
        "this needs the role {needed}; your token {token} has the role {held}: ask an admin for another"
    )]
    TooSmall {
        needed: Role,
        token: TokenId,
        held: Role,
    },
    /// Nobody may: it is not in the table of calls.
    #[error("the admin API has no such call; is your program newer than this gateway?")]
    NoSuchCall,
}

/// A refused token.
pub(super) fn token_status(error: &TokenError) -> Status {
    let code = match error {
        TokenError::Credential(_)
        | TokenError::Unknown
        | TokenError::Revoked(_)
        | TokenError::Expired(_) => Code::Unauthenticated,
        TokenError::Unavailable(_) => Code::Unavailable,
    };
    Status::new(code, error.to_string())
}

/// A good token whose role is too small.
pub(super) fn role_status(error: &RoleError) -> Status {
    Status::permission_denied(error.to_string())
}

/// A refused or failed change of a token.
pub(super) fn token_change_status(error: &TokenAdminError) -> Status {
    let code = match error {
        TokenAdminError::Change(change) => match change {
            TokenChangeError::NotFound(_) => Code::NotFound,
            TokenChangeError::LastAdmin(_) => Code::FailedPrecondition,
            TokenChangeError::Store(_) => Code::Unavailable,
        },
        TokenAdminError::Rule(_) => Code::InvalidArgument,
        TokenAdminError::CreateUnknown { .. } | TokenAdminError::NoRandomness(_) => {
            Code::Unavailable
        }
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
            ChangeError::Meanwhile { .. } => Code::Aborted,
            ChangeError::Rule(_) => Code::InvalidArgument,
            ChangeError::Store(_) => Code::Unavailable,
        },
        KeyAdminError::EmptyEdit => Code::InvalidArgument,
        KeyAdminError::CreateUnknown { .. } | KeyAdminError::NoRandomness(_) => Code::Unavailable,
    };
    Status::new(code, error.to_string())
}

/// A gateway that is not forgotten.
pub(super) fn gateway_status(error: &GatewayError) -> Status {
    let code = match error {
        GatewayError::NotFound(_) => Code::NotFound,
        GatewayError::Alive { .. } => Code::FailedPrecondition,
        GatewayError::Store(_) => Code::Unavailable,
    };
    Status::new(code, error.to_string())
}

/// A setting that is not changed.
pub(super) fn settings_status(error: &SettingsError) -> Status {
    let code = match error {
        SettingsError::TooLong(_) => Code::InvalidArgument,
        SettingsError::Store(_) => Code::Unavailable,
    };
    Status::new(code, error.to_string())
}

/// A store that failed to tell.
pub(super) fn store_status(error: &StoreError) -> Status {
    Status::unavailable(error.to_string())
}

/// Whose fault a refused call is, for the audit trail.
pub(super) fn result_of(code: Code) -> DeedResult {
    match code {
        Code::Ok => DeedResult::Ok,
        Code::Unavailable
        | Code::Internal
        | Code::Unknown
        | Code::DataLoss
        | Code::DeadlineExceeded
        | Code::Cancelled => DeedResult::Failed,
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::Unauthenticated
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented => DeedResult::Refused,
    }
}

/// A field that breaks a rule, in words.
pub(super) fn invalid(field: &str, fault: impl std::fmt::Display) -> Status {
    Status::invalid_argument(format!("{field}: {fault}"))
}
