//! The table of registrations.

use std::net::IpAddr;

use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::codec::{decode, encode, key_id};
use super::failed;
use crate::keys::{KeyId, Timestamp};
use crate::store::instance_store::Registration;
use crate::store::key_store::StoreError;

/// (key id, agent) -> [`Row`].
const REGISTRATIONS: TableDefinition<'_, Place<'_>, &[u8]> = TableDefinition::new("registrations");
type Place<'a> = (&'a [u8; 16], &'a [u8; 16]);

#[derive(Serialize, Deserialize)]
struct Row {
    first_seen: Timestamp,
    last_seen: Timestamp,
    last_address: IpAddr,
    joins: u64,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

pub(super) fn create_table(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(REGISTRATIONS)?;
    Ok(())
}

pub(super) fn list(
    transaction: &ReadTransaction,
    after: Option<(KeyId, Uuid)>,
    limit: usize,
) -> Result<Vec<Registration>, StoreError> {
    use std::ops::Bound::{Excluded, Unbounded};
    let table = transaction.open_table(REGISTRATIONS).map_err(failed)?;
    let start = match &after {
        Some((key, agent)) => Excluded((key.0.as_bytes(), agent.as_bytes())),
        None => Unbounded,
    };
    let mut rows = Vec::new();
    for entry in table
        .range::<Place<'_>>((start, Unbounded))
        .map_err(failed)?
    {
        let (place, value) = entry.map_err(failed)?;
        let (key, agent) = place.value();
        let (key, agent) = (key_id(key)?, Uuid::from_bytes(*agent));
        match decode::<Row>(value.value(), || format!("{key}'s agent {agent}")) {
            Ok(row) => rows.push(Registration {
                key,
                agent,
                first_seen: row.first_seen,
                last_seen: row.last_seen,
                last_address: row.last_address,
                joins: row.joins,
            }),
            Err(error) => tracing::error!(%error, "a registration is left out"),
        }
        if rows.len() == limit {
            break;
        }
    }
    Ok(rows)
}

pub(super) fn save(
    transaction: &WriteTransaction,
    rows: &[Registration],
) -> Result<(), StoreError> {
    let mut table = transaction.open_table(REGISTRATIONS).map_err(failed)?;
    for row in rows {
        let place = (row.key.0.as_bytes(), row.agent.as_bytes());
        let before = table.get(place).map_err(failed)?;
        // Fields of a newer muster are carried along.
        let unknown = before
            .and_then(|value| decode::<Row>(value.value(), String::new).ok())
            .map(|row| row.unknown);
        let value = encode(&Row {
            first_seen: row.first_seen,
            last_seen: row.last_seen,
            last_address: row.last_address,
            joins: row.joins,
            unknown: unknown.unwrap_or_default(),
        })?;
        table.insert(place, value.as_slice()).map_err(failed)?;
    }
    Ok(())
}

pub(super) fn forget(transaction: &WriteTransaction, key: KeyId) -> Result<(), StoreError> {
    let mut table = transaction.open_table(REGISTRATIONS).map_err(failed)?;
    let of_key = (key.0.as_bytes(), &[0; 16])..=(key.0.as_bytes(), &[0xff; 16]);
    table
        .retain_in::<Place<'_>, _>(of_key, |_, _| false)
        .map_err(failed)
}
