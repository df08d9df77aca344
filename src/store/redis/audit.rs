//! The audit trail: a log.

use async_trait::async_trait;
use redis::cmd;

use super::schema::FIELD_LAST_AUDIT;
use super::script::{Step, Word};
use super::sequence::{Log, Scored, Stand, get_batch, set_batch};
use super::shared::{ATTEMPTS, Over, RedisStore, Shared};
use crate::keys::{Id, Timestamp};
use crate::store::audit::{AuditEntry, AuditPage, AuditRecord, AuditStore};
use crate::store::codec::{decode, encode};
use crate::store::error::StoreError;

/// Old records looked at in one step.
const LOOK: usize = 500;

#[async_trait]
impl AuditStore for RedisStore {
    async fn append_audit(
        &self,
        deeds: Vec<AuditEntry>,
        writer: Id,
        number: u64,
    ) -> Result<bool, StoreError> {
        let shared = &*self.shared;
        let deeds = deeds.as_slice();
        let log = log(shared);
        for _ in 0..ATTEMPTS {
            let read = log
                .stand(shared, Step::new())
                .run(&get_batch(shared, writer));
            let mut read = shared.take(read, Over::Writes).await?;
            let stand = Stand::read(&mut read)?;
            let done: Option<u64> = read.reply()?;
            if done.is_some_and(|done| done >= number) {
                return Ok(false);
            }
            let written_at = shared.shifted(read.now);
            let step = log.append(shared, &stand, deeds, |id, deed| {
                encode(&AuditRecord {
                    id,
                    written_at,
                    deed: deed.clone(),
                })
            })?;
            let step = step.run(&set_batch(shared, writer, number));
            if shared.take(step, Over::Writes).await?.word == Word::Done {
                return Ok(true);
            }
        }
        let busy = "too many others append to the audit trail at the same time; trying again";
        Err(StoreError::Failed(busy.into()))
    }

    async fn audit_before(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> Result<AuditPage, StoreError> {
        let shared = &*self.shared;
        let mut range = cmd("ZRANGE");
        range.arg(shared.schema.audit());
        match before {
            Some(before) => range.arg(format!("({before}")),
            None => range.arg("+inf"),
        };
        range.arg("-inf").arg("BYSCORE").arg("REV");
        // One more than asked for shows whether there are older ones.
        range.arg("LIMIT").arg(0).arg(limit + 1).arg("WITHSCORES");
        let mut rows: Scored = shared.ask(&range, Over::Loads).await?;
        let is_end = rows.len() <= limit;
        rows.truncate(limit);
        let last = rows.last().map(|(_, id)| *id);
        let mut records = Vec::with_capacity(rows.len());
        for (row, id) in rows {
            match decode(&row, || format!("audit record {id}")) {
                Ok(record) => records.push(record),
                Err(error) => tracing::error!(%error, "it is left out"),
            }
        }
        Ok(AuditPage {
            records,
            next: last.filter(|_| !is_end),
        })
    }

    async fn trim_audit(&self, before: Timestamp, keep: u64) -> Result<(), StoreError> {
        let shared = &*self.shared;
        let log = log(shared);
        let _: u64 = shared.ask(&log.trim(keep.max(1)), Over::Writes).await?;
        loop {
            let mut oldest = cmd("ZRANGE");
            oldest.arg(&log.set).arg(0).arg(LOOK).arg("WITHSCORES");
            let rows: Scored = shared.ask(&oldest, Over::Loads).await?;
            // The newest one stays: it shows where the numbers are.
            let but_last = rows.len().saturating_sub(1);
            let old = rows[..but_last].iter().take_while(|(row, _)| {
                // What can't be read is as old as its neighbours.
                let record = decode::<AuditRecord>(row, || "audit record".into());
                record.map_or(true, |record| record.written_at < before)
            });
            let Some((_, last_old)) = old.last() else {
                return Ok(());
            };
            let mut remove = cmd("ZREMRANGEBYSCORE");
            remove.arg(&log.set).arg("-inf").arg(*last_old);
            let _: u64 = shared.ask(&remove, Over::Writes).await?;
        }
    }
}

fn log(shared: &Shared) -> Log {
    Log {
        set: shared.schema.audit(),
        counter: FIELD_LAST_AUDIT,
    }
}
