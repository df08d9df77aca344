//! Live sessions of all gateways.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::error::{ApiError, ErrorBody, ErrorCause};
use super::filter::{self, Order};
use super::page::{self, Rows};
use super::params;
use super::params::{Namespace, NoParameters, Parameters, RowId};
use super::search::{self, Search};
use super::walk::{self, Ranked, Walk};
use crate::admin_api::auth::Caller;
use crate::admin_api::state::AdminState;
use crate::gateway::presence::{Disconnected, GatewaySession};
use crate::gateway::sessions::SessionId;
use crate::store::GatewayId;

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
    /// The agent's, as it says.
    hostname: String,
    /// Where the connection comes from, `address:port`.
    peer: String,
    /// As the agent names itself.
    user_agent: String,
    #[schema(format = DateTime)]
    opened_at: String,
}

impl AdminState {
    fn session(&self, there: GatewaySession) -> Session {
        let view = there.view;
        Session {
            session_id: view.id.to_string(),
            gateway_id: view.id.gateway.to_string(),
            gateway_name: there.gateway,
            key_object_id: view.key.to_string(),
            system_id: view.agent.to_string(),
            hostname: self.instances.hostname(view.agent),
            peer: view.peer.to_string(),
            user_agent: view.user_agent,
            opened_at: view.opened_at.to_string(),
        }
    }

    fn finds(&self, search: &Search, there: &GatewaySession) -> bool {
        let view = &there.view;
        search.is_any()
            || search.finds(&[
                &self.instances.hostname(view.agent),
                &view.id.to_string(),
                &view.agent.to_string(),
                &view.peer.to_string(),
            ])
    }
}

/// Which sessions are asked for.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `list` reads")]
pub(super) struct Wanted {
    /// Only those of this agent: its resource id, a UUID.
    system_id: Option<String>,
    /// Only those on this gateway.
    gateway_id: Option<String>,
}

/// The sessions, in order of their ids; they sort by `opened_at`.
#[utoipa::path(get, path = "/namespaces/{namespace}/sessions",
    params(params::Namespaced, page::Asked, walk::Asked, filter::Sorted, search::Asked, params::OfKey, Wanted),
    responses((status = 200, body = Rows<Session>), (status = "4XX", body = ErrorBody)))]
pub(super) async fn list(
    State(state): State<AdminState>,
    _: Caller,
    _: Namespace,
    parameters: Parameters,
) -> Result<Json<Rows<Session>>, ApiError> {
    let known = [
        &walk::OF_PAGE[..],
        &filter::ORDER,
        &[
            search::PARAMETER,
            "key_object_id",
            "system_id",
            "gateway_id",
        ],
    ];
    let parameters = parameters.only(&known.concat())?;
    let order = Order::of(
        &parameters,
        |name| (name == "opened_at").then_some(()),
        "opened_at",
    )?;
    let walk = Walk::of("sessions", &parameters, order)?;
    let search = Search::of(&parameters)?;
    let key = parameters.key("key_object_id")?;
    let agent = parameters.agent("system_id")?;
    let gateway = parameters.one("gateway_id")?.map(str::parse::<GatewayId>);
    let gateway = gateway
        .transpose()
        .map_err(|error| ErrorCause::invalid("gateway_id", error))?;
    let mut found = state.presence.sessions(None, None, usize::MAX).await?;
    let total = found.len();
    found.retain(|there| {
        key.is_none_or(|key| there.view.key == key)
            && agent.is_none_or(|agent| there.view.agent == agent)
            && gateway.is_none_or(|gateway| there.view.id.gateway == gateway)
            && state.finds(&search, there)
    });
    // Of one length, so that they sort as numbers.
    let by = |there: &GatewaySession| format!("{:020}", there.view.opened_at.as_millis());
    let ranked = found.into_iter().map(|there| Ranked {
        by: walk.ranks(|()| by(&there).into()),
        id: (there.view.id.gateway.to_string(), there.view.id.number),
        row: there,
    });
    let rows = walk.cut(total, ranked.collect(), |there| state.session(there));
    Ok(Json(rows))
}

/// Ends a session, on whichever gateway it lives. Its agent may come back at
/// once: to keep it out, revoke its key.
#[utoipa::path(delete, path = "/namespaces/{namespace}/sessions/{id}", params(params::One),
    responses((status = 204, description = "its stream has closed"),
        (status = 202, description = "it was ended, its stream still stands"),
        (status = "4XX", body = ErrorBody)))]
pub(super) async fn disconnect(
    State(state): State<AdminState>,
    Caller { actor, .. }: Caller,
    RowId(id): RowId,
    _: NoParameters,
) -> Result<StatusCode, ApiError> {
    let none = || ErrorCause::NotFound("session_id: there is no such live session".into());
    let id: SessionId = id.parse().map_err(|_| none())?;
    actor.begin_target(id, "");
    let disconnected = state.presence.disconnect(id, CLOSE_WAIT).await;
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
