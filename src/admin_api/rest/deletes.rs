//! Deleting keys: one, or several that are decided one by one.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Rest;
use super::auth::Admin;
use super::error::{ApiError, ErrorBody, Fault};
use super::params::{Body, Key, Namespace, Parameters};
use crate::audit::Actor;
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
    if !(1..=MOST).contains(&rows.len()) {
        let rule = format!("{} rows given; 1 to {MOST} at a time", rows.len());
        return Err(Fault::invalid("body", rule).into());
    }
    let mut outcomes = Vec::with_capacity(rows.len());
    for row in rows {
        outcomes.push(delete_one(&rest, &actor, row).await);
    }
    Ok(Json(outcomes))
}

async fn delete_one(rest: &Rest, actor: &Actor, row: RowAction) -> RowOutcome {
    let RowAction {
        object_id,
        action: Action::Delete,
    } = row;
    let mut told = RowOutcome {
        object_id,
        name: String::new(),
        outcome: Outcome::Deleted,
        failure_reason: None,
    };
    let key: KeyId = match told.object_id.parse() {
        Ok(key) => key,
        Err(error) => {
            let why = format!("object_id: {error}");
            actor.refused(&told.object_id, why.as_str());
            told.outcome = Outcome::Invalid;
            told.failure_reason = Some(why);
            return told;
        }
    };
    if let Ok(record) = rest.keys.get(key).await {
        told.name = record.name;
    }
    if let Err(error) = rest.keys.delete(actor, key).await {
        told.outcome = Outcome::Failed;
        told.failure_reason = Some(error.to_string());
    }
    told
}
