//! The table of events.

use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};

use super::failed;
use super::file::META;
use crate::keys::{Epoch, Timestamp};
use crate::store::codec::{decode, encode};
use crate::store::event_store::{AppendOnce, Event, EventPage, NewEvent};
use crate::store::key_store::StoreError;

/// Id -> [`Event`]. The newest is always kept, so its id is the counter.
pub(super) const EVENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("events");
const EXPIRIES_UNTIL: &str = "expiries_until";
/// The last batch that was appended: its writer, then its number. One process
/// writes at a time, so the last one's is enough.
const LAST_BATCH: &str = "events_batch";

pub(super) fn create_table(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(EVENTS)?;
    Ok(())
}

pub(super) fn append(
    transaction: &WriteTransaction,
    events: Vec<NewEvent>,
    once: AppendOnce,
    keep: u64,
) -> Result<bool, StoreError> {
    let mut meta = transaction.open_table(META).map_err(failed)?;
    let (field, value) = match once {
        AppendOnce::Batch { writer, number } => (
            LAST_BATCH,
            [&writer.as_bytes()[..], &number.to_be_bytes()].concat(),
        ),
        AppendOnce::Expiries { until, .. } => {
            (EXPIRIES_UNTIL, until.as_millis().to_be_bytes().to_vec())
        }
    };
    let standing = meta.get(field).map_err(failed)?.map(|v| v.value().to_vec());
    let is_due = match once {
        AppendOnce::Batch { .. } => standing.as_deref() != Some(&value),
        AppendOnce::Expiries { from, .. } => standing.and_then(|v| millis(&v)) == from,
    };
    if !is_due {
        return Ok(false);
    }
    meta.insert(field, value.as_slice()).map_err(failed)?;
    let mut table = transaction.open_table(EVENTS).map_err(failed)?;
    let mut last = table
        .last()
        .map_err(failed)?
        .map_or(0, |(id, _)| id.value());
    for event in events {
        last += 1;
        let row = encode(&event.numbered(last))?;
        table.insert(last, row.as_slice()).map_err(failed)?;
    }
    let first_kept = (last + 1).saturating_sub(keep);
    table
        .retain_in::<u64, _>(..first_kept, |_, _| false)
        .map_err(failed)?;
    Ok(true)
}

pub(super) fn after(
    transaction: &ReadTransaction,
    epoch: Epoch,
    after: u64,
    limit: usize,
) -> Result<EventPage, StoreError> {
    let table = transaction.open_table(EVENTS).map_err(failed)?;
    let last = table
        .last()
        .map_err(failed)?
        .map_or(0, |(id, _)| id.value());
    let mut page = EventPage {
        epoch,
        events: Vec::new(),
        upto: last,
        last,
    };
    let rows = table.range(after.saturating_add(1)..).map_err(failed)?;
    for (at, entry) in rows.take(limit).enumerate() {
        let (id, value) = entry.map_err(failed)?;
        match decode::<Event>(value.value(), || format!("event {}", id.value())) {
            Ok(event) => page.events.push(event),
            Err(error) => tracing::error!(%error, "it is left out"),
        }
        if at + 1 == limit {
            page.upto = id.value();
        }
    }
    Ok(page)
}

pub(super) fn expiries_until(
    meta: &impl ReadableTable<&'static str, &'static [u8]>,
) -> Result<Option<Timestamp>, StoreError> {
    let until = meta.get(EXPIRIES_UNTIL).map_err(failed)?;
    Ok(until.and_then(|value| millis(value.value())))
}

fn millis(bytes: &[u8]) -> Option<Timestamp> {
    let bytes = bytes.try_into().ok()?;
    Some(Timestamp::from_millis(i64::from_be_bytes(bytes)))
}
