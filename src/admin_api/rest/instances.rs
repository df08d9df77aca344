//! NGINX instances: one row for each NGINX, not for each agent.

use std::borrow::Cow;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::error::{ApiError, ErrorBody, ErrorCause};
use super::filter::{self, Filter, Order};
use super::page::{self, Rows};
use super::params;
use super::params::{Namespace, NoParameters, Parameters, RowId};
use super::search::{self, Search};
use super::walk::{self, Ranked, Walk};
use crate::admin_api::auth::Caller;
use crate::admin_api::state::AdminState;
use crate::gateway::registrations::{InstanceId, InstanceStatus};
use crate::store::{AgentRecord, InstanceRecord};

/// An NGINX instance.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Instance {
    #[schema(pattern = "^inst_.*")]
    object_id: String,
    hostname: String,
    /// The agent's resource id.
    system_id: String,
    /// As the agent reports it: the same on every host of that layout.
    nginx_id: String,
    agent_version: String,
    /// The key of its agent's last join.
    #[schema(pattern = "^key_.*")]
    key_object_id: String,
    nginx_build: NginxBuild,
    os_version: String,
    #[schema(format = DateTime)]
    registered_at: String,
    #[schema(format = DateTime)]
    last_reported: String,
    /// Its agent runs in a container.
    has_container_host: bool,
    /// `online`, `offline` (its agent is connected, NGINX does not run),
    /// `unavailable` (its agent is not connected) or `unknown`.
    status: &'static str,
}

/// Which NGINX it is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NginxBuild {
    version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    plus_release: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    conf_path: String,
}

#[derive(Debug, Clone, Copy)]
enum Field {
    Hostname,
    NginxVersion,
    OsVersion,
    Status,
    KeyObjectId,
    SystemId,
    ObjectId,
    LastReported,
}

const FILTER_FIELDS: &str = "hostname, nginx_version, os_version, instance_status, \
                             key_object_id, system_id or object_id";
const SORT_FIELDS: &str = "hostname, status or last_reported";

fn filter_field(name: &str) -> Option<Field> {
    Some(match name {
        "hostname" => Field::Hostname,
        "nginx_version" => Field::NginxVersion,
        "os_version" => Field::OsVersion,
        "instance_status" => Field::Status,
        "key_object_id" => Field::KeyObjectId,
        "system_id" => Field::SystemId,
        "object_id" => Field::ObjectId,
        _ => return None,
    })
}

fn sort_field(name: &str) -> Option<Field> {
    Some(match name {
        "hostname" => Field::Hostname,
        "status" => Field::Status,
        "last_reported" => Field::LastReported,
        _ => return None,
    })
}

/// An instance where it is, and whether its agent is connected.
struct Seen<'a> {
    agent: &'a AgentRecord,
    instance: &'a InstanceRecord,
    connected: bool,
}

impl<'a> Seen<'a> {
    fn value(&self, field: Field) -> Cow<'a, str> {
        match field {
            Field::Hostname => self.agent.hostname.as_str().into(),
            Field::NginxVersion => self.instance.version.as_str().into(),
            Field::OsVersion => self.agent.os_version.as_str().into(),
            Field::Status => self.status().into(),
            Field::KeyObjectId => self.agent.key.to_string().into(),
            Field::SystemId => self.agent.agent.to_string().into(),
            Field::ObjectId => self.id().to_string().into(),
            // Of one length, so that they sort as numbers.
            Field::LastReported => {
                format!("{:020}", self.instance.last_reported.as_millis()).into()
            }
        }
    }

    fn id(&self) -> InstanceId {
        InstanceId::of(self.agent.agent, &self.instance.reported_id)
    }

    fn status(&self) -> &'static str {
        match InstanceStatus::of(self.instance, self.connected) {
            InstanceStatus::Unknown => "unknown",
            InstanceStatus::Online => "online",
            InstanceStatus::Offline => "offline",
            InstanceStatus::Unavailable => "unavailable",
        }
    }

    fn shown(&self) -> Instance {
        let (agent, instance) = (self.agent, self.instance);
        Instance {
            object_id: self.id().to_string(),
            hostname: agent.hostname.clone(),
            system_id: agent.agent.to_string(),
            nginx_id: instance.reported_id.clone(),
            agent_version: agent.agent_version.clone(),
            key_object_id: agent.key.to_string(),
            nginx_build: NginxBuild {
                version: instance.version.clone(),
                plus_release: instance.plus_release.clone(),
                conf_path: instance.conf_path.clone(),
            },
            os_version: agent.os_version.clone(),
            registered_at: instance.registered_at.to_string(),
            last_reported: instance.last_reported.to_string(),
            has_container_host: agent.in_container,
            status: self.status(),
        }
    }
}

/// The instances.
#[utoipa::path(get, path = "/namespaces/{namespace}/instances",
    params(params::Namespaced, page::Asked, walk::Asked, filter::Asked, search::Asked),
    responses((status = 200, body = Rows<Instance>), (status = "4XX", body = ErrorBody)))]
pub(super) async fn list(
    State(state): State<AdminState>,
    _: Caller,
    _: Namespace,
    parameters: Parameters,
) -> Result<Json<Rows<Instance>>, ApiError> {
    let known = [&walk::PARAMETERS[..], &[search::PARAMETER]].concat();
    let parameters = parameters.only(&known)?;
    let search = Search::of(&parameters)?;
    let filter = Filter::of(&parameters, filter_field, FILTER_FIELDS)?;
    let order = Order::of(&parameters, sort_field, SORT_FIELDS)?;
    let walk = Walk::of("instances", &parameters, order)?;
    let connected = state.presence.connected().await?;
    let agents = state.instances.all();
    if search.is_any() && filter.is_any() && walk.is_by_id() {
        let rows = agents.iter().flat_map(|agent| {
            let mut instances: Vec<_> = agent.instances.iter().collect();
            instances.sort_unstable_by_key(|instance| &instance.reported_id);
            let id = agent.agent;
            instances
                .into_iter()
                .map(move |instance| ((id, Cow::from(&instance.reported_id)), (agent, instance)))
        });
        let total = agents.iter().map(|agent| agent.instances.len()).sum();
        return Ok(Json(walk.cut_by_id(total, rows, |(agent, instance)| {
            let connected = connected.contains(&agent.agent);
            Seen {
                agent,
                instance,
                connected,
            }
            .shown()
        })));
    }
    let mut found = Vec::new();
    let mut total = 0;
    for agent in &agents {
        total += agent.instances.len();
        let connected = connected.contains(&agent.agent);
        let instances = agent.instances.iter();
        let seen = instances.map(|instance| Seen {
            agent,
            instance,
            connected,
        });
        let texts = |seen: &Seen<'_>| {
            search.finds(&[
                &agent.hostname,
                &seen.instance.version,
                &seen.instance.conf_path,
            ])
        };
        let wanted = seen.filter(|seen| texts(seen) && filter.takes(|field| seen.value(field)));
        found.extend(wanted.map(|seen| Ranked {
            by: walk.ranks(|field| seen.value(field)),
            id: (agent.agent, Cow::from(&seen.instance.reported_id)),
            row: seen,
        }));
    }
    Ok(Json(walk.cut(total, found, |seen| seen.shown())))
}

/// One instance.
#[utoipa::path(get, path = "/namespaces/{namespace}/instances/{id}", params(params::One),
    responses((status = 200, body = Instance), (status = "4XX", body = ErrorBody)))]
pub(super) async fn get(
    State(state): State<AdminState>,
    _: Caller,
    RowId(id): RowId,
    _: NoParameters,
) -> Result<Json<Instance>, ApiError> {
    let connected = state.presence.connected().await?;
    let id = id.parse::<InstanceId>();
    let id = id.map_err(|error| ErrorCause::NotFound(format!("object_id: {error}")))?;
    let (agent, instance) = state.instance_admin.get(id)?;
    let seen = Seen {
        agent: &agent,
        instance: &instance,
        connected: connected.contains(&agent.agent),
    };
    Ok(Json(seen.shown()))
}
