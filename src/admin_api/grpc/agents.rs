//! `muster.admin.v1.AgentService`.

use std::collections::HashSet;
use std::sync::Arc;

use prost::Message;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::authorize::caller;
use super::{convert, page};
use crate::admin_api::error::{invalid, status};
use crate::control::audit::Actor;
use crate::control::instances::InstanceAdmin;
use crate::gateway::presence::Presence;
use crate::gateway::registrations::{InstanceId, InstanceStatus, Instances, Under};
use crate::keys::KeyId;
use crate::proto::admin::v1 as pb;
use crate::proto::admin::v1::agent_service_server::AgentService;
use crate::proto::admin::v1::delete_outcome::Outcome;
use crate::store::{AgentRecord, InstanceRecord};

/// What an operator reads of an agent that is connected and reports nothing.
const NO_NGINX: &str = "connected, no NGINX found: is nginx running, and may nginx-agent see it?";

/// The agent service.
pub(crate) struct Agents {
    instances: Arc<Instances>,
    presence: Arc<Presence>,
    admin: InstanceAdmin,
}

impl Agents {
    pub fn new(instances: Arc<Instances>, presence: Arc<Presence>, admin: InstanceAdmin) -> Self {
        Self {
            instances,
            presence,
            admin,
        }
    }
}

fn agent(record: &AgentRecord, connected: bool) -> pb::Agent {
    let remark = if connected && !record.instances.iter().any(|i| i.reported) {
        NO_NGINX
    } else {
        ""
    };
    pb::Agent {
        agent_id: record.agent.to_string(),
        key_object_id: record.key.to_string(),
        connected,
        hostname: record.hostname.clone(),
        os_version: record.os_version.clone(),
        agent_version: record.agent_version.clone(),
        in_container: record.in_container,
        labels: record.labels.clone().into_iter().collect(),
        first_seen: Some(record.first_seen.into()),
        last_seen: Some(record.last_seen.into()),
        last_address: record.last_address.to_string(),
        instances_count: u32::try_from(record.instances.len()).unwrap_or(u32::MAX),
        remark: remark.into(),
    }
}

fn instance(of: &AgentRecord, instance: &InstanceRecord, connected: bool) -> pb::Instance {
    let status = match InstanceStatus::of(instance, connected) {
        InstanceStatus::Unknown => pb::InstanceStatus::Unknown,
        InstanceStatus::Online => pb::InstanceStatus::Online,
        InstanceStatus::Offline => pb::InstanceStatus::Offline,
        InstanceStatus::Unavailable => pb::InstanceStatus::Unavailable,
    };
    pb::Instance {
        object_id: InstanceId::of(of.agent, &instance.reported_id).to_string(),
        agent_id: of.agent.to_string(),
        nginx_id: instance.reported_id.clone(),
        key_object_id: of.key.to_string(),
        hostname: of.hostname.clone(),
        agent_version: of.agent_version.clone(),
        version: instance.version.clone(),
        plus_release: instance.plus_release.clone(),
        binary_path: instance.binary_path.clone(),
        conf_path: instance.conf_path.clone(),
        os_version: of.os_version.clone(),
        in_container: of.in_container,
        status: status.into(),
        registered_at: Some(instance.registered_at.into()),
        last_reported: Some(instance.last_reported.into()),
    }
}

fn optional_key(id: &str) -> Result<Option<KeyId>, Status> {
    match id {
        "" => Ok(None),
        id => convert::key_id("key_object_id", id).map(Some),
    }
}

impl Agents {
    async fn connected(&self) -> Result<HashSet<Uuid>, Status> {
        let connected = self.presence.connected().await;
        connected.map_err(|error| status(&error))
    }
}

#[tonic::async_trait]
impl AgentService for Agents {
    async fn list_agents(
        &self,
        request: Request<pb::ListAgentsRequest>,
    ) -> Result<Response<pb::ListAgentsResponse>, Status> {
        let request = request.get_ref();
        let size = page::size(request.page_size)?;
        let after: Option<Uuid> = page::id(&request.page_token)?;
        let key = optional_key(&request.key_object_id)?;
        let wanted_connection = match request.connection {
            0 => None,
            1 => Some(true),
            2 => Some(false),
            _ => {
                return Err(invalid(
                    "connection",
                    "must be 0 (all), 1 (connected) or 2 (not)",
                ));
            }
        };
        let connected = self.connected().await?;
        let under = match key {
            Some(key) if request.ever => Under::Ever(key),
            key => key.map_or(Under::Any, Under::Now),
        };
        let records = self.instances.agents(under, after, size, |record| {
            wanted_connection.is_none_or(|c| c == connected.contains(&record.agent))
        });
        let mut page = pb::ListAgentsResponse::default();
        let mut bytes = 0;
        for (at, record) in records.iter().enumerate() {
            if key.is_none_or(|k| k == record.key || self.instances.ever_joined(k, record.agent)) {
                let row = agent(record, connected.contains(&record.agent));
                bytes += row.encoded_len();
                page.agents.push(row);
            }
            let is_last = at + 1 == records.len();
            if (is_last && records.len() == size) || (!is_last && bytes >= page::FULL) {
                page.next_page_token = page::id_token(&record.agent);
                break;
            }
        }
        Ok(Response::new(page))
    }

    async fn get_agent(
        &self,
        request: Request<pb::GetAgentRequest>,
    ) -> Result<Response<pb::GetAgentResponse>, Status> {
        let id = Uuid::try_parse(&request.get_ref().agent_id)
            .map_err(|_| invalid("agent_id", "not a UUID: `muster agents list` shows them"))?;
        let Some((record, registrations)) = self.instances.agent(id) else {
            let text = format!("{id}: there is no such agent; `muster agents list` shows them");
            return Err(Status::not_found(text));
        };
        let connected = self.connected().await?.contains(&id);
        let instances = record.instances.iter();
        Ok(Response::new(pb::GetAgentResponse {
            agent: Some(agent(&record, connected)),
            instances: instances.map(|i| instance(&record, i, connected)).collect(),
            registrations: registrations
                .into_iter()
                .map(|row| pb::Registration {
                    key_object_id: row.key.to_string(),
                    first_seen: Some(row.first_seen.into()),
                    last_seen: Some(row.last_seen.into()),
                    last_address: row.last_address.to_string(),
                    joins: row.joins,
                })
                .collect(),
        }))
    }

    async fn list_instances(
        &self,
        request: Request<pb::ListInstancesRequest>,
    ) -> Result<Response<pb::ListInstancesResponse>, Status> {
        let request = request.get_ref();
        let size = page::size(request.page_size)?;
        let after: Option<Uuid> = page::id(&request.page_token)?;
        let key = optional_key(&request.key_object_id)?;
        let status = pb::InstanceStatus::try_from(request.status)
            .map_err(|_| invalid("status", "must be UNKNOWN, ONLINE, OFFLINE or UNAVAILABLE"))?;
        let connected = self.connected().await?;
        Ok(Response::new(
            self.instances_page(&connected, key, status, after, size),
        ))
    }

    async fn delete_instances(
        &self,
        request: Request<pb::DeleteInstancesRequest>,
    ) -> Result<Response<pb::DeleteInstancesResponse>, Status> {
        let actor = caller(&request)?.actor;
        let ids = convert::ids_to_delete(request.into_inner().object_ids)?;
        let mut outcomes = Vec::with_capacity(ids.len());
        for id in ids {
            outcomes.push(self.delete_one(&actor, id).await);
        }
        Ok(Response::new(pb::DeleteInstancesResponse { outcomes }))
    }
}

impl Agents {
    async fn delete_one(&self, actor: &Actor, object_id: String) -> pb::InstanceDeleteOutcome {
        let mut outcome = pb::InstanceDeleteOutcome {
            object_id,
            ..Default::default()
        };
        let id: InstanceId = match outcome.object_id.parse() {
            Ok(id) => id,
            Err(error) => {
                outcome.set_outcome(Outcome::Invalid);
                outcome.failure_reason = format!("object_id: {error}");
                actor.refused(&outcome.object_id, outcome.failure_reason.as_str());
                return outcome;
            }
        };
        if let Ok((agent, _)) = self.admin.get(id) {
            outcome.name = agent.hostname.clone();
        }
        match self.admin.delete(actor, id).await {
            Ok(()) => outcome.set_outcome(Outcome::Deleted),
            Err(error) => {
                outcome.set_outcome(Outcome::Failed);
                outcome.failure_reason = error.to_string();
            }
        }
        outcome
    }

    /// A page ends between two agents, so that its token is an agent's id.
    fn instances_page(
        &self,
        connected: &HashSet<Uuid>,
        key: Option<KeyId>,
        status: pb::InstanceStatus,
        after: Option<Uuid>,
        size: usize,
    ) -> pb::ListInstancesResponse {
        let under = key.map_or(Under::Any, Under::Now);
        let with_instances = |record: &AgentRecord| !record.instances.is_empty();
        let records = self.instances.agents(under, after, size, with_instances);
        let mut page = pb::ListInstancesResponse::default();
        let mut bytes = 0;
        for (at, record) in records.iter().enumerate() {
            let connected = connected.contains(&record.agent);
            let rows = record
                .instances
                .iter()
                .map(|i| instance(record, i, connected));
            let wanted = |row: &pb::Instance| {
                status == pb::InstanceStatus::Unspecified || row.status() == status
            };
            let before = page.instances.len();
            page.instances.extend(rows.filter(wanted));
            let new = &page.instances[before..];
            bytes += new.iter().map(Message::encoded_len).sum::<usize>();
            let full = page.instances.len() >= size || bytes >= page::FULL;
            let is_last = at + 1 == records.len();
            if (is_last && records.len() == size) || (!is_last && full) {
                page.next_page_token = page::id_token(&record.agent);
                break;
            }
        }
        page
    }
}
