//! Settings: when instances that are not connected are forgotten.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::{ApiError, ErrorBody};
use super::params;
use super::params::{Body, Namespace, NoParameters};
use crate::admin_api::auth::Caller;
use crate::admin_api::state::AdminState;
use crate::control::audit::Actor;

/// When agents that are not connected are forgotten, with their instances.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SettingsInstanceCleanup {
    /// Hours until then; 0: never.
    #[schema(minimum = 0, maximum = 720)]
    age_out_duration: u32,
}

/// The cleanup as it is set in the store; where it is not, as this gateway was
/// started (`--forget-unavailable-after`), in hours, of which a part counts as one.
#[utoipa::path(get, path = "/namespaces/{namespace}/settings/instance-cleanup",
    params(params::Namespaced),
    responses((status = 200, body = SettingsInstanceCleanup), (status = "4XX", body = ErrorBody)))]
pub(super) async fn get(
    State(state): State<AdminState>,
    _: Caller,
    _: Namespace,
    _: NoParameters,
) -> Result<Json<SettingsInstanceCleanup>, ApiError> {
    let cleanup = state.settings.instance_cleanup().await?;
    Ok(Json(SettingsInstanceCleanup {
        age_out_duration: cleanup.hours(),
    }))
}

/// Sets it for all gateways of the store, which obey within a minute.
#[utoipa::path(patch, path = "/namespaces/{namespace}/settings/instance-cleanup",
    params(params::Namespaced), request_body = SettingsInstanceCleanup,
    responses((status = 200, body = SettingsInstanceCleanup), (status = "4XX", body = ErrorBody)))]
pub(super) async fn edit(
    State(state): State<AdminState>,
    Caller { actor, .. }: Caller,
    _: Namespace,
    _: NoParameters,
    Body(wanted): Body<SettingsInstanceCleanup>,
) -> Result<Json<SettingsInstanceCleanup>, ApiError> {
    set(&state, &actor, &wanted).await
}

/// The same: NGINX One has it as a PUT.
#[utoipa::path(put, path = "/namespaces/{namespace}/settings/instance-cleanup",
    params(params::Namespaced), request_body = SettingsInstanceCleanup,
    responses((status = 200, body = SettingsInstanceCleanup), (status = "4XX", body = ErrorBody)))]
pub(super) async fn replace(
    State(state): State<AdminState>,
    Caller { actor, .. }: Caller,
    _: Namespace,
    _: NoParameters,
    Body(wanted): Body<SettingsInstanceCleanup>,
) -> Result<Json<SettingsInstanceCleanup>, ApiError> {
    set(&state, &actor, &wanted).await
}

async fn set(
    state: &AdminState,
    actor: &Actor,
    wanted: &SettingsInstanceCleanup,
) -> Result<Json<SettingsInstanceCleanup>, ApiError> {
    let hours = wanted.age_out_duration;
    let set = state.settings.set_instance_cleanup(actor, hours).await?;
    Ok(Json(SettingsInstanceCleanup {
        age_out_duration: set.hours(),
    }))
}
