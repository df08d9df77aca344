//! Revoking a key, and how far the revoke has come.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::error::{ApiError, ErrorBody, ErrorCause};
use super::keys::DataPlaneKey;
use super::params;
use super::params::{Key, NoParameters};
use crate::admin_api::auth::Caller;
use crate::admin_api::state::AdminState;
use crate::control::keys::GatewayOutcome;

/// How far the revoke of a key has come.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Revocation {
    #[schema(pattern = "^key_.*")]
    object_id: String,
    /// When the key was revoked.
    #[schema(format = DateTime)]
    revoked_at: String,
    /// Every enrolled gateway has applied it, and the streams of all sessions
    /// that it ended have closed.
    complete: bool,
    gateways: Vec<RevocationThere>,
}

/// What one gateway did.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RevocationThere {
    gateway_id: String,
    /// Its name; empty once it has signed off.
    name: String,
    /// It is enrolled still.
    enrolled: bool,
    /// It admits no agent with this key.
    applied: bool,
    /// Sessions that it ended and whose stream has closed.
    sessions_closed: usize,
    /// Sessions that it ended and whose stream still stands.
    sessions_closing: usize,
    /// From the revoke to the last close.
    milliseconds: u64,
    /// Its last heartbeat, where none came for 3 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    unreachable_since: Option<String>,
    /// Where it has not applied it: by then it has ended all its sessions by
    /// itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    ends_by: Option<String>,
}

impl From<GatewayOutcome> for RevocationThere {
    fn from(gateway: GatewayOutcome) -> Self {
        Self {
            gateway_id: gateway.id.to_string(),
            name: gateway.name,
            enrolled: gateway.enrolled,
            applied: gateway.applied,
            sessions_closed: gateway.closed,
            sessions_closing: gateway.closing,
            milliseconds: u64::try_from(gateway.elapsed.as_millis()).unwrap_or(u64::MAX),
            unreachable_since: gateway.unreachable_since.map(|at| at.to_string()),
            ends_by: gateway.ends_by.map(|at| at.to_string()),
        }
    }
}

/// Ends a key for good, and every session of it. The answer does not wait for
/// the gateways: `…/revocation` shows how far they are.
#[utoipa::path(put, path = "/namespaces/{namespace}/data-plane-keys/{id}/revoke", params(params::One),
    responses((status = 202, body = DataPlaneKey), (status = "4XX", body = ErrorBody)))]
pub(super) async fn revoke(
    State(state): State<AdminState>,
    Caller { actor, .. }: Caller,
    Key(key): Key,
    _: NoParameters,
) -> Result<(StatusCode, Json<DataPlaneKey>), ApiError> {
    let outcome = state.keys.revoke(&actor, key, Some(Duration::ZERO)).await?;
    // Pending, and of a key that is not known here.
    let record = outcome.record.ok_or(ErrorCause::RevokePending)?;
    let shown = state.changed(&record).await;
    Ok((StatusCode::ACCEPTED, Json(shown)))
}

/// What each gateway did about a key's revoke so far.
#[utoipa::path(get, path = "/namespaces/{namespace}/data-plane-keys/{id}/revocation", params(params::One),
    responses((status = 200, body = Revocation), (status = "4XX", body = ErrorBody)))]
pub(super) async fn revocation(
    State(state): State<AdminState>,
    _: Caller,
    Key(key): Key,
    _: NoParameters,
) -> Result<Json<Revocation>, ApiError> {
    let record = state.keys.get(key).await?;
    let gateways = state.keys.revocation(&record).await?;
    let (Some(gateways), Some(at)) = (gateways, record.revoked_at) else {
        return Err(ErrorCause::NotFound(format!("{key} was not revoked")).into());
    };
    Ok(Json(Revocation {
        object_id: key.to_string(),
        revoked_at: at.to_string(),
        complete: gateways.iter().all(GatewayOutcome::is_done),
        gateways: gateways.into_iter().map(Into::into).collect(),
    }))
}
