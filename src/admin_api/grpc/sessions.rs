//! `muster.admin.v1.SessionService`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tonic::{Request, Response, Status};

use super::authorize::caller;
use super::{convert, page};
use crate::admin_api::error::{invalid, status};
use crate::gateway::presence::{Disconnected, Presence};
use crate::gateway::sessions::SessionId;
use crate::proto::admin::v1 as pb;
use crate::proto::admin::v1::session_service_server::SessionService;

/// How long a disconnect waits for the stream to close before it answers.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// The session service over the sessions of all gateways.
pub(crate) struct Sessions {
    presence: Arc<Presence>,
}

impl Sessions {
    pub fn new(presence: Arc<Presence>) -> Self {
        Self { presence }
    }
}

#[tonic::async_trait]
impl SessionService for Sessions {
    async fn list_sessions(
        &self,
        request: Request<pb::ListSessionsRequest>,
    ) -> Result<Response<pb::ListSessionsResponse>, Status> {
        let request = request.get_ref();
        let size = page::size(request.page_size)?;
        let after: Option<SessionId> = page::id(&request.page_token)?;
        let key = match request.key_object_id.as_str() {
            "" => None,
            id => Some(convert::key_id("key_object_id", id)?),
        };
        let found = self.presence.sessions(key, after, size).await;
        let found = found.map_err(|error| status(&error))?;
        let next_page_token = match found.last() {
            Some(last) if found.len() == size => page::id_token(&last.view.id),
            _ => String::new(),
        };
        Ok(Response::new(pb::ListSessionsResponse {
            sessions: found.into_iter().map(convert::session).collect(),
            next_page_token,
        }))
    }

    async fn disconnect_session(
        &self,
        request: Request<pb::DisconnectSessionRequest>,
    ) -> Result<Response<pb::DisconnectSessionResponse>, Status> {
        let started = Instant::now();
        let actor = caller(&request)?.actor;
        let id: SessionId = request
            .get_ref()
            .session_id
            .parse()
            .map_err(|error| invalid("session_id", error))?;
        actor.begin_target(id, "");
        let disconnected = self.presence.disconnect(id, CLOSE_WAIT).await;
        match disconnected.map_err(|error| {
            actor.failed(&error);
            status(&error)
        })? {
            Disconnected::NotFound => Err(Status::not_found(format!(
                "{id}: there is no such live session; `muster sessions list` shows them"
            ))),
            Disconnected::Ended { closed } => {
                tracing::info!(target: "muster::audit", actor = actor.name(), session = %id, "session disconnected");
                Ok(Response::new(pb::DisconnectSessionResponse {
                    closed,
                    milliseconds: convert::millis(started.elapsed()),
                }))
            }
        }
    }
}
