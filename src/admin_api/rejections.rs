//! `muster.admin.v1.RejectionService`.

use std::sync::Arc;

use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::status::invalid;
use super::{convert, page};
use crate::proto::admin::v1 as pb;
use crate::proto::admin::v1::rejection_service_server::RejectionService;
use crate::rejections::{Filter, Rejections};

/// The rejection service over this gateway's list.
pub(super) struct Refused {
    rejections: Arc<Rejections>,
}

impl Refused {
    pub fn new(rejections: Arc<Rejections>) -> Self {
        Self { rejections }
    }
}

#[tonic::async_trait]
impl RejectionService for Refused {
    async fn list_rejections(
        &self,
        request: Request<pb::ListRejectionsRequest>,
    ) -> Result<Response<pb::ListRejectionsResponse>, Status> {
        let request = request.get_ref();
        let size = page::size(request.page_size)?;
        let before: Option<u64> = page::token(&request.page_token)?;
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
        let found = self.rejections.list(Filter { key, agent }, before, size);
        let next_page_token = match found.last() {
            Some(last) if found.len() == size => last.number.to_string(),
            _ => String::new(),
        };
        Ok(Response::new(pb::ListRejectionsResponse {
            rejections: found.iter().map(convert::rejection).collect(),
            next_page_token,
        }))
    }
}
