//! `mpi.v1.CommandService`: joins, sessions, reports.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::stream::{self, Stream};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;

use super::authenticate::{Authenticated, proven};
use super::connection::AgentConnection;
use super::convert;
use super::refusals::Refusals;
use super::status;
use super::status::Refused;
use crate::gateway::registrar::Registrar;
use crate::gateway::sessions::{EndReason, SessionGuard, SessionInfo};
use crate::net::listener::Call;
use crate::proto::mpi::v1 as mpi;
use crate::proto::mpi::v1::command_response::CommandStatus;
use crate::proto::mpi::v1::command_service_server::CommandService;

/// Longest `user-agent` that is kept, in characters.
const MAX_USER_AGENT: usize = 128;

const NO_UUID: &str = "the uuid metadata is missing: an NGINX Agent sends its resource id there";
const UUID_NOT_ONE: &str =
    "the uuid metadata is not a UUID: an NGINX Agent sends its resource id there";
const NO_ID: &str = "resource.resource_id is missing: it must be the agent's UUID; in a container, \
     check that nginx-agent can find its container id";
const ID_NOT_ONE: &str = "resource.resource_id is not a UUID";
const ID_DIFFERS: &str = "resource.resource_id differs from the uuid metadata: both must be the \
     agent's resource id";

/// The command service over the registrar.
pub(super) struct Command {
    registrar: Arc<Registrar>,
    refusals: Refusals,
}

impl Command {
    pub fn new(registrar: Arc<Registrar>, refusals: Refusals) -> Self {
        Self {
            registrar,
            refusals,
        }
    }

    fn refuse(&self, refused: Refused, who: &Authenticated) -> Status {
        refused.into_status(&self.refusals, &who.caller)
    }

    async fn recheck_after_body(&self, who: &Authenticated) -> Result<(), Status> {
        self.registrar
            .recheck_after_body(&who.presented, &who.principal)
            .await
            .map_err(|refusal| self.refuse(Refused::Key(refusal), who))
    }
}

#[tonic::async_trait]
impl CommandService for Command {
    async fn create_connection(
        &self,
        request: Request<mpi::CreateConnectionRequest>,
    ) -> Result<Response<mpi::CreateConnectionResponse>, Status> {
        let who = proven(&request)?;
        let agent = resource_id(request.metadata(), request.get_ref().resource.as_ref())
            .map_err(|refused| self.refuse(refused, &who))?;
        let resource = request.into_inner().resource.unwrap_or_default();
        self.registrar
            .join(
                &who.presented,
                &who.principal,
                agent,
                who.call.peer().ip(),
                convert::report(resource),
            )
            .await
            .map_err(|refusal| self.refuse(Refused::Key(refusal), &who))?;
        Ok(Response::new(mpi::CreateConnectionResponse {
            response: Some(mpi::CommandResponse {
                status: CommandStatus::Ok.into(),
                message: "registered".into(),
                error: String::new(),
            }),
            agent_config: None,
        }))
    }

    async fn update_data_plane_status(
        &self,
        request: Request<mpi::UpdateDataPlaneStatusRequest>,
    ) -> Result<Response<mpi::UpdateDataPlaneStatusResponse>, Status> {
        let who = proven(&request)?;
        let agent = resource_id(request.metadata(), request.get_ref().resource.as_ref())
            .map_err(|refused| self.refuse(refused, &who))?;
        self.recheck_after_body(&who).await?;
        let resource = request.into_inner().resource.unwrap_or_default();
        let report = convert::report(resource);
        self.registrar.record_report(&who.principal, agent, report);
        Ok(Response::new(mpi::UpdateDataPlaneStatusResponse {}))
    }

    async fn update_data_plane_health(
        &self,
        request: Request<mpi::UpdateDataPlaneHealthRequest>,
    ) -> Result<Response<mpi::UpdateDataPlaneHealthResponse>, Status> {
        let who = proven(&request)?;
        let agent = agent_id(request.metadata()).map_err(|refused| self.refuse(refused, &who))?;
        self.recheck_after_body(&who).await?;
        let healths = convert::healths(request.into_inner().instance_healths);
        self.registrar
            .record_health(&who.principal, agent, &healths);
        Ok(Response::new(mpi::UpdateDataPlaneHealthResponse {}))
    }

    type SubscribeStream =
        Pin<Box<dyn Stream<Item = Result<mpi::ManagementPlaneRequest, Status>> + Send>>;

    async fn subscribe(
        &self,
        request: Request<Streaming<mpi::DataPlaneResponse>>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let who = proven(&request)?;
        let info = SessionInfo {
            agent: agent_id(request.metadata()).map_err(|refused| self.refuse(refused, &who))?,
            peer: who.call.peer(),
            user_agent: user_agent(request.metadata()),
            connection: Arc::new(AgentConnection(Arc::clone(&who.call))),
        };
        let guard = self
            .registrar
            .open_session(&who.presented, who.principal.clone(), info)
            .await
            .map_err(|refusal| self.refuse(Refused::Key(refusal), &who))?;
        let session = run_session(guard, request.into_inner(), who.call);
        Ok(Response::new(Box::pin(end_stream(session))))
    }
}

/// Holds the session until it is ended, the gateway drains or the agent leaves;
/// reads and drops what the agent sends meanwhile.
#[expect(
    clippy::manual_async_fn,
    reason = "it keeps its arguments twice, for as long as a session lives"
)]
fn run_session(
    guard: SessionGuard,
    mut incoming: Streaming<mpi::DataPlaneResponse>,
    call: Arc<Call>,
) -> impl Future<Output = Option<Status>> + Send {
    async move {
        let key = guard.key();
        let drained = async {
            loop {
                match incoming.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => return None,
                    Err(status) => return Some(status),
                }
            }
        };
        let reason = tokio::select! {
            biased;
            reason = guard.ended() => reason,
            () = call.drain().cancelled() => EndReason::Draining,
            left = drained => {
                guard.close(EndReason::PeerLeft);
                return left;
            }
        };
        guard.close(reason);
        Some(status::ended(reason, key))
    }
}

/// A stream without items that ends as `end` says.
fn end_stream<T>(
    end: impl Future<Output = Option<Status>> + Send,
) -> impl Stream<Item = Result<T, Status>> + Send {
    // Boxed: `unfold` keeps its state twice.
    stream::unfold(Some(Box::pin(end)), |end| async {
        let status = end?.await?;
        Some((Err(status), None))
    })
}

fn agent_id(metadata: &MetadataMap) -> Result<Uuid, Refused> {
    let value = metadata.get("uuid").ok_or(Refused::ResourceId(NO_UUID))?;
    Uuid::try_parse_ascii(value.as_bytes()).map_err(|_| Refused::ResourceId(UUID_NOT_ONE))
}

fn resource_id(metadata: &MetadataMap, resource: Option<&mpi::Resource>) -> Result<Uuid, Refused> {
    let id = resource.map_or("", |resource| resource.resource_id.as_str());
    if id.is_empty() {
        return Err(Refused::ResourceId(NO_ID));
    }
    let id = Uuid::try_parse(id).map_err(|_| Refused::ResourceId(ID_NOT_ONE))?;
    if agent_id(metadata)? != id {
        return Err(Refused::ResourceId(ID_DIFFERS));
    }
    Ok(id)
}

fn user_agent(metadata: &MetadataMap) -> String {
    let value = metadata.get("user-agent").map(|value| value.as_bytes());
    String::from_utf8_lossy(value.unwrap_or_default())
        .chars()
        .take(MAX_USER_AGENT)
        .collect()
}
