//! The fake's instances and settings.

use tonic::{Request, Response, Status};

use super::Api;
use crate::proto::admin::v1::agent_service_server::AgentService;
use crate::proto::admin::v1::delete_outcome::Outcome;
use crate::proto::admin::v1::settings_service_server::SettingsService;
use crate::proto::admin::v1::*;

#[tonic::async_trait]
impl AgentService for Api {
    async fn list_agents(
        &self,
        _: Request<ListAgentsRequest>,
    ) -> Result<Response<ListAgentsResponse>, Status> {
        Err(Status::unimplemented("no agents here"))
    }

    async fn get_agent(
        &self,
        _: Request<GetAgentRequest>,
    ) -> Result<Response<GetAgentResponse>, Status> {
        Err(Status::unimplemented("no agents here"))
    }

    async fn list_instances(
        &self,
        _: Request<ListInstancesRequest>,
    ) -> Result<Response<ListInstancesResponse>, Status> {
        Err(Status::unimplemented("no agents here"))
    }

    async fn delete_instances(
        &self,
        request: Request<DeleteInstancesRequest>,
    ) -> Result<Response<DeleteInstancesResponse>, Status> {
        self.answer(request, |state, asked| {
            if asked.object_ids.len() > 50 {
                return Err(Status::invalid_argument("1 to 50 instances"));
            }
            let mut outcomes = Vec::new();
            for object_id in asked.object_ids {
                let known = state.instances.len();
                state.instances.retain(|id| *id != object_id);
                let is_gone = state.instances.len() < known;
                let (outcome, failure_reason) = match is_gone {
                    true => (Outcome::Deleted, String::new()),
                    false => (Outcome::Failed, "there is no such instance".to_owned()),
                };
                outcomes.push(InstanceDeleteOutcome {
                    object_id,
                    name: "host".to_owned(),
                    outcome: outcome.into(),
                    failure_reason,
                });
            }
            Ok(DeleteInstancesResponse { outcomes })
        })
    }
}

fn shown(hours: Option<u32>) -> Option<InstanceCleanup> {
    Some(InstanceCleanup {
        age_out_duration: hours.unwrap_or(24),
        from_store: hours.is_some(),
    })
}

#[tonic::async_trait]
impl SettingsService for Api {
    async fn get_instance_cleanup(
        &self,
        request: Request<GetInstanceCleanupRequest>,
    ) -> Result<Response<GetInstanceCleanupResponse>, Status> {
        self.answer(request, |state, _| {
            Ok(GetInstanceCleanupResponse {
                instance_cleanup: shown(state.cleanup),
            })
        })
    }

    async fn set_instance_cleanup(
        &self,
        request: Request<SetInstanceCleanupRequest>,
    ) -> Result<Response<SetInstanceCleanupResponse>, Status> {
        self.answer(request, |state, asked| {
            state.cleanup = asked.age_out_duration;
            Ok(SetInstanceCleanupResponse {
                instance_cleanup: shown(state.cleanup),
            })
        })
    }
}
