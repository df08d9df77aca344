//! Live sessions of all gateways.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::Rest;
use super::auth::{Operator, Viewer};
use super::error::{ApiError, ErrorBody, Fault};
use super::page::{self, Page, Rows};
use super::params::{Namespace, Parameters, RowId};
use crate::presence::{Disconnected, SessionThere};
use crate::sessions::SessionId;

/// How long a disconnect waits for the stream to close before it answers.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// A live session.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Session {
    /// `<gateway>-<number>`.
    session_id: String,
    gateway_id: String,
    gateway_name: String,
    #[schema(pattern = "^key_.*")]
    key_object_id: String,
    /// The agent's resource id, a UUID. Self-declared.
    system_id: String,
    /// Where the connection comes from, `address:port`.
    peer: String,
    /// As the agent names itself.
    user_agent: String,
    #[schema(format = DateTime)]
    opened_at: String,
}

impl From<SessionThere> for Session {
    fn from(there: SessionThere) -> Self {
        let view = there.view;
        Self {
            session_id: view.id.to_string(),
            gateway_id: view.id.gateway.to_string(),
            gateway_name: there.gateway,
            key_object_id: view.key.to_string(),
            system_id: view.agent.to_string(),
            peer: view.peer.to_string(),
            user_agent: view.user_agent,
            opened_at: view.opened_at.to_string(),
        }
    }
}

/// The sessions, in order of their ids.
#[utoipa::path(get, path = "/namespaces/{namespace}/sessions",
    params(super::Namespaced, page::Asked, super::OfKey),
    responses((status = 200, body = Rows<Session>), (status = "4XX", body = ErrorBody)))]
pub(super) async fn list(
    State(rest): State<Rest>,
    _: Viewer,
    _: Namespace,
    parameters: Parameters,
) -> Result<Json<Rows<Session>>, ApiError> {
    let parameters = parameters.only(&[&page::PARAMETERS[..], &["key_object_id"]].concat())?;
    let page = Page::of(&parameters)?;
    let key = parameters.key("key_object_id")?;
    let found = rest.presence.sessions(key, None, usize::MAX).await?;
    let total = match key {
        None => found.len(),
        Some(_) => rest.presence.live_total().await?,
    };
    Ok(Json(page.cut(total, found, |there| Some(there.into()))))
}

/// Ends a session, on whichever gateway it lives. Its agent may come back at
/// once: to keep it out, revoke its key.
#[utoipa::path(delete, path = "/namespaces/{namespace}/sessions/{id}", params(super::One),
    responses((status = 204, description = "its stream has closed"),
        (status = 202, description = "it was ended, its stream still stands"),
        (status = "4XX", body = ErrorBody)))]
pub(super) async fn disconnect(
    State(rest): State<Rest>,
    Operator(actor): Operator,
    RowId(id): RowId,
    parameters: Parameters,
) -> Result<StatusCode, ApiError> {
    parameters.only(&[])?;
    let none = || Fault::NotFound("session_id: there is no such live session".into());
    let id: SessionId = id.parse().map_err(|_| none())?;
    actor.on(id, "");
    let disconnected = rest.presence.disconnect(id, CLOSE_WAIT).await;
    match disconnected.inspect_err(|error| actor.failed(error))? {
        Disconnected::NotFound => Err(none().into()),
        Disconnected::Ended { closed } => {
            tracing::info!(target: "muster::audit", actor = actor.name(), session = %id, "session disconnected");
            Ok(match closed {
                true => StatusCode::NO_CONTENT,
                false => StatusCode::ACCEPTED,
            })
        }
    }
}
