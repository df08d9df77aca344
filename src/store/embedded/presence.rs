//! Presence lists: an embedded store has one gateway, which needs none to see itself.

use async_trait::async_trait;

use super::database::EmbeddedStore;
use crate::store::error::StoreError;
use crate::store::gateways::GatewayId;
use crate::store::presence::{PresenceList, PresenceStore, PresenceUpdate, PublishedList};

#[async_trait]
impl PresenceStore for EmbeddedStore {
    async fn publish(
        &self,
        _: GatewayId,
        _: PresenceList,
        _: PresenceUpdate,
    ) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn read_others(
        &self,
        _: GatewayId,
        _: PresenceList,
        _: &[(GatewayId, u64)],
    ) -> Result<Vec<PublishedList>, StoreError> {
        Ok(Vec::new())
    }

    async fn send_command(&self, gateway: GatewayId, _: String) -> Result<(), StoreError> {
        let nobody = format!("there is no gateway {gateway} but this one");
        Err(StoreError::Failed(nobody))
    }

    async fn take_commands(&self, _: GatewayId) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }
}
