//! The table of events.

use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};

use super::failed;
use super::file::META;
use crate::keys::Timestamp;
use crate::store::codec::{decode, encode};
use crate::store::event_store::{Event, EventLog};
use crate::store::key_store::StoreError;

/// Id -> [`Event`].
pub(super) const EVENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("events");
const EXPIRIES_UNTIL: &str = "expiries_until";

pub(super) fn create_table(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(EVENTS)?;
    Ok(())
}

pub(super) fn load(transaction: &ReadTransaction) -> Result<EventLog, StoreError> {
    let table = transaction.open_table(EVENTS).map_err(failed)?;
    let mut events = Vec::new();
    for entry in table.iter().map_err(failed)? {
        let (id, value) = entry.map_err(failed)?;
        match decode::<Event>(value.value(), || format!("event {}", id.value())) {
            Ok(event) => events.push(event),
            Err(error) => tracing::error!(%error, "it is left out"),
        }
    }
    let meta = transaction.open_table(META).map_err(failed)?;
    Ok(EventLog {
        events,
        expiries_until: expiries_until(&meta)?,
    })
}

pub(super) fn expiries_until(
    meta: &impl ReadableTable<&'static str, &'static [u8]>,
) -> Result<Option<Timestamp>, StoreError> {
    let until = meta.get(EXPIRIES_UNTIL).map_err(failed)?;
    Ok(until
        .and_then(|value| value.value().try_into().ok())
        .map(|bytes| Timestamp::from_millis(i64::from_be_bytes(bytes))))
}

pub(super) fn save(
    transaction: &WriteTransaction,
    log: &EventLog,
    keep: u64,
) -> Result<(), StoreError> {
    let mut table = transaction.open_table(EVENTS).map_err(failed)?;
    for event in &log.events {
        table
            .insert(event.id, encode(event)?.as_slice())
            .map_err(failed)?;
    }
    if let Some(last) = log.events.last() {
        let first_kept = (last.id + 1).saturating_sub(keep);
        table
            .retain_in::<u64, _>(..first_kept, |_, _| false)
            .map_err(failed)?;
    }
    if let Some(until) = log.expiries_until {
        let mut meta = transaction.open_table(META).map_err(failed)?;
        meta.insert(EXPIRIES_UNTIL, until.as_millis().to_be_bytes().as_slice())
            .map_err(failed)?;
    }
    Ok(())
}
