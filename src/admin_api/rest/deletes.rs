//! Deleting keys and instances: one, or several that are decided one by one.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Rest;
use super::auth::Admin;
use super::error::{ApiError, ErrorBody, Fault};
use super::params::{Body, Key, Namespace, Parameters, RowId};
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
#[utoipa::path(delete, path = "/namespaces/{namespace}/data-plane-keys/{id}", params(super::One),
    responses((status = 204), (status = "4XX", body = ErrorBody),
        (status = 409, description = "it is neither revoked nor expired", body = ErrorBody)))]
pub(super) async fn delete(
    State(rest): State<Rest>,
    Admin(actor): Admin,
    Key(key): Key,
    parameters: Parameters,
) -> Result<StatusCode, ApiError> {
    parameters.only(&[])?;
    rest.keys.delete(&actor, key).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Forgets 1 to 50 revoked or expired keys; each is decided for itself.
#[utoipa::path(patch, path = "/namespaces/{namespace}/data-plane-keys", params(super::Namespaced),
    request_body = Vec<RowAction>,
    responses((status = 200, body = Vec<RowOutcome>), (status = "4XX", body = ErrorBody)))]
pub(super) async fn delete_several(
    State(rest): State<Rest>,
    Admin(actor): Admin,
    _: Namespace,
    parameters: Parameters,
    Body(rows): Body<Vec<RowAction>>,
) -> Result<Json<Vec<RowOutcome>>, ApiError> {
    parameters.only(&[])?;
    some(&rows)?;
    let mut outcomes = Vec::with_capacity(rows.len());
    for row in rows {
        outcomes.push(delete_one(&rest, &actor, row).await);
    }
    Ok(Json(outcomes))
}

/// Forgets an instance; 409 while its connected agent reports it.
#[utoipa::path(delete, path = "/namespaces/{namespace}/instances/{id}", params(super::One),
    responses((status = 204), (status = "4XX", body = ErrorBody),
        (status = 409, description = "its connected agent reports it", body = ErrorBody)))]
pub(super) async fn delete_instance(
    State(rest): State<Rest>,
    Admin(actor): Admin,
    RowId(id): RowId,
    parameters: Parameters,
) -> Result<StatusCode, ApiError> {
    parameters.only(&[])?;
    let id = id.parse::<InstanceId>();
    let id = id.map_err(|error| Fault::NotFound(format!("object_id: {error}")))?;
    rest.instance_admin.delete(&actor, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Forgets 1 to 50 instances; each is decided for itself.
#[utoipa::path(patch, path = "/namespaces/{namespace}/instances", params(super::Namespaced),
    request_body = Vec<RowAction>,
    responses((status = 200, body = Vec<RowOutcome>), (status = "4XX", body = ErrorBody)))]
pub(super) async fn delete_several_instances(
    State(rest): State<Rest>,
    Admin(actor): Admin,
    _: Namespace,
    parameters: Parameters,
    Body(rows): Body<Vec<RowAction>>,
) -> Result<Json<Vec<RowOutcome>>, ApiError> {
    parameters.only(&[])?;
    some(&rows)?;
    let mut outcomes = Vec::with_capacity(rows.len());
    for row in rows {
        outcomes.push(delete_one_instance(&rest, &actor, row).await);
    }
    Ok(Json(outcomes))
}

fn some(rows: &[RowAction]) -> Result<(), ApiError> {
    if (1..=MOST).contains(&rows.len()) {
        return Ok(());
    }
    let rule = format!("{} rows given; 1 to {MOST} at a time", rows.len());
    Err(Fault::invalid("body", rule).into())
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

async fn delete_one_instance(rest: &Rest, actor: &Actor, row: RowAction) -> RowOutcome {
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
    if let Ok((agent, _)) = rest.instance_admin.get(id) {
        told.name = agent.hostname.clone();
    }
    match rest.instance_admin.delete(actor, id).await {
        Ok(()) => told,
        Err(error) => told.failed(Outcome::Failed, error.to_string()),
    }
}

async fn delete_one(rest: &Rest, actor: &Actor, row: RowAction) -> RowOutcome {
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
    if let Ok(record) = rest.keys.get(key).await {
        told.name = record.name;
    }
    match rest.keys.delete(actor, key).await {
        Ok(_) => told,
        Err(error) => told.failed(Outcome::Failed, error.to_string()),
    }
}
