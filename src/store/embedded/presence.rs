//! Boards: an embedded store has one gateway, which needs none to see itself.

use async_trait::async_trait;

use super::database::EmbeddedStore;
use crate::store::error::StoreError;
use crate::store::gateways::GatewayId;
use crate::store::presence::{Board, BoardStore, BoardUpdate, Shown};

#[async_trait]
impl BoardStore for EmbeddedStore {
    async fn show(&self, _: GatewayId, _: Board, _: BoardUpdate) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn shown(
        &self,
        _: GatewayId,
        _: Board,
        _: &[(GatewayId, u64)],
    ) -> Result<Vec<Shown>, StoreError> {
        Ok(Vec::new())
    }

    async fn ask(&self, gateway: GatewayId, _: String) -> Result<(), StoreError> {
        let nobody = format!("there is no gateway {gateway} but this one");
        Err(StoreError::Failed(nobody))
    }

    async fn asked(&self, _: GatewayId) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }
}
