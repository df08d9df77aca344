//! The table of events.

use async_trait::async_trait;
use redb::{ReadTransaction, ReadableTable, Table, WriteTransaction};

use super::database::{EmbeddedStore, failed};
use super::file::Need;
use super::schema::{EVENTS, META};
use super::sequence;
use crate::keys::{Epoch, Timestamp};
use crate::store::codec::{decode, encode};
use crate::store::error::StoreError;
use crate::store::events::{AppendOnce, Event, EventPage, EventStore, NewEvent};

#[async_trait]
impl EventStore for EmbeddedStore {
    async fn append_events(
        &self,
        events: Vec<NewEvent>,
        once: AppendOnce,
        keep: u64,
    ) -> Result<bool, StoreError> {
        self.put_if(Need::Other, move |t| {
            append(t, events, once, keep).map(|done| (done, done))
        })
        .await
    }

    async fn events_after(&self, after: u64, limit: usize) -> Result<EventPage, StoreError> {
        let epoch = self.shared.epoch;
        self.read(move |t| page_after(t, epoch, after, limit)).await
    }

    async fn expiries_until(&self) -> Result<Option<Timestamp>, StoreError> {
        self.read(|transaction| {
            let meta = transaction.open_table(META).map_err(failed)?;
            expiries_until(&meta)
        })
        .await
    }
}

const EXPIRIES_UNTIL: &str = "expiries_until";
const LAST_BATCH: &str = "events_batch";

pub(super) fn append(
    transaction: &WriteTransaction,
    events: Vec<NewEvent>,
    once: AppendOnce,
    keep: u64,
) -> Result<bool, StoreError> {
    let is_due = match once {
        AppendOnce::Batch { writer, number } => {
            !sequence::is_repeated(transaction, LAST_BATCH, writer, number)?
        }
        AppendOnce::Expiries { from, until } => move_expiries(transaction, from, until)?,
    };
    if is_due {
        sequence::append(transaction, EVENTS, events, |id, event| {
            encode(&event.numbered(id))
        })?;
        sequence::trim(transaction, EVENTS, keep, 0)?;
    }
    Ok(is_due)
}

/// Whether they stood at `from`, and now stand at `until`.
fn move_expiries(
    transaction: &WriteTransaction,
    from: Option<Timestamp>,
    until: Timestamp,
) -> Result<bool, StoreError> {
    let mut meta = transaction.open_table(META).map_err(failed)?;
    if expiries_until(&meta)? != from {
        return Ok(false);
    }
    set_expiries_until(&mut meta, until)?;
    Ok(true)
}

pub(super) fn set_expiries_until(
    meta: &mut Table<'_, &'static str, &'static [u8]>,
    until: Timestamp,
) -> Result<(), StoreError> {
    let until = until.as_millis().to_be_bytes();
    meta.insert(EXPIRIES_UNTIL, &until[..]).map_err(failed)?;
    Ok(())
}

fn page_after(
    transaction: &ReadTransaction,
    epoch: Epoch,
    after: u64,
    limit: usize,
) -> Result<EventPage, StoreError> {
    let table = transaction.open_table(EVENTS).map_err(failed)?;
    let last = sequence::newest(&table)?;
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
