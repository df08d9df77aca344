//! Agents: one row for each NGINX Agent.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::error::{ApiError, ErrorBody, ErrorCause};
use super::filter::{self, Order};
use super::page::{self, Rows};
use super::params;
use super::params::{Namespace, NoParameters, Parameters, RowId};
use super::search::{self, Search};
use super::walk::{self, Ranked, Walk};
use crate::admin_api::auth::Caller;
use crate::admin_api::state::AdminState;
use crate::gateway::registrations::Under;
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
    /// How many it has, on all gateways.
    live_sessions: usize,
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
    fn new(record: AgentRecord, live_sessions: usize) -> Self {
        Self {
            system_id: record.agent.to_string(),
            key_object_id: record.key.to_string(),
            connected: live_sessions > 0,
            live_sessions,
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

#[derive(Debug, Clone, Copy)]
enum Field {
    Hostname,
    FirstSeen,
    LastSeen,
}

const SORT_FIELDS: &str = "hostname, first_seen or last_seen";

fn sort_field(name: &str) -> Option<Field> {
    match name {
        "hostname" => Some(Field::Hostname),
        "first_seen" => Some(Field::FirstSeen),
        "last_seen" => Some(Field::LastSeen),
        _ => None,
    }
}

fn value(field: Field, agent: &AgentRecord) -> String {
    match field {
        Field::Hostname => agent.hostname.clone(),
        // Of one length, so that they sort as numbers.
        Field::FirstSeen => format!("{:020}", agent.first_seen.as_millis()),
        Field::LastSeen => format!("{:020}", agent.last_seen.as_millis()),
    }
}

/// The agents, in order of their ids.
#[utoipa::path(get, path = "/namespaces/{namespace}/agents",
    params(params::Namespaced, page::Asked, walk::Asked, filter::Sorted, search::Asked, Wanted),
    responses((status = 200, body = Rows<Agent>), (status = "4XX", body = ErrorBody)))]
pub(super) async fn list(
    State(state): State<AdminState>,
    _: Caller,
    _: Namespace,
    parameters: Parameters,
) -> Result<Json<Rows<Agent>>, ApiError> {
    let known = [
        &walk::OF_PAGE[..],
        &filter::ORDER,
        &[search::PARAMETER, "key_object_id", "ever", "connected"],
    ];
    let parameters = parameters.only(&known.concat())?;
    let ever = parameters.flag("ever")?.unwrap_or(false);
    let under = match parameters.key("key_object_id")? {
        None => Under::Any,
        Some(key) if ever => Under::Ever(key),
        Some(key) => Under::Now(key),
    };
    let wanted = parameters.flag("connected")?;
    let order = Order::of(&parameters, sort_field, SORT_FIELDS)?;
    let walk = Walk::of("agents", &parameters, order)?;
    let search = Search::of(&parameters)?;
    let live = state.presence.live_by_agent().await?;
    let total = state.instances.total();
    let see = |agent: &Arc<AgentRecord>| {
        let is_wanted = wanted.is_none_or(|wanted| wanted == live.contains_key(&agent.agent))
            && finds(&search, agent);
        is_wanted.then(|| Ranked {
            by: walk.ranks(|field| value(field, agent).into()),
            id: agent.agent,
            row: Arc::clone(agent),
        })
    };
    let found = state.instances.look(under, see);
    let rows = walk.cut(total, found, |record| {
        let live = live.get(&record.agent).copied().unwrap_or(0);
        Agent::new((*record).clone(), live)
    });
    Ok(Json(rows))
}

fn finds(search: &Search, agent: &AgentRecord) -> bool {
    // Ids and addresses become text only when they are searched.
    search.is_any()
        || search.finds(&[
            &agent.hostname,
            &agent.agent.to_string(),
            &agent.last_address.to_string(),
        ])
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
#[utoipa::path(get, path = "/namespaces/{namespace}/agents/{id}", params(params::One),
    responses((status = 200, body = AgentSheet), (status = "4XX", body = ErrorBody)))]
pub(super) async fn get(
    State(state): State<AdminState>,
    _: Caller,
    RowId(id): RowId,
    _: NoParameters,
) -> Result<Json<AgentSheet>, ApiError> {
    let none = || ErrorCause::NotFound("system_id: there is no such agent".into());
    let id = Uuid::try_parse(&id).map_err(|_| none())?;
    let live = state.presence.live_by_agent().await?;
    let (record, registrations) = state.instances.agent(id).ok_or_else(none)?;
    Ok(Json(AgentSheet {
        agent: Agent::new(record, live.get(&id).copied().unwrap_or(0)),
        registrations: registrations.into_iter().map(Into::into).collect(),
    }))
}
