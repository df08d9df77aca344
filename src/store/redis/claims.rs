//! Claims: fields of meta.

use redis::cmd;

use super::schema::claim;
use super::script::Step;
use super::{Over, Shared};
use crate::store::keys::StoreError;

pub(super) async fn take(shared: &Shared, name: &str, value: &str) -> Result<String, StoreError> {
    let (meta, field) = (shared.schema.meta(), claim(name));
    let step = Step::new()
        .run(cmd("HSETNX").arg(&meta).arg(&field).arg(value))
        .run(cmd("HGET").arg(&meta).arg(&field));
    let mut answer = shared.take(step, Over::Writes).await?;
    let _set: bool = answer.reply()?;
    answer.reply()
}
