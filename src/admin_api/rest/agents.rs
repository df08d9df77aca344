//! Agents: one row for each NGINX Agent.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Rest;
use super::auth::Viewer;
use super::error::{ApiError, ErrorBody, Fault};
use super::page::{self, Page, Rows};
use super::params::{Namespace, Parameters, RowId};
use crate::instances::Under;
use crate::store::{AgentRecord, Registration};

/// An NGINX Agent.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Agent {
    /// Its resource id, a UUID. Self-declared.
    system_id: String,
    /// The key of its last join.
    #[schema(pattern = "^key_.*")]
    key_object_id: String,
    /// It has a live session on any gateway.
    connected: bool,
    hostname: String,
    os_version: String,
    agent_version: String,
    has_container_host: bool,
    labels: BTreeMap<String, String>,
    #[schema(format = DateTime)]
    first_seen: String,
    #[schema(format = DateTime)]
    last_seen: String,
    last_address: String,
    /// NGINX instances that it reported.
    instances_count: usize,
}

/// An agent with the keys that it ever joined with.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AgentSheet {
    #[serde(flatten)]
    agent: Agent,
    registrations: Vec<RegistrationShown>,
}

/// An agent under a key.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RegistrationShown {
    #[schema(pattern = "^key_.*")]
    key_object_id: String,
    #[schema(format = DateTime)]
    first_seen: String,
    #[schema(format = DateTime)]
    last_seen: String,
    last_address: String,
    joins: u64,
}

impl Agent {
    fn new(record: AgentRecord, connected: bool) -> Self {
        Self {
            system_id: record.agent.to_string(),
            key_object_id: record.key.to_string(),
            connected,
            hostname: record.hostname,
            os_version: record.os_version,
            agent_version: record.agent_version,
            has_container_host: record.in_container,
            labels: record.labels,
            first_seen: record.first_seen.to_string(),
            last_seen: record.last_seen.to_string(),
            last_address: record.last_address.to_string(),
            instances_count: record.instances.len(),
        }
    }
}

impl From<Registration> for RegistrationShown {
    fn from(row: Registration) -> Self {
        Self {
            key_object_id: row.key.to_string(),
            first_seen: row.first_seen.to_string(),
            last_seen: row.last_seen.to_string(),
            last_address: row.last_address.to_string(),
            joins: row.joins,
        }
    }
}

/// The agents, in order of their ids.
#[utoipa::path(get, path = "/namespaces/{namespace}/agents",
    params(super::Namespaced, page::Asked, Wanted),
    responses((status = 200, body = Rows<Agent>), (status = "4XX", body = ErrorBody)))]
pub(super) async fn list(
    State(rest): State<Rest>,
    _: Viewer,
    _: Namespace,
    parameters: Parameters,
) -> Result<Json<Rows<Agent>>, ApiError> {
    let known = [
        &page::PARAMETERS[..],
        &["key_object_id", "ever", "connected"],
    ]
    .concat();
    let parameters = parameters.only(&known)?;
    let page = Page::of(&parameters)?;
    let ever = parameters.flag("ever")?.unwrap_or(false);
    let under = match parameters.key("key_object_id")? {
        None => Under::Any,
        Some(key) if ever => Under::Ever(key),
        Some(key) => Under::Now(key),
    };
    let wanted = parameters.flag("connected")?;
    let connected = rest.presence.connected().await?;
    let total = rest.instances.total();
    let is_wanted = |agent: &AgentRecord| {
        wanted.is_none_or(|wanted| wanted == connected.contains(&agent.agent))
    };
    let found = rest.instances.ids(under, is_wanted);
    let rows = page.cut(total, found, |id| {
        let (record, _) = rest.instances.agent(id)?;
        Some(Agent::new(record, connected.contains(&id)))
    });
    Ok(Json(rows))
}

/// Which agents are asked for.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `list` reads")]
pub(super) struct Wanted {
    /// Only those whose last join was with this key.
    key_object_id: Option<String>,
    /// With a key: those that ever joined with it, too.
    ever: Option<bool>,
    /// Only those that are, or are not, connected.
    connected: Option<bool>,
}

/// One agent.
#[utoipa::path(get, path = "/namespaces/{namespace}/agents/{id}", params(super::One),
    responses((status = 200, body = AgentSheet), (status = "4XX", body = ErrorBody)))]
pub(super) async fn get(
    State(rest): State<Rest>,
    _: Viewer,
    RowId(id): RowId,
    parameters: Parameters,
) -> Result<Json<AgentSheet>, ApiError> {
    parameters.only(&[])?;
    let none = || Fault::NotFound("system_id: there is no such agent".into());
    let id = Uuid::try_parse(&id).map_err(|_| none())?;
    let connected = rest.presence.connected().await?.contains(&id);
    let (record, registrations) = rest.instances.agent(id).ok_or_else(none)?;
    Ok(Json(AgentSheet {
        agent: Agent::new(record, connected),
        registrations: registrations.into_iter().map(Into::into).collect(),
    }))
}
