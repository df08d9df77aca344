//! Settings: when instances that are not connected are forgotten.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Rest;
use super::auth::{Admin, Viewer};
use super::error::{ApiError, ErrorBody};
use super::params::{Body, Namespace, Parameters};
use crate::control::audit::Actor;

/// When agents that are not connected are forgotten, with their instances.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SettingsInstanceCleanup {
    /// After so many hours; 0: never.
    #[schema(minimum = 0, maximum = 720)]
    age_out_duration: u32,
}

/// The cleanup as it is set in the store; where it is not, as this gateway was
/// started (`--forget-unavailable-after`), in hours, of which a part counts as one.
#[utoipa::path(get, path = "/namespaces/{namespace}/settings/instance-cleanup",
    params(super::Namespaced),
    responses((status = 200, body = SettingsInstanceCleanup), (status = "4XX", body = ErrorBody)))]
pub(super) async fn get(
    State(rest): State<Rest>,
    _: Viewer,
    _: Namespace,
    parameters: Parameters,
) -> Result<Json<SettingsInstanceCleanup>, ApiError> {
    parameters.only(&[])?;
    let cleanup = rest.settings.instance_cleanup().await?;
    Ok(Json(SettingsInstanceCleanup {
        age_out_duration: cleanup.hours(),
    }))
}

/// Sets it for all gateways of the store, which obey within a minute.
#[utoipa::path(patch, path = "/namespaces/{namespace}/settings/instance-cleanup",
    params(super::Namespaced), request_body = SettingsInstanceCleanup,
    responses((status = 200, body = SettingsInstanceCleanup), (status = "4XX", body = ErrorBody)))]
pub(super) async fn edit(
    State(rest): State<Rest>,
    Admin(actor): Admin,
    _: Namespace,
    parameters: Parameters,
    Body(wanted): Body<SettingsInstanceCleanup>,
) -> Result<Json<SettingsInstanceCleanup>, ApiError> {
    parameters.only(&[])?;
    set(&rest, &actor, &wanted).await
}

/// The same: NGINX One has it as a PUT.
#[utoipa::path(put, path = "/namespaces/{namespace}/settings/instance-cleanup",
    params(super::Namespaced), request_body = SettingsInstanceCleanup,
    responses((status = 200, body = SettingsInstanceCleanup), (status = "4XX", body = ErrorBody)))]
pub(super) async fn replace(
    State(rest): State<Rest>,
    Admin(actor): Admin,
    _: Namespace,
    parameters: Parameters,
    Body(wanted): Body<SettingsInstanceCleanup>,
) -> Result<Json<SettingsInstanceCleanup>, ApiError> {
    parameters.only(&[])?;
    set(&rest, &actor, &wanted).await
}

async fn set(
    rest: &Rest,
    actor: &Actor,
    wanted: &SettingsInstanceCleanup,
) -> Result<Json<SettingsInstanceCleanup>, ApiError> {
    let hours = wanted.age_out_duration;
    let set = rest.settings.set_instance_cleanup(actor, hours).await?;
    Ok(Json(SettingsInstanceCleanup {
        age_out_duration: set.hours(),
    }))
}
