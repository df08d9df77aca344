//! The gateways that share the store.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::error::{ApiError, ErrorBody, ErrorCause};
use super::page::{self, Page, Rows};
use super::params;
use super::params::{Namespace, NoParameters, Parameters, RowId};
use crate::admin_api::auth::Caller;
use crate::admin_api::state::AdminState;
use crate::store::GatewayId;

/// A gateway.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Gateway {
    /// Random, new at each start.
    gateway_id: String,
    name: String,
    /// The muster version it runs.
    version: String,
    /// Where its agent listener is bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_address: Option<String>,
    /// Where its admin listener is bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    admin_address: Option<String>,
    #[schema(format = DateTime)]
    enrolled_at: String,
    #[schema(format = DateTime)]
    last_heartbeat: String,
    /// How far in the store's feed it has applied every change.
    applied_revision: u64,
    /// Changes that it has yet to apply.
    behind: u64,
    /// How long ago what it knows of the store was true, at most.
    view_age_milliseconds: u64,
    /// No heartbeat came for 3 s.
    unreachable: bool,
    live_sessions: u64,
    /// It is the gateway that answers.
    answering: bool,
}

/// The enrolled gateways, in order of their ids.
#[utoipa::path(get, path = "/namespaces/{namespace}/gateways",
    params(params::Namespaced, page::Asked),
    responses((status = 200, body = Rows<Gateway>), (status = "4XX", body = ErrorBody)))]
pub(super) async fn list(
    State(state): State<AdminState>,
    _: Caller,
    _: Namespace,
    parameters: Parameters,
) -> Result<Json<Rows<Gateway>>, ApiError> {
    let parameters = parameters.only(&page::PARAMETERS)?;
    let page = Page::of(&parameters)?;
    let (gateways, revision) = state.gateways.all().await?;
    let (own, now) = (state.gateways.own(), state.gateways.now());
    let total = gateways.len();
    let rows = page.cut(total, gateways, |gateway| {
        let age = gateway.view_age(now).as_millis();
        let bound = gateway.standing.bound;
        Some(Gateway {
            view_age_milliseconds: u64::try_from(age).unwrap_or(u64::MAX),
            unreachable: gateway.is_lapsed(now),
            answering: gateway.info.id == own,
            gateway_id: gateway.info.id.to_string(),
            agent_address: bound.map(|bound| bound.agent.to_string()),
            admin_address: bound.map(|bound| bound.admin.to_string()),
            enrolled_at: gateway.enrolled_at.to_string(),
            last_heartbeat: gateway.last_heartbeat.to_string(),
            applied_revision: gateway.applied.0,
            behind: revision.0.saturating_sub(gateway.applied.0),
            live_sessions: gateway.live_sessions,
            name: gateway.info.name,
            version: gateway.info.version,
        })
    });
    Ok(Json(rows))
}

/// Forgets a gateway that died: a revoke waits for it no longer.
#[utoipa::path(delete, path = "/namespaces/{namespace}/gateways/{id}", params(params::One),
    responses((status = 204), (status = "4XX", body = ErrorBody),
        (status = 409, description = "it is alive", body = ErrorBody)))]
pub(super) async fn forget(
    State(state): State<AdminState>,
    Caller { actor, .. }: Caller,
    RowId(id): RowId,
    _: NoParameters,
) -> Result<StatusCode, ApiError> {
    let id: GatewayId = id
        .parse()
        .map_err(|error| ErrorCause::NotFound(format!("gateway_id: {error}")))?;
    let forgotten = state.gateways.forget(&actor, id).await;
    forgotten?;
    Ok(StatusCode::NO_CONTENT)
}
