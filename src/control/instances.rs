//! Forgetting NGINX instances. Transport-free: every interface ends here.
//!
//! Owns: which instance may be forgotten, and the audit record of it. Must not
//! know: gRPC, REST, how the caller authenticated.
//! Invariant: what its connected agent reports is not forgotten: it would be
//! missing though it runs, until the agent happens to report again.

use std::sync::Arc;

use uuid::Uuid;

use crate::control::audit::Actor;
use crate::control::error::{AdminError, ErrorKind};
use crate::gateway::events::Events;
use crate::gateway::presence::Presence;
use crate::gateway::registrations::{InstanceId, Instances};
use crate::store::{AgentRecord, AuditResult, EventKind, InstanceRecord, StoreError};

/// Why an instance is not forgotten.
#[derive(Debug, Clone, thiserror::Error)]
pub enum InstanceAdminError {
    /// There is none of that id.
    #[error("{0}: there is no such instance")]
    NotFound(InstanceId),
    /// It is there, as far as its agent says.
    #[error(
        "{instance} is reported by its agent {agent}, which is connected: it would come back; stop \
         that agent, or remove NGINX there, then delete it"
    )]
    Reported {
        /// Which instance.
        instance: InstanceId,
        /// Whose.
        agent: Uuid,
    },
    /// The store failed. It is forgotten here, and written once the store answers.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AdminError for InstanceAdminError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound(_) => ErrorKind::NotFound,
            Self::Reported { .. } => ErrorKind::Conflict,
            Self::Store(error) => error.kind(),
        }
    }
}

/// Forgets instances.
#[derive(Clone)]
pub struct InstanceAdmin {
    instances: Arc<Instances>,
    presence: Arc<Presence>,
    events: Arc<Events>,
}

impl InstanceAdmin {
    /// Over the instances of a store; `presence` knows whose agent is connected.
    pub fn new(instances: Arc<Instances>, presence: Arc<Presence>, events: Arc<Events>) -> Self {
        Self {
            instances,
            presence,
            events,
        }
    }

    /// An instance and its agent.
    ///
    /// # Errors
    /// [`InstanceAdminError::NotFound`].
    pub fn get(
        &self,
        id: InstanceId,
    ) -> Result<(Arc<AgentRecord>, InstanceRecord), InstanceAdminError> {
        let agent = self.instances.agent_of(id);
        let agent = agent.ok_or(InstanceAdminError::NotFound(id))?;
        let is_it = |one: &&InstanceRecord| InstanceId::of(agent.agent, &one.reported_id) == id;
        let instance = agent.instances.iter().find(is_it).cloned();
        let instance = instance.ok_or(InstanceAdminError::NotFound(id))?;
        Ok((agent, instance))
    }

    /// Forgets an instance, on all gateways; its agent stays, with the keys that it
    /// joined with, also if it has no other instance.
    ///
    /// # Errors
    /// [`InstanceAdminError`].
    pub async fn delete(&self, actor: &Actor, id: InstanceId) -> Result<(), InstanceAdminError> {
        actor.begin_target(id, "");
        let deleted = self.forget(actor, id).await;
        // Of several each ends for itself.
        match &deleted {
            Ok(()) => actor.set_result(AuditResult::Ok, None),
            Err(InstanceAdminError::Store(error)) => actor.failed(error),
            Err(error) => actor.set_result(AuditResult::Refused, Some(error.to_string())),
        }
        deleted
    }

    async fn forget(&self, actor: &Actor, id: InstanceId) -> Result<(), InstanceAdminError> {
        loop {
            let (agent, instance) = self.get(id)?;
            if instance.reported && self.presence.connected().await?.contains(&agent.agent) {
                return Err(InstanceAdminError::Reported {
                    instance: id,
                    agent: agent.agent,
                });
            }
            // Else it has reported since we looked: look again.
            if self
                .instances
                .forget_instance(id, agent.reported_at)
                .await?
            {
                actor.set_detail(agent.hostname.as_str());
                self.audit(actor, id, &agent);
                return Ok(());
            }
        }
    }

    fn audit(&self, actor: &Actor, id: InstanceId, agent: &AgentRecord) {
        tracing::info!(
            target: "muster::audit",
            actor = actor.name(),
            action = "delete",
            instance = %id,
            agent = %agent.agent,
            "instance forgotten"
        );
        let detail = format!("{id} by {}", actor.name());
        self.events.note(
            EventKind::InstanceDeleted,
            Some(agent.key),
            Some(agent.agent),
            detail,
        );
    }
}
