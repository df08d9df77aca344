//! The only place where an error becomes a gRPC status of the admin API.

use tonic::{Code, Status};

use crate::control::error::{AdminError, ErrorKind};
use crate::store::AuditResult;

/// The status of an error.
pub(super) fn status(error: &impl AdminError) -> Status {
    let code = match error.kind() {
        ErrorKind::Invalid => Code::InvalidArgument,
        ErrorKind::Unauthenticated => Code::Unauthenticated,
        ErrorKind::Forbidden => Code::PermissionDenied,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::TooLate | ErrorKind::Conflict => Code::FailedPrecondition,
        ErrorKind::Changed => Code::Aborted,
        ErrorKind::Unavailable => Code::Unavailable,
    };
    Status::new(code, error.to_string())
}

/// Whose fault a refused call is, for the audit trail.
pub(super) fn result_of(code: Code) -> AuditResult {
    match code {
        Code::Ok => AuditResult::Ok,
        Code::Unavailable
        | Code::Internal
        | Code::Unknown
        | Code::DataLoss
        | Code::DeadlineExceeded
        | Code::Cancelled => AuditResult::Failed,
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::Unauthenticated
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented => AuditResult::Refused,
    }
}

/// A field that breaks a rule, in words.
pub(super) fn invalid(field: &str, fault: impl std::fmt::Display) -> Status {
    Status::invalid_argument(format!("{field}: {fault}"))
}
