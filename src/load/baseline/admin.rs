//! As much of the admin API as `muster load` needs.

use std::sync::Arc;

use tokio::sync::watch;
use tonic::{Request, Response, Status};

use crate::keys::{KeyId, Kind, mint};
use crate::proto::admin::v1 as pb;
use crate::proto::admin::v1::key_service_server::KeyService;

/// Makes keys that are not checked; a revoke ends every stream.
pub(super) struct Admin {
    end: Arc<watch::Sender<u64>>,
}

impl Admin {
    pub fn new(end: Arc<watch::Sender<u64>>) -> Self {
        Self { end }
    }
}

fn not_here<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("a floor keeps no keys"))
}

#[tonic::async_trait]
impl KeyService for Admin {
    async fn create_key(
        &self,
        request: Request<pb::CreateKeyRequest>,
    ) -> Result<Response<pb::CreateKeyResponse>, Status> {
        let minted = mint(Kind::DataPlaneKey);
        let minted = minted.map_err(|error| Status::unavailable(error.to_string()))?;
        Ok(Response::new(pb::CreateKeyResponse {
            key: Some(pb::Key {
                object_id: KeyId(minted.id).to_string(),
                name: request.into_inner().name,
                ..Default::default()
            }),
            secret: minted.expose().to_owned(),
            ..Default::default()
        }))
    }

    async fn revoke_key(
        &self,
        _: Request<pb::RevokeKeyRequest>,
    ) -> Result<Response<pb::RevokeKeyResponse>, Status> {
        self.end.send_modify(|times| *times += 1);
        Ok(Response::new(pb::RevokeKeyResponse {
            complete: true,
            ..Default::default()
        }))
    }

    async fn delete_key(
        &self,
        _: Request<pb::DeleteKeyRequest>,
    ) -> Result<Response<pb::DeleteKeyResponse>, Status> {
        Ok(Response::new(pb::DeleteKeyResponse::default()))
    }

    async fn get_key(
        &self,
        _: Request<pb::GetKeyRequest>,
    ) -> Result<Response<pb::GetKeyResponse>, Status> {
        not_here()
    }

    async fn list_keys(
        &self,
        _: Request<pb::ListKeysRequest>,
    ) -> Result<Response<pb::ListKeysResponse>, Status> {
        not_here()
    }

    async fn edit_key(
        &self,
        _: Request<pb::EditKeyRequest>,
    ) -> Result<Response<pb::EditKeyResponse>, Status> {
        not_here()
    }

    async fn delete_keys(
        &self,
        _: Request<pb::DeleteKeysRequest>,
    ) -> Result<Response<pb::DeleteKeysResponse>, Status> {
        not_here()
    }
}
