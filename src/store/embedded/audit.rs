//! The table of the audit trail.

use async_trait::async_trait;
use redb::{ReadTransaction, ReadableTable, WriteTransaction};

use super::database::{EmbeddedStore, failed};
use super::file::Need;
use super::schema::AUDIT;
use super::sequence;
use crate::keys::{Id, Timestamp};
use crate::store::audit::{AuditEntry, AuditPage, AuditRecord, AuditStore};
use crate::store::codec::{decode, encode};
use crate::store::error::StoreError;

#[async_trait]
impl AuditStore for EmbeddedStore {
    async fn append_audit(
        &self,
        deeds: Vec<AuditEntry>,
        writer: Id,
        number: u64,
    ) -> Result<bool, StoreError> {
        let clock = self.shared.clock.clone();
        self.put_if(Need::End, move |t| {
            let appended = append(t, deeds, writer, number, clock.now())?;
            Ok((appended, appended))
        })
        .await
    }

    async fn audit_before(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> Result<AuditPage, StoreError> {
        self.read(move |t| records_before(t, before, limit)).await
    }

    async fn trim_audit(&self, before: Timestamp, keep: u64) -> Result<(), StoreError> {
        self.put_if(Need::Other, move |t| {
            trim(t, before, keep).map(|()| ((), true))
        })
        .await
    }
}

const LAST_BATCH: &str = "audit_batch";

pub(super) fn append(
    transaction: &WriteTransaction,
    deeds: Vec<AuditEntry>,
    writer: Id,
    number: u64,
    written_at: Timestamp,
) -> Result<bool, StoreError> {
    if sequence::is_repeated(transaction, LAST_BATCH, writer, number)? {
        return Ok(false);
    }
    sequence::append(transaction, AUDIT, deeds, |id, deed| {
        encode(&AuditRecord {
            id,
            written_at,
            deed,
        })
    })?;
    Ok(true)
}

fn records_before(
    transaction: &ReadTransaction,
    before: Option<u64>,
    limit: usize,
) -> Result<AuditPage, StoreError> {
    let table = transaction.open_table(AUDIT).map_err(failed)?;
    let mut rows = table
        .range(..before.unwrap_or(u64::MAX))
        .map_err(failed)?
        .rev();
    let mut records = Vec::new();
    let mut last = None;
    for entry in rows.by_ref().take(limit) {
        let (id, value) = entry.map_err(failed)?;
        last = Some(id.value());
        match decode(value.value(), || format!("audit record {}", id.value())) {
            Ok(record) => records.push(record),
            Err(error) => tracing::error!(%error, "it is left out"),
        }
    }
    let is_end = rows.next().is_none();
    Ok(AuditPage {
        records,
        next: last.filter(|_| !is_end),
    })
}

pub(super) fn trim(
    transaction: &WriteTransaction,
    before: Timestamp,
    keep: u64,
) -> Result<(), StoreError> {
    let mut first_young = 0;
    {
        let table = transaction.open_table(AUDIT).map_err(failed)?;
        for entry in table.iter().map_err(failed)? {
            let (id, value) = entry.map_err(failed)?;
            // What can't be read is as old as its neighbours.
            let record = decode::<AuditRecord>(value.value(), || "audit record".into());
            if record.is_ok_and(|record| record.written_at >= before) {
                break;
            }
            first_young = id.value() + 1;
        }
    }
    sequence::trim(transaction, AUDIT, keep, first_young)
}
