//! Tables of numbered rows: what is appended goes on without a hole.

use redb::{ReadableTable, WriteTransaction};

use super::database::failed;
use super::schema::{META, Rows};
use crate::keys::Id;
use crate::store::error::StoreError;

/// Whether that batch is the last one that was appended, else notes that it is.
/// One process writes at a time, so the last one's number, under the field, is
/// enough.
pub(super) fn is_repeated(
    transaction: &WriteTransaction,
    field: &str,
    writer: Id,
    number: u64,
) -> Result<bool, StoreError> {
    let batch = [&writer.as_bytes()[..], &number.to_be_bytes()].concat();
    let mut meta = transaction.open_table(META).map_err(failed)?;
    let standing = meta.get(field).map_err(failed)?.map(|v| v.value().to_vec());
    if standing.as_deref() == Some(&batch) {
        return Ok(true);
    }
    meta.insert(field, batch.as_slice()).map_err(failed)?;
    Ok(false)
}

/// Appends `items`; `row` encodes the value stored under each number.
pub(super) fn append<T>(
    transaction: &WriteTransaction,
    rows: Rows,
    items: Vec<T>,
    row: impl Fn(u64, T) -> Result<Vec<u8>, StoreError>,
) -> Result<(), StoreError> {
    let mut table = transaction.open_table(rows).map_err(failed)?;
    let mut last = newest(&table)?;
    for item in items {
        last += 1;
        let row = row(last, item)?;
        table.insert(last, row.as_slice()).map_err(failed)?;
    }
    Ok(())
}

/// Drops all but the last `keep`, and what lies below `below`.
pub(super) fn trim(
    transaction: &WriteTransaction,
    rows: Rows,
    keep: u64,
    below: u64,
) -> Result<(), StoreError> {
    let mut table = transaction.open_table(rows).map_err(failed)?;
    let last = newest(&table)?;
    let first_kept = (last + 1).saturating_sub(keep).max(below).min(last);
    table
        .retain_in::<u64, _>(..first_kept, |_, _| false)
        .map_err(failed)
}

/// The number of the newest row; 0: there is none.
pub(super) fn newest(table: &impl ReadableTable<u64, &'static [u8]>) -> Result<u64, StoreError> {
    let last = table.last().map_err(failed)?;
    Ok(last.map_or(0, |(id, _)| id.value()))
}
