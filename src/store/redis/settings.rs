//! Settings: fields of meta.

use async_trait::async_trait;
use redis::cmd;

use super::schema::setting;
use super::script::Step;
use super::shared::{Over, RedisStore};
use crate::store::error::StoreError;
use crate::store::settings::SettingStore;

#[async_trait]
impl SettingStore for RedisStore {
    async fn setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        let mut get = cmd("HGET");
        get.arg(self.shared.schema.meta()).arg(setting(name));
        self.shared.ask(&get, Over::Loads).await
    }

    async fn set(&self, name: &str, value: &str) -> Result<Option<String>, StoreError> {
        let (meta, field) = (self.shared.schema.meta(), setting(name));
        let step = Step::new()
            .run(cmd("HGET").arg(&meta).arg(&field))
            .run(cmd("HSET").arg(&meta).arg(&field).arg(value));
        self.shared.take(step, Over::Writes).await?.reply()
    }
}
