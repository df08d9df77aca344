//! The only place where an error becomes an HTTP status, and its one shape.
//!
//! A fault of ours is 500 in the contract, also one that may pass: no 503.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::admin_api::error::RoleError;
use crate::control::agent_config::AgentConfigError;
use crate::control::gateways::GatewayError;
use crate::control::instances::InstanceAdminError;
use crate::control::keys::KeyAdminError;
use crate::control::settings::SettingsError;
use crate::control::tokens::{TokenAdminError, TokenError};
use crate::keys::Timestamp;
use crate::store::{ChangeError, StoreError, TokenChangeError};

/// Why a request is refused or failed.
#[derive(Debug, thiserror::Error)]
pub(in crate::admin_api) enum Fault {
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
        "the store did not take the revoke; this gateway has applied it and goes on trying: ask again"
    )]
    RevokePending,
    #[error("{0}")]
    NotConsole(String),
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    Role(#[from] RoleError),
    #[error(transparent)]
    Key(#[from] KeyAdminError),
    #[error(transparent)]
    TokenChange(#[from] TokenAdminError),
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    #[error(transparent)]
    Instance(#[from] InstanceAdminError),
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    AgentConfig(#[from] AgentConfigError),
    #[error("a fault of muster: {0}")]
    Broken(String),
}

impl Fault {
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
            Self::Token(
                TokenError::Credential(_)
                | TokenError::Unknown
                | TokenError::Revoked(_)
                | TokenError::Expired(_),
            ) => StatusCode::UNAUTHORIZED,
            Self::NotYet(_)
            | Self::RevokePending
            | Self::Token(TokenError::Unavailable(_))
            | Self::Store(_)
            | Self::Broken(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::AgentConfig(error) => match error {
                AgentConfigError::PodCantReach(_) => StatusCode::CONFLICT,
                AgentConfigError::Address { .. }
                | AgentConfigError::Undiallable(_)
                | AgentConfigError::Ca { .. }
                | AgentConfigError::WorkingDirectory(_) => StatusCode::INTERNAL_SERVER_ERROR,
            },
            Self::Role(_) | Self::NotConsole(_) => StatusCode::FORBIDDEN,
            Self::Key(error) => key_status(error),
            Self::TokenChange(error) => token_status(error),
            Self::Gateway(error) => match error {
                GatewayError::NotFound(_) => StatusCode::NOT_FOUND,
                GatewayError::Alive { .. } => StatusCode::CONFLICT,
                GatewayError::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
            },
            Self::Instance(error) => match error {
                InstanceAdminError::NotFound(_) => StatusCode::NOT_FOUND,
                InstanceAdminError::Reported { .. } => StatusCode::CONFLICT,
                InstanceAdminError::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
            },
            Self::Settings(error) => match error {
                SettingsError::TooLong(_) => StatusCode::BAD_REQUEST,
                SettingsError::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
            },
        }
    }
}

fn key_status(error: &KeyAdminError) -> StatusCode {
    match error {
        KeyAdminError::Change(change) => match change {
            ChangeError::NotFound(_) => StatusCode::NOT_FOUND,
            // The contract has 400 for an expiry that comes too late, and 409
            // for a delete that comes too early.
            ChangeError::Revoked(_) | ChangeError::Expired { .. } | ChangeError::Rule(_) => {
                StatusCode::BAD_REQUEST
            }
            ChangeError::StillValid(_) => StatusCode::CONFLICT,
            ChangeError::Meanwhile { .. } => StatusCode::PRECONDITION_FAILED,
            ChangeError::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
        },
        KeyAdminError::EmptyEdit => StatusCode::BAD_REQUEST,
        KeyAdminError::CreateUnknown { .. } | KeyAdminError::NoRandomness(_) => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}

fn token_status(error: &TokenAdminError) -> StatusCode {
    match error {
        TokenAdminError::Change(change) => match change {
            TokenChangeError::NotFound(_) => StatusCode::NOT_FOUND,
            TokenChangeError::LastAdmin(_) => StatusCode::CONFLICT,
            TokenChangeError::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
        },
        TokenAdminError::Rule(_) => StatusCode::BAD_REQUEST,
        TokenAdminError::CreateUnknown { .. } | TokenAdminError::NoRandomness(_) => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}

/// An answer that is not a success, until it is told.
#[derive(Debug, Clone)]
pub(in crate::admin_api) struct ApiError {
    status: StatusCode,
    message: String,
}

impl<F: Into<Fault>> From<F> for ApiError {
    fn from(fault: F) -> Self {
        let fault = fault.into();
        Self {
            status: fault.status(),
            message: fault.to_string(),
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

    /// With its body.
    pub fn told(self, request_id: &str, now: Timestamp) -> Response {
        let body = ErrorBody {
            message: self.message,
            request_id: request_id.to_owned(),
            timestamp: now.to_string(),
        };
        (self.status, Json(body)).into_response()
    }
}
