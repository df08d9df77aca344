//! `muster.admin.v1.SessionService`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tonic::{Request, Response, Status};

use super::authenticate::actor;
use super::status::invalid;
use super::{convert, page};
use crate::proto::admin::v1 as pb;
use crate::proto::admin::v1::session_service_server::SessionService;
use crate::sessions::{Registry, SessionId};

/// How long a disconnect waits for the stream to close before it answers.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// The session service over the registry.
pub(super) struct Sessions {
    registry: Arc<Registry>,
}

impl Sessions {
    pub fn new(registry: Arc<Registry>) -> Self {
        Self { registry }
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
        let after: Option<u64> = page::token(&request.page_token)?;
        let key = match request.key_object_id.as_str() {
            "" => None,
            id => Some(convert::key_id("key_object_id", id)?),
        };
        let views = self.registry.list(key, after.unwrap_or(0), size);
        let next_page_token = match views.last() {
            Some(last) if views.len() == size => last.id.number.to_string(),
            _ => String::new(),
        };
        Ok(Response::new(pb::ListSessionsResponse {
            sessions: views.into_iter().map(convert::session).collect(),
            next_page_token,
        }))
    }

    async fn disconnect_session(
        &self,
        request: Request<pb::DisconnectSessionRequest>,
    ) -> Result<Response<pb::DisconnectSessionResponse>, Status> {
        let started = Instant::now();
        let actor = actor(&request)?;
        let id: SessionId = request
            .get_ref()
            .session_id
            .parse()
            .map_err(|error| invalid("session_id", error))?;
        let Some(closing) = self.registry.disconnect(id) else {
            let text =
                format!("{id}: there is no such live session; `muster sessions list` shows them");
            return Err(Status::not_found(text));
        };
        tracing::info!(target: "muster::audit", actor = %actor.0, session = %id, "session disconnected");
        let closed = tokio::time::timeout(CLOSE_WAIT, closing.closed())
            .await
            .is_ok();
        Ok(Response::new(pb::DisconnectSessionResponse {
            closed,
            milliseconds: convert::millis(started.elapsed()),
        }))
    }
}
