//! The whole store file, row by row, read alone.

use std::path::Path;
use std::sync::Arc;

use redb::{
    Key, ReadOnlyTable, ReadTransaction, ReadableTable, ReadableTableMetadata, TableDefinition,
    TableError, TableHandle, Value,
};
use uuid::Uuid;

use super::database::failed;
use super::events;
use super::keys::read_revision;
use super::latest_time;
use super::open;
use super::open::{OpenError, Reading};
use super::schema::{
    AGENTS, AUDIT, BY_AGENT, BY_CREATION, EVENTS, FEED, KEYS, META, Place, REGISTRATIONS, TOKENS,
    TOMBSTONES, USES,
};
use super::settings;
use crate::keys::{Revision, Timestamp};
use crate::store::codec::{decode, key_id, token_id};
use crate::store::error::StoreError;
use crate::store::registration_rows::UseRow;
use crate::store::scan::{Gone, OddKind, Oddity, Pages, Row, Scan};
use crate::store::{StoreClock, SystemClock};

/// Opens a store file that is there for reading alone. While it is surveyed no
/// gateway can open it, unless it was not closed cleanly: then a copy is read.
///
/// # Errors
/// [`OpenError`] when there is no such file, it is not ours, or is in use.
pub fn scan(path: &Path) -> Result<Scan, OpenError> {
    let database = open::open_for_reading(path)?;
    let name = path.display().to_string();
    let odd = |why: String| OpenError::Failed {
        path: name.clone(),
        why,
    };
    let transaction = database.begin().map_err(|e| odd(e.to_string()))?;
    let read = || -> Result<_, StoreError> {
        let meta = transaction.open_table(META).map_err(failed)?;
        let latest = latest_time::read(&meta)?;
        let until = match transaction.open_table(EVENTS) {
            Ok(_) => events::expiries_until(&meta)?,
            Err(_) => None,
        };
        let settings = settings::all(&transaction)?;
        Ok((read_revision(&meta)?, latest, until, settings))
    };
    let (revision, latest, expiries_until, settings) = read().map_err(|e| odd(e.to_string()))?;
    let (mut pages, receiver) = Pages::new();
    tokio::task::spawn_blocking(move || {
        let result = match walk(&transaction, &mut pages) {
            Ok(()) | Err(End::Gone) => Ok(()),
            Err(End::Failed(error)) => Err(error),
        };
        pages.end_blocking(result);
        // The lock on the file goes with it.
        drop(transaction);
        drop(database);
    });
    Ok(Scan {
        revision,
        expiries_until,
        settings,
        now: StoreClock::starting_at(Arc::new(SystemClock), latest).now(),
        shared: false,
        pages: receiver,
    })
}

/// Keeps gateways off the file as long as it lives.
pub struct Held(#[expect(dead_code, reason = "holds a lock")] Reading);

/// Keeps gateways off a store file, which is repaired first if its last one
/// crashed; others may still survey it.
///
/// # Errors
/// Those of [`scan`].
pub fn hold(path: &Path) -> Result<Held, OpenError> {
    open::repair(path)?;
    open::open_for_reading(path).map(Held)
}

enum End {
    Gone,
    Failed(StoreError),
}

impl From<Gone> for End {
    fn from(Gone: Gone) -> Self {
        Self::Gone
    }
}

impl From<StoreError> for End {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

fn walk(transaction: &ReadTransaction, pages: &mut Pages) -> Result<(), End> {
    keys(transaction, pages)?;
    agents(transaction, pages)?;
    if let Some(table) = open(transaction, EVENTS)? {
        for entry in table.iter().map_err(failed)? {
            let (id, row) = entry.map_err(failed)?;
            pages.add_blocking(Row::Event {
                id: id.value(),
                row: row.value().to_vec(),
            })?;
        }
    }
    if let Some(table) = open(transaction, AUDIT)? {
        for entry in table.iter().map_err(failed)? {
            let (id, row) = entry.map_err(failed)?;
            pages.add_blocking(Row::Audit {
                id: id.value(),
                row: row.value().to_vec(),
            })?;
        }
    }
    let known = [
        META.name(),
        KEYS.name(),
        BY_CREATION.name(),
        FEED.name(),
        TOMBSTONES.name(),
        TOKENS.name(),
        AGENTS.name(),
        REGISTRATIONS.name(),
        BY_AGENT.name(),
        USES.name(),
        EVENTS.name(),
        AUDIT.name(),
    ];
    for table in transaction.list_tables().map_err(failed)? {
        if !known.contains(&table.name()) {
            let fault = "no table of this muster's";
            pages.add_blocking(Oddity::row(OddKind::Unknown, table.name(), fault))?;
        }
    }
    Ok(())
}

fn keys(transaction: &ReadTransaction, pages: &mut Pages) -> Result<(), End> {
    if let Some(table) = open(transaction, KEYS)? {
        for entry in table.iter().map_err(failed)? {
            let (id, row) = entry.map_err(failed)?;
            let row = row.value().to_vec();
            pages.add_blocking(match key_id(id.value()) {
                Ok(id) => Row::Key { id, row },
                Err(error) => damaged("a key", &error),
            })?;
        }
    }
    if let Some(table) = open(transaction, BY_CREATION)? {
        for entry in table.iter().map_err(failed)? {
            let (place, _) = entry.map_err(failed)?;
            let (millis, id) = place.value();
            let created_at = Timestamp::from_millis(millis);
            pages.add_blocking(match key_id(id) {
                Ok(id) => Row::Listed { id, created_at },
                Err(error) => damaged("the list of keys", &error),
            })?;
        }
    }
    if let Some(table) = open(transaction, FEED)? {
        for entry in table.iter().map_err(failed)? {
            let (revision, row) = entry.map_err(failed)?;
            pages.add_blocking(Row::Change {
                revision: Revision(revision.value()),
                row: row.value().to_vec(),
            })?;
        }
    }
    if let Some(table) = open(transaction, TOKENS)? {
        for entry in table.iter().map_err(failed)? {
            let (id, row) = entry.map_err(failed)?;
            let row = row.value().to_vec();
            pages.add_blocking(match token_id(id.value()) {
                Ok(id) => Row::Token { id, row },
                Err(error) => damaged("a token", &error),
            })?;
        }
    }
    Ok(())
}

fn agents(transaction: &ReadTransaction, pages: &mut Pages) -> Result<(), End> {
    if let Some(table) = open(transaction, AGENTS)? {
        for entry in table.iter().map_err(failed)? {
            let (id, row) = entry.map_err(failed)?;
            pages.add_blocking(Row::Agent {
                id: Uuid::from_bytes(*id.value()),
                row: row.value().to_vec(),
            })?;
        }
    }
    registrations(transaction, pages)?;
    if let Some(table) = open(transaction, USES)? {
        for entry in table.iter().map_err(failed)? {
            let (id, row) = entry.map_err(failed)?;
            let what = || "the last use of a key".to_owned();
            let read = key_id(id.value()).and_then(|key| {
                let row: UseRow = decode(row.value(), what)?;
                let at = row.last_used;
                Ok(Row::Use { key, at })
            });
            let row =
                read.unwrap_or_else(|error| damaged(&String::from_utf8_lossy(id.value()), &error));
            pages.add_blocking(row)?;
        }
    }
    Ok(())
}

fn registrations(transaction: &ReadTransaction, pages: &mut Pages) -> Result<(), End> {
    let (Some(table), Some(by_agent)) = (
        open(transaction, REGISTRATIONS)?,
        open(transaction, BY_AGENT)?,
    ) else {
        return Ok(());
    };
    let out_of_step = |key: &[u8; 16], agent: &[u8; 16], fault: &str| {
        let subject = format!(
            "{}:{}",
            String::from_utf8_lossy(key),
            Uuid::from_bytes(*agent)
        );
        Oddity::row(OddKind::Index, subject, fault)
    };
    for entry in table.iter().map_err(failed)? {
        let (place, row) = entry.map_err(failed)?;
        let (key, agent) = place.value();
        if by_agent.get((agent, key)).map_err(failed)?.is_none() {
            let fault = "a registration that is not under its agent";
            pages.add_blocking(out_of_step(key, agent, fault))?;
        }
        pages.add_blocking(match key_id(key) {
            Ok(key) => Row::Registration {
                key,
                agent: Uuid::from_bytes(*agent),
                row: row.value().to_vec(),
            },
            Err(error) => damaged("a registration", &error),
        })?;
    }
    if by_agent.len().map_err(failed)? == table.len().map_err(failed)? {
        return Ok(());
    }
    for entry in by_agent.iter().map_err(failed)? {
        let (place, _) = entry.map_err(failed)?;
        let (agent, key): Place<'_> = place.value();
        if table.get((key, agent)).map_err(failed)?.is_none() {
            let fault = "under its agent, but there is no such registration";
            pages.add_blocking(out_of_step(key, agent, fault))?;
        }
    }
    Ok(())
}

fn damaged(subject: &str, error: &StoreError) -> Row {
    Oddity::row(OddKind::Damaged, subject, error.to_string())
}

/// None: an older muster's file, which does not have it.
fn open<K: Key + 'static, V: Value + 'static>(
    transaction: &ReadTransaction,
    table: TableDefinition<'_, K, V>,
) -> Result<Option<ReadOnlyTable<K, V>>, StoreError> {
    match transaction.open_table(table) {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(failed(error)),
    }
}
