//! Deleting keys and instances: one, or several that are decided one by one.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::{ApiError, ErrorBody, ErrorCause};
use super::params;
use super::params::{Body, Key, Namespace, NoParameters, RowId};
use crate::admin_api::auth::Caller;
use crate::admin_api::state::AdminState;
use crate::control::audit::Actor;
use crate::gateway::registrations::InstanceId;
use crate::keys::KeyId;

/// Rows of one request (the contract's number).
const MOST: usize = 50;

/// What is to be done with one row.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RowAction {
    object_id: String,
    action: Action,
}

#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Action {
    Delete,
}

/// What became of one row.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RowOutcome {
    object_id: String,
    name: String,
    outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_reason: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Outcome {
    Deleted,
    Failed,
    Invalid,
}

/// Forgets a revoked or expired key.
#[utoipa::path(delete, path = "/namespaces/{namespace}/data-plane-keys/{id}", params(params::One),
    responses((status = 204), (status = "4XX", body = ErrorBody),
        (status = 409, description = "it is neither revoked nor expired", body = ErrorBody)))]
pub(super) async fn delete(
    State(state): State<AdminState>,
    Caller { actor, .. }: Caller,
    Key(key): Key,
    _: NoParameters,
) -> Result<StatusCode, ApiError> {
    state.keys.delete(&actor, key).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Forgets 1 to 50 revoked or expired keys; each is decided for itself.
#[utoipa::path(patch, path = "/namespaces/{namespace}/data-plane-keys", params(params::Namespaced),
    request_body = Vec<RowAction>,
    responses((status = 200, body = Vec<RowOutcome>), (status = "4XX", body = ErrorBody)))]
pub(super) async fn delete_several(
    State(state): State<AdminState>,
    Caller { actor, .. }: Caller,
    _: Namespace,
    _: NoParameters,
    Body(rows): Body<Vec<RowAction>>,
) -> Result<Json<Vec<RowOutcome>>, ApiError> {
    some(&rows)?;
    let mut outcomes = Vec::with_capacity(rows.len());
    for row in rows {
        outcomes.push(delete_one(&state, &actor, row).await);
    }
    Ok(Json(outcomes))
}

/// Forgets an instance; 409 while its connected agent reports it.
#[utoipa::path(delete, path = "/namespaces/{namespace}/instances/{id}", params(params::One),
    responses((status = 204), (status = "4XX", body = ErrorBody),
        (status = 409, description = "its connected agent reports it", body = ErrorBody)))]
pub(super) async fn delete_instance(
    State(state): State<AdminState>,
    Caller { actor, .. }: Caller,
    RowId(id): RowId,
    _: NoParameters,
) -> Result<StatusCode, ApiError> {
    let id = id.parse::<InstanceId>();
    let id = id.map_err(|error| ErrorCause::NotFound(format!("object_id: {error}")))?;
    state.instance_admin.delete(&actor, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Forgets 1 to 50 instances; each is decided for itself.
#[utoipa::path(patch, path = "/namespaces/{namespace}/instances", params(params::Namespaced),
    request_body = Vec<RowAction>,
    responses((status = 200, body = Vec<RowOutcome>), (status = "4XX", body = ErrorBody)))]
pub(super) async fn delete_several_instances(
    State(state): State<AdminState>,
    Caller { actor, .. }: Caller,
    _: Namespace,
    _: NoParameters,
    Body(rows): Body<Vec<RowAction>>,
) -> Result<Json<Vec<RowOutcome>>, ApiError> {
    some(&rows)?;
    let mut outcomes = Vec::with_capacity(rows.len());
    for row in rows {
        outcomes.push(delete_one_instance(&state, &actor, row).await);
    }
    Ok(Json(outcomes))
}

fn some(rows: &[RowAction]) -> Result<(), ApiError> {
    if (1..=MOST).contains(&rows.len()) {
        return Ok(());
    }
    let rule = format!("{} rows given; 1 to {MOST} at a time", rows.len());
    Err(ErrorCause::invalid("body", rule).into())
}

impl RowOutcome {
    fn deleted(object_id: String) -> Self {
        Self {
            object_id,
            name: String::new(),
            outcome: Outcome::Deleted,
            failure_reason: None,
        }
    }

    fn failed(mut self, outcome: Outcome, why: String) -> Self {
        self.outcome = outcome;
        self.failure_reason = Some(why);
        self
    }
}

async fn delete_one_instance(state: &AdminState, actor: &Actor, row: RowAction) -> RowOutcome {
    let RowAction {
        object_id,
        action: Action::Delete,
    } = row;
    let mut told = RowOutcome::deleted(object_id);
    let id: InstanceId = match told.object_id.parse() {
        Ok(id) => id,
        Err(error) => {
            let why = format!("object_id: {error}");
            actor.refused(&told.object_id, why.as_str());
            return told.failed(Outcome::Invalid, why);
        }
    };
    if let Ok((agent, _)) = state.instance_admin.get(id) {
        told.name = agent.hostname.clone();
    }
    match state.instance_admin.delete(actor, id).await {
        Ok(()) => told,
        Err(error) => told.failed(Outcome::Failed, error.to_string()),
    }
}

async fn delete_one(state: &AdminState, actor: &Actor, row: RowAction) -> RowOutcome {
    let RowAction {
        object_id,
        action: Action::Delete,
    } = row;
    let mut told = RowOutcome::deleted(object_id);
    let key: KeyId = match told.object_id.parse() {
        Ok(key) => key,
        Err(error) => {
            let why = format!("object_id: {error}");
            actor.refused(&told.object_id, why.as_str());
            return told.failed(Outcome::Invalid, why);
        }
    };
    if let Ok(record) = state.keys.get(key).await {
        told.name = record.name;
    }
    match state.keys.delete(actor, key).await {
        Ok(_) => told,
        Err(error) => told.failed(Outcome::Failed, error.to_string()),
    }
}
