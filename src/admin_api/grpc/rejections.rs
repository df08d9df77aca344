//! `muster.admin.v1.RejectionService`.

use std::sync::Arc;

use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{convert, page};
use crate::admin_api::error::{invalid, status};
use crate::gateway::presence::{Presence, RejectionPlace, RejectionThere};
use crate::gateway::rejections::Filter;
use crate::gateway::sessions::SessionId;
use crate::proto::admin::v1 as pb;
use crate::proto::admin::v1::rejection_service_server::RejectionService;

/// The rejection service over the lists of all gateways.
pub(crate) struct RejectionList {
    presence: Arc<Presence>,
}

impl RejectionList {
    pub fn new(presence: Arc<Presence>) -> Self {
        Self { presence }
    }
}

/// A place in the list as a token: `<milliseconds>.<gateway>-<number>`.
fn place_token(there: &RejectionThere) -> String {
    let place = there.place();
    let id = SessionId {
        gateway: place.gateway,
        number: place.number,
    };
    page::place_token(Some((place.last_at, id)))
}

#[tonic::async_trait]
impl RejectionService for RejectionList {
    async fn list_rejections(
        &self,
        request: Request<pb::ListRejectionsRequest>,
    ) -> Result<Response<pb::ListRejectionsResponse>, Status> {
        let request = request.get_ref();
        let size = page::size(request.page_size)?;
        let before = page::place::<SessionId>(&request.page_token)?;
        let before = before.map(|(last_at, id)| RejectionPlace {
            last_at,
            gateway: id.gateway,
            number: id.number,
        });
        let key = match request.key_object_id.as_str() {
            "" => None,
            id => Some(convert::key_id("key_object_id", id)?),
        };
        let agent = match request.agent_id.as_str() {
            "" => None,
            id => Some(
                Uuid::try_parse(id)
                    .map_err(|_| invalid("agent_id", "not a UUID, which every agent's id is"))?,
            ),
        };
        let filter = Filter { key, agent };
        let found = self.presence.rejections(filter, before, size).await;
        let found = found.map_err(|error| status(&error))?;
        let next_page_token = match found.last() {
            Some(last) if found.len() == size => place_token(last),
            _ => String::new(),
        };
        Ok(Response::new(pb::ListRejectionsResponse {
            rejections: found.into_iter().map(convert::rejection).collect(),
            next_page_token,
        }))
    }
}
