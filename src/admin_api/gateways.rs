//! `muster.admin.v1.GatewayService`.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::page;
use super::status::key_status;
use crate::key_admin::KeyAdmin;
use crate::proto::admin::v1 as pb;
use crate::proto::admin::v1::gateway_service_server::GatewayService;
use crate::store::GatewayId;

/// The gateway service.
pub(super) struct Gateways {
    admin: Arc<KeyAdmin>,
}

impl Gateways {
    pub fn new(admin: Arc<KeyAdmin>) -> Self {
        Self { admin }
    }
}

#[tonic::async_trait]
impl GatewayService for Gateways {
    async fn list_gateways(
        &self,
        request: Request<pb::ListGatewaysRequest>,
    ) -> Result<Response<pb::ListGatewaysResponse>, Status> {
        let request = request.get_ref();
        let size = page::size(request.page_size)?;
        let after: Option<GatewayId> = page::token(&request.page_token)?;
        let (enrolled, revision) = self.admin.gateways().await.map_err(|e| key_status(&e))?;
        let mut rest = enrolled
            .into_iter()
            .filter(|gateway| after.is_none_or(|after| gateway.info.id > after));
        let own = self.admin.gateway();
        let gateways: Vec<_> = rest
            .by_ref()
            .take(size)
            .map(|gateway| pb::Gateway {
                answering: gateway.info.id == own,
                gateway_id: gateway.info.id.to_string(),
                name: gateway.info.name,
                version: gateway.info.version,
                enrolled_at: Some(gateway.enrolled_at.into()),
                last_heartbeat: Some(gateway.last_heartbeat.into()),
                applied_revision: gateway.applied.0,
                live_sessions: gateway.live_sessions,
            })
            .collect();
        let next_page_token = match (gateways.last(), rest.next()) {
            (Some(last), Some(_)) => last.gateway_id.clone(),
            _ => String::new(),
        };
        Ok(Response::new(pb::ListGatewaysResponse {
            gateways,
            next_page_token,
            revision: revision.0,
        }))
    }
}
