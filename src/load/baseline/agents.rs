//! The agent's protocol, answered without a check.

use std::collections::HashMap;
use std::pin::Pin;

use futures_util::stream::{self, Stream};
use tokio::sync::watch;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_types::{ErrorDetails, StatusExt};

use crate::proto::mpi::v1 as mpi;
use crate::proto::mpi::v1::command_response::CommandStatus;
use crate::proto::mpi::v1::command_service_server::CommandService;

/// As long as what a gateway says to the agents of a revoked key: they are the
/// larger part of what goes over the wire when many sessions end.
const LAST_WORDS: &str = "data plane key key_0123456789ABCDEF was revoked at \
     2026-01-01T00:00:00.123Z, for good: make another with `muster keys create` and put it into \
     the agent's key file";

/// Lets everybody in; all streams end when the number changes.
pub(super) struct Agents {
    ended: watch::Receiver<u64>,
}

impl Agents {
    pub fn new(ended: watch::Receiver<u64>) -> Self {
        Self { ended }
    }
}

#[tonic::async_trait]
impl CommandService for Agents {
    async fn create_connection(
        &self,
        _: Request<mpi::CreateConnectionRequest>,
    ) -> Result<Response<mpi::CreateConnectionResponse>, Status> {
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
        _: Request<mpi::UpdateDataPlaneStatusRequest>,
    ) -> Result<Response<mpi::UpdateDataPlaneStatusResponse>, Status> {
        Ok(Response::new(mpi::UpdateDataPlaneStatusResponse {}))
    }

    async fn update_data_plane_health(
        &self,
        _: Request<mpi::UpdateDataPlaneHealthRequest>,
    ) -> Result<Response<mpi::UpdateDataPlaneHealthResponse>, Status> {
        Ok(Response::new(mpi::UpdateDataPlaneHealthResponse {}))
    }

    type SubscribeStream =
        Pin<Box<dyn Stream<Item = Result<mpi::ManagementPlaneRequest, Status>> + Send>>;

    async fn subscribe(
        &self,
        request: Request<Streaming<mpi::DataPlaneResponse>>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let mut ended = self.ended.clone();
        ended.mark_unchanged();
        let incoming = request.into_inner();
        let session = async move {
            let left = async {
                let mut incoming = incoming;
                while let Ok(Some(_)) = incoming.message().await {}
            };
            tokio::select! {
                _ = ended.changed() => Some(Err(last_words())),
                () = left => None,
            }
        };
        let stream = stream::unfold(Some(session), async |session| {
            session?.await.map(|last| (last, None))
        });
        Ok(Response::new(Box::pin(stream)))
    }
}

fn last_words() -> Status {
    let details = ErrorDetails::with_error_info("KEY_REVOKED", "muster", HashMap::new());
    Status::with_error_details(Code::Unauthenticated, LAST_WORDS, details)
}
