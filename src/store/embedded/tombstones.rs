//! When the markers of deleted keys may go.
//!
//! Owns: the table by which a start finds them. Must not know: when and why a
//! marker is written. Invariant: a start reads no key that is not to go, so that
//! it takes no longer the more keys there are.

use redb::{Database, ReadableDatabase, ReadableTable, Table, TableError, WriteTransaction};

use super::database::failed;
use super::schema::{KEYS, TOMBSTONES};
use crate::keys::Timestamp;
use crate::store::codec::{StoredKey, decode};
use crate::store::error::StoreError;

type Keys<'t> = Table<'t, &'static [u8; 16], &'static [u8]>;
type Tombstones<'t> = Table<'t, (i64, &'static [u8; 16]), ()>;

/// Whether the file has the table, and so knows its markers.
pub(super) fn are_known(database: &Database) -> Result<bool, StoreError> {
    let transaction = database.begin_read().map_err(failed)?;
    match transaction.open_table(TOMBSTONES) {
        Ok(_) => Ok(true),
        Err(TableError::TableDoesNotExist(_)) => Ok(false),
        Err(error) => Err(failed(error)),
    }
}

/// Notes all markers, by reading every key; once in the life of a file.
pub(super) fn find(transaction: &WriteTransaction) -> Result<(), StoreError> {
    let keys = transaction.open_table(KEYS).map_err(failed)?;
    let mut tombstones = transaction.open_table(TOMBSTONES).map_err(failed)?;
    for entry in keys.iter().map_err(failed)? {
        let (id, row) = entry.map_err(failed)?;
        if let Some(expires_at) = expiry(row.value()) {
            note(&mut tombstones, id.value(), expires_at)?;
        }
    }
    Ok(())
}

/// Notes a marker that is written.
pub(super) fn note(
    tombstones: &mut Tombstones<'_>,
    id: &[u8; 16],
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    let place = (expires_at.as_millis(), id);
    tombstones.insert(place, ()).map_err(failed)?;
    Ok(())
}

/// Removes the markers of keys that would have expired by `now`.
pub(super) fn remove_spent(
    transaction: &WriteTransaction,
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut keys = transaction.open_table(KEYS).map_err(failed)?;
    let mut tombstones = transaction.open_table(TOMBSTONES).map_err(failed)?;
    let spent = (i64::MIN, &[0; 16])..=(now.as_millis(), &[0xff; 16]);
    let mut ids = Vec::new();
    tombstones
        .retain_in::<(i64, &[u8; 16]), _>(spent, |(_, id), ()| {
            ids.push(*id);
            false
        })
        .map_err(failed)?;
    for id in ids {
        if is_spent(&keys, &id, now)? {
            keys.remove(&id).map_err(failed)?;
        }
    }
    Ok(())
}

/// The row is looked at: a key must never go for what an index says of it.
fn is_spent(keys: &Keys<'_>, id: &[u8; 16], now: Timestamp) -> Result<bool, StoreError> {
    let row = keys.get(id).map_err(failed)?;
    let expires_at = row.and_then(|row| expiry(row.value()));
    Ok(expires_at.is_some_and(|expires_at| expires_at <= now))
}

/// When a marker may go; none for a key, and for a row that can't be read.
fn expiry(row: &[u8]) -> Option<Timestamp> {
    match decode(row, String::new) {
        Ok(StoredKey::Deleted(marker)) => Some(marker.expires_at),
        Ok(StoredKey::Key(_)) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;
    use crate::keys::{Digest, Revision};
    use crate::store::codec::{DeletedRow, HexDigest, encode};
    use crate::store::embedded::open;

    fn now() -> Timestamp {
        Timestamp::from_millis(1_000)
    }

    fn marker(expires_at: i64) -> Vec<u8> {
        encode(&StoredKey::Deleted(DeletedRow {
            digest: HexDigest(Digest::from_bytes([7; 32])),
            expires_at: Timestamp::from_millis(expires_at),
            unknown: Map::new(),
            revision: Revision(3),
        }))
        .unwrap()
    }

    /// A store with these rows, of which the table of markers knows nothing.
    fn store(rows: &[(u8, Vec<u8>)]) -> Database {
        let (database, _) = open::in_memory().unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.delete_table(TOMBSTONES).unwrap();
        {
            let mut keys = transaction.open_table(KEYS).unwrap();
            for (id, row) in rows {
                keys.insert(&[*id; 16], row.as_slice()).unwrap();
            }
        }
        transaction.commit().unwrap();
        database
    }

    /// The keys' ids that are there, and those that the table of markers has.
    fn left(database: &Database) -> (Vec<u8>, Vec<u8>) {
        let transaction = database.begin_read().unwrap();
        let keys = transaction.open_table(KEYS).unwrap();
        let keys = keys.iter().unwrap();
        let keys = keys.map(|entry| entry.unwrap().0.value()[0]).collect();
        let tombstones = transaction.open_table(TOMBSTONES).unwrap();
        let tombstones = tombstones.iter().unwrap();
        let tombstones = tombstones.map(|entry| entry.unwrap().0.value().1[0]);
        (keys, tombstones.collect())
    }

    #[test]
    fn a_file_from_before_is_read_whole_once() {
        let database = store(&[(1, marker(999)), (2, marker(1_000)), (3, marker(1_001))]);
        assert!(!are_known(&database).unwrap());
        open::prepare(&database, now()).unwrap();
        assert_eq!(left(&database), (vec![3], vec![3]));
        assert!(are_known(&database).unwrap());
        open::prepare(&database, Timestamp::from_millis(1_001)).unwrap();
        assert_eq!(left(&database), (vec![], vec![]));
    }

    #[test]
    fn a_row_that_is_no_spent_marker_stays_whatever_the_table_says() {
        let rows = [(1, marker(5_000)), (2, b"damaged".to_vec())];
        let database = store(&rows);
        let transaction = database.begin_write().unwrap();
        {
            let mut tombstones = transaction.open_table(TOMBSTONES).unwrap();
            for id in 1..=3 {
                note(&mut tombstones, &[id; 16], now()).unwrap();
            }
        }
        transaction.commit().unwrap();
        open::prepare(&database, now()).unwrap();
        assert_eq!(left(&database), (vec![1, 2], vec![]));
    }
}
