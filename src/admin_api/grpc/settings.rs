//! `muster.admin.v1.SettingsService`.

use tonic::{Request, Response, Status};

use super::authorize::caller;
use crate::admin_api::error::{invalid, status};
use crate::control::settings::{InstanceCleanup, StoreSettings};
use crate::proto::admin::v1 as pb;
use crate::proto::admin::v1::settings_service_server::SettingsService;

/// The settings service.
pub(crate) struct SettingsAdmin {
    settings: StoreSettings,
}

impl SettingsAdmin {
    pub fn new(settings: StoreSettings) -> Self {
        Self { settings }
    }
}

fn shown(cleanup: InstanceCleanup) -> pb::InstanceCleanup {
    pb::InstanceCleanup {
        age_out_duration: cleanup.hours(),
        from_store: cleanup.from_store,
    }
}

#[tonic::async_trait]
impl SettingsService for SettingsAdmin {
    async fn get_instance_cleanup(
        &self,
        _: Request<pb::GetInstanceCleanupRequest>,
    ) -> Result<Response<pb::GetInstanceCleanupResponse>, Status> {
        let cleanup = self.settings.instance_cleanup().await;
        let cleanup = cleanup.map_err(|error| status(&error))?;
        Ok(Response::new(pb::GetInstanceCleanupResponse {
            instance_cleanup: Some(shown(cleanup)),
        }))
    }

    async fn set_instance_cleanup(
        &self,
        request: Request<pb::SetInstanceCleanupRequest>,
    ) -> Result<Response<pb::SetInstanceCleanupResponse>, Status> {
        let actor = caller(&request)?.actor;
        let hours = request.get_ref().age_out_duration;
        let hours = hours.ok_or_else(|| invalid("age_out_duration", "give it: hours, 0: never"))?;
        let set = self.settings.set_instance_cleanup(&actor, hours).await;
        let set = set.map_err(|error| status(&error))?;
        Ok(Response::new(pb::SetInstanceCleanupResponse {
            instance_cleanup: Some(shown(set)),
        }))
    }
}
