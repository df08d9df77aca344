//! `muster.admin.v1.GatewayService`.

use std::net::SocketAddr;

use tonic::{Request, Response, Status};

use super::authorize::caller;
use super::{convert, page};
use crate::admin_api::error::{invalid, status};
use crate::control::gateways::{GatewayError, Gateways};
use crate::keys::Timestamp;
use crate::proto::admin::v1 as pb;
use crate::proto::admin::v1::gateway_service_server::GatewayService;
use crate::store::{Bound, Enrolled, GatewayId};

/// The gateway service.
pub(crate) struct GatewayAdmin {
    gateways: Gateways,
}

impl GatewayAdmin {
    pub fn new(gateways: Gateways) -> Self {
        Self { gateways }
    }
}

fn address(gateway: &Enrolled, which: impl Fn(Bound) -> SocketAddr) -> String {
    let bound = gateway.standing.bound;
    bound.map_or_else(String::new, |bound| which(bound).to_string())
}

#[tonic::async_trait]
impl GatewayService for GatewayAdmin {
    async fn list_gateways(
        &self,
        request: Request<pb::ListGatewaysRequest>,
    ) -> Result<Response<pb::ListGatewaysResponse>, Status> {
        let request = request.get_ref();
        let size = page::size(request.page_size)?;
        let after: Option<GatewayId> = page::id(&request.page_token)?;
        let all = self.gateways.all().await.map_err(GatewayError::from);
        let (enrolled, revision) = all.map_err(|e| status(&e))?;
        let mut rest = enrolled
            .into_iter()
            .filter(|gateway| after.is_none_or(|after| gateway.info.id > after));
        let own = self.gateways.own();
        let now = self.gateways.now();
        let gateways: Vec<_> = rest
            .by_ref()
            .take(size)
            .map(|gateway| pb::Gateway {
                answering: gateway.info.id == own,
                agent_address: address(&gateway, |bound| bound.agent),
                admin_address: address(&gateway, |bound| bound.admin),
                view_age_milliseconds: convert::millis(gateway.view_age(now)),
                unreachable: gateway.is_lapsed(now),
                gateway_id: gateway.info.id.to_string(),
                name: gateway.info.name,
                version: gateway.info.version,
                enrolled_at: known(gateway.enrolled_at),
                last_heartbeat: known(gateway.last_heartbeat),
                applied_revision: gateway.applied.0,
                live_sessions: gateway.live_sessions,
            })
            .collect();
        let next_page_token = match (gateways.last(), rest.next()) {
            (Some(last), Some(_)) => page::id_token(&last.gateway_id),
            _ => String::new(),
        };
        Ok(Response::new(pb::ListGatewaysResponse {
            gateways,
            next_page_token,
            revision: revision.0,
        }))
    }

    async fn forget_gateway(
        &self,
        request: Request<pb::ForgetGatewayRequest>,
    ) -> Result<Response<pb::ForgetGatewayResponse>, Status> {
        let actor = caller(&request)?.actor;
        let id: GatewayId = request
            .get_ref()
            .gateway_id
            .parse()
            .map_err(|error| invalid("gateway_id", error))?;
        let forgotten = self.gateways.forget(&actor, id).await;
        forgotten.map_err(|e| status(&e))?;
        Ok(Response::new(pb::ForgetGatewayResponse {}))
    }
}

/// A time of a gateway; of one whose rows can't be read there is none.
fn known(time: Timestamp) -> Option<prost_types::Timestamp> {
    (time.as_millis() != 0).then(|| time.into())
}
