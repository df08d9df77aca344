//! The only place where an error becomes an HTTP status, and its one shape.
//!
//! A fault of muster is 500 in the contract, also one that may pass: no 503.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::control::error::{AdminError, ErrorKind};
use crate::keys::Timestamp;

/// Why a request is refused or failed, where only REST can tell.
#[derive(Debug, thiserror::Error)]
pub(in crate::admin_api) enum ErrorCause {
    #[error("there is no such path; /api/openapi.json lists them")]
    NoSuchRoute,
    #[error("the path has no such method; /api/openapi.json lists them")]
    NoSuchMethod,
    #[error("namespace: there is no {0:?}; the only one is \"default\"")]
    NoSuchNamespace(String),
    #[error("{field}: {rule}")]
    Invalid { field: String, rule: String },
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    NotYet(String),
    #[error(
        "the store did not take the revoke; this gateway has applied it and keeps retrying: ask again"
    )]
    RevokePending,
    #[error("{0}")]
    NotConsole(String),
    #[error("a fault of muster: {0}")]
    Broken(String),
}

impl ErrorCause {
    pub fn invalid(field: &str, rule: impl std::fmt::Display) -> Self {
        Self::Invalid {
            field: field.into(),
            rule: rule.to_string(),
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::NoSuchRoute | Self::NoSuchNamespace(_) | Self::NotFound(_) => {
                StatusCode::NOT_FOUND
            }
            Self::NoSuchMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::Invalid { .. } => StatusCode::BAD_REQUEST,
            Self::NotConsole(_) => StatusCode::FORBIDDEN,
            Self::NotYet(_) | Self::RevokePending | Self::Broken(_) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }
}

/// The HTTP status of an error of each kind.
fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        // The contract has 400 for an expiry that comes too late, and 409 for a
        // delete that comes too early.
        ErrorKind::Invalid | ErrorKind::TooLate => StatusCode::BAD_REQUEST,
        ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::Changed => StatusCode::PRECONDITION_FAILED,
        ErrorKind::Unavailable => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// An answer that is not a success, until it has its body.
#[derive(Debug, Clone)]
pub(in crate::admin_api) struct ApiError {
    status: StatusCode,
    message: String,
}

impl From<ErrorCause> for ApiError {
    fn from(cause: ErrorCause) -> Self {
        Self {
            status: cause.status(),
            message: cause.to_string(),
        }
    }
}

impl<E: AdminError> From<E> for ApiError {
    fn from(error: E) -> Self {
        Self {
            status: status(error.kind()),
            message: error.to_string(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// What went wrong.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ErrorBody {
    /// In words: the field, the rule, the cure.
    message: String,
    /// As in the header x-request-id.
    request_id: String,
    /// When.
    #[schema(format = DateTime)]
    timestamp: String,
}

impl ApiError {
    /// In words.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The response with its body.
    pub fn into_body(self, request_id: &str, now: Timestamp) -> Response {
        let body = ErrorBody {
            message: self.message,
            request_id: request_id.to_owned(),
            timestamp: now.to_string(),
        };
        (self.status, Json(body)).into_response()
    }
}
