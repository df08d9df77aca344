//! Claims: fields of meta.

use async_trait::async_trait;
use redis::cmd;

use super::schema::claim;
use super::script::Step;
use super::shared::{Over, RedisStore};
use crate::store::claims::ClaimStore;
use crate::store::error::StoreError;

#[async_trait]
impl ClaimStore for RedisStore {
    async fn claim(&self, name: &str, value: &str) -> Result<String, StoreError> {
        let shared = &*self.shared;
        let (meta, field) = (shared.schema.meta(), claim(name));
        let step = Step::new()
            .run(cmd("HSETNX").arg(&meta).arg(&field).arg(value))
            .run(cmd("HGET").arg(&meta).arg(&field));
        let mut answer = shared.take(step, Over::Writes).await?;
        let _set: bool = answer.reply()?;
        answer.reply()
    }
}
