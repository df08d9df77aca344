//! The reads and the atomic changes, as transactions on the tables.

use redb::{Database, ReadTransaction, ReadableTable, Table, TableDefinition, WriteTransaction};
use serde_json::Map;

use super::codec::{
    DeletedRow, FeedRow, HexDigest, KeyRow, StoredKey, What, decode, encode, key_id,
};
use super::file::META;
use super::{events, failed, instances, tokens};
use crate::keys::{
    DEFAULT_NAMESPACE, Epoch, KeyId, KeyStatus, Position, Revision, Timestamp, check_expiry,
    latest_expiry,
};
use crate::store::key_store::{
    Change, ChangeError, Feed, KeyChange, KeyCursor, KeyEdit, KeyPage, Lookup, NewKey, StoreError,
};

type Keys = TableDefinition<'static, &'static [u8; 16], &'static [u8]>;
/// Key id -> [`StoredKey`].
const KEYS: Keys = Keys::new("keys");
/// (creation in milliseconds, key id), for lists in order of creation.
const BY_CREATION: TableDefinition<'_, (i64, &[u8; 16]), ()> =
    TableDefinition::new("keys_by_creation");
/// Revision -> [`FeedRow`].
const FEED: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("feed");

/// Changes kept in the feed. A gateway that is further behind reads all it
/// knows again.
const FEED_KEPT: u64 = 10_000;
/// Changes given out in one call.
const FEED_BATCH: usize = 1_000;

/// What a change's step decided.
pub(super) enum Outcome {
    /// Written: commit it.
    Changed(KeyChange),
    /// It was so before: nothing to commit.
    Already(KeyChange),
}

/// Begins a durable write. redb's default is an fsync at the commit; quick
/// repair makes the start after a crash fast, for a little more writing.
pub(super) fn begin(database: &Database) -> Result<WriteTransaction, StoreError> {
    let mut transaction = database.begin_write().map_err(failed)?;
    transaction.set_quick_repair(true);
    Ok(transaction)
}

pub(super) fn create_tables(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(KEYS)?;
    transaction.open_table(BY_CREATION)?;
    transaction.open_table(FEED)?;
    events::create_table(transaction)?;
    tokens::create_table(transaction)?;
    instances::create_tables(transaction)
}

/// Readies a store that was there: adds the tables that an older muster did
/// not have, removes the markers of deleted keys that would have expired by now.
pub(super) fn prepare(database: &Database) -> Result<(), StoreError> {
    let now = crate::store::StoreClock::default().now();
    let transaction = begin(database)?;
    create_tables(&transaction).map_err(failed)?;
    let spent = |_: &[u8; 16], value: &[u8]| {
        matches!(
            decode(value, String::new),
            Ok(StoredKey::Deleted(marker)) if marker.expires_at <= now
        )
    };
    transaction
        .open_table(KEYS)
        .map_err(failed)?
        .retain(|id, value| !spent(id, value))
        .map_err(failed)?;
    transaction.commit().map_err(failed)
}

pub(super) fn load(transaction: &ReadTransaction, id: KeyId) -> Result<Lookup, StoreError> {
    let keys = transaction.open_table(KEYS).map_err(failed)?;
    let Some(value) = keys.get(id.0.as_bytes()).map_err(failed)? else {
        return Ok(Lookup::Absent);
    };
    Ok(match decode(value.value(), || id.to_string())? {
        StoredKey::Key(row) => Lookup::Present(row.to_record(id)),
        StoredKey::Deleted(_) => Lookup::Deleted,
    })
}

pub(super) fn list(
    transaction: &ReadTransaction,
    after: Option<KeyCursor>,
    limit: usize,
) -> Result<KeyPage, StoreError> {
    use std::ops::Bound::{Excluded, Unbounded};
    let by_creation = transaction.open_table(BY_CREATION).map_err(failed)?;
    let keys = transaction.open_table(KEYS).map_err(failed)?;
    let start = match &after {
        Some(cursor) => Excluded((cursor.created_at.as_millis(), cursor.id.0.as_bytes())),
        None => Unbounded,
    };
    let mut page = KeyPage::default();
    let mut last = None;
    for entry in by_creation
        .range::<(i64, &[u8; 16])>((start, Unbounded))
        .map_err(failed)?
    {
        let (place, ()) = entry.map(|(k, v)| (k, v.value())).map_err(failed)?;
        let (created_millis, id_bytes) = place.value();
        if page.records.len() + page.unreadable.len() == limit {
            page.next = last;
            break;
        }
        let id = key_id(id_bytes)?;
        last = Some(KeyCursor {
            created_at: Timestamp::from_millis(created_millis),
            id,
        });
        let row = keys.get(id_bytes).map_err(failed)?;
        match row.map(|row| decode(row.value(), || id.to_string())) {
            Some(Ok(StoredKey::Key(row))) => page.records.push(row.to_record(id)),
            Some(Ok(StoredKey::Deleted(_))) | None | Some(Err(_)) => page.unreadable.push(id),
        }
    }
    Ok(page)
}

pub(super) fn feed_after(
    transaction: &ReadTransaction,
    epoch: Epoch,
    after: Revision,
) -> Result<Feed, StoreError> {
    let meta = transaction.open_table(META).map_err(failed)?;
    let feed = transaction.open_table(FEED).map_err(failed)?;
    let mut entries = Vec::new();
    for entry in feed
        .range(after.next().0..)
        .map_err(failed)?
        .take(FEED_BATCH)
    {
        let (revision, value) = entry.map_err(failed)?;
        let position = Position {
            epoch,
            revision: Revision(revision.value()),
        };
        let row: FeedRow = decode(value.value(), || format!("feed entry {}", revision.value()))?;
        entries.push(KeyChange {
            position,
            change: to_change(&row),
        });
    }
    Ok(Feed {
        position: Position {
            epoch,
            revision: read_revision(&meta)?,
        },
        entries,
    })
}

fn to_change(row: &FeedRow) -> Change {
    match (&row.record, row.what) {
        (StoredKey::Deleted(marker), _) => Change::Deleted {
            key: row.key,
            expires_at: marker.expires_at,
        },
        (StoredKey::Key(key), What::Created) => Change::Created(key.to_record(row.key)),
        (StoredKey::Key(key), What::Edited) => Change::Edited(key.to_record(row.key)),
        // A whole record under "deleted" is never written; taken for a revoke,
        // it at least ends the key.
        (StoredKey::Key(key), What::Revoked | What::Deleted) => {
            Change::Revoked(key.to_record(row.key))
        }
    }
}

fn read_revision(
    meta: &impl ReadableTable<&'static str, &'static [u8]>,
) -> Result<Revision, StoreError> {
    let value = meta.get("revision").map_err(failed)?;
    value
        .and_then(|v| v.value().try_into().ok())
        .map(|bytes| Revision(u64::from_be_bytes(bytes)))
        .ok_or_else(|| StoreError::Corrupt {
            what: "the store".into(),
            why: "it has no revision".into(),
        })
}

/// One atomic change of one key: the tables it touches, the revision it makes.
pub(super) struct KeyStep<'t> {
    meta: Table<'t, &'static str, &'static [u8]>,
    keys: Table<'t, &'static [u8; 16], &'static [u8]>,
    by_creation: Table<'t, (i64, &'static [u8; 16]), ()>,
    feed: Table<'t, u64, &'static [u8]>,
    epoch: Epoch,
    now: Timestamp,
}

impl<'t> KeyStep<'t> {
    pub fn open(
        transaction: &'t WriteTransaction,
        epoch: Epoch,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            meta: transaction.open_table(META).map_err(failed)?,
            keys: transaction.open_table(KEYS).map_err(failed)?,
            by_creation: transaction.open_table(BY_CREATION).map_err(failed)?,
            feed: transaction.open_table(FEED).map_err(failed)?,
            epoch,
            now,
        })
    }

    pub fn create(&mut self, key: NewKey) -> Result<Outcome, ChangeError> {
        let expires_at = key.expires_at.unwrap_or_else(|| latest_expiry(self.now));
        check_expiry(expires_at, self.now)?;
        if self
            .keys
            .get(key.id.0.as_bytes())
            .map_err(failed)?
            .is_some()
        {
            // 95 bits of chance, or a caller that retries with the same id.
            return Err(StoreError::Failed(format!("{} exists already", key.id)).into());
        }
        let row = KeyRow {
            namespace: DEFAULT_NAMESPACE.to_owned(),
            name: key.name,
            digest: HexDigest(key.digest),
            created_at: self.now,
            modified_at: self.now,
            expires_at,
            revoked_at: None,
            revision: self.next_revision()?,
            unknown: Map::new(),
        };
        self.by_creation
            .insert((self.now.as_millis(), key.id.0.as_bytes()), ())
            .map_err(failed)?;
        self.put(key.id, What::Created, row)
    }

    pub fn edit(&mut self, id: KeyId, edit: KeyEdit) -> Result<Outcome, ChangeError> {
        let mut row = self.row(id)?;
        if let Some(expires_at) = edit.expires_at {
            match row.to_record(id).status(self.now) {
                KeyStatus::Revoked => return Err(ChangeError::Revoked(id)),
                KeyStatus::Expired => {
                    return Err(ChangeError::Expired {
                        key: id,
                        expired_at: row.expires_at,
                    });
                }
                KeyStatus::Valid => check_expiry(expires_at, self.now)?,
            }
            row.expires_at = expires_at;
        }
        if let Some(name) = edit.name {
            row.name = name;
        }
        row.modified_at = self.now;
        row.revision = self.next_revision()?;
        self.put(id, What::Edited, row)
    }

    pub fn revoke(&mut self, id: KeyId) -> Result<Outcome, ChangeError> {
        let mut row = self.row(id)?;
        if row.revoked_at.is_some() {
            return Ok(Outcome::Already(KeyChange {
                position: self.position(row.revision),
                change: Change::Revoked(row.to_record(id)),
            }));
        }
        row.revoked_at = Some(self.now);
        row.modified_at = self.now;
        row.revision = self.next_revision()?;
        self.put(id, What::Revoked, row)
    }

    pub fn delete(&mut self, id: KeyId) -> Result<Outcome, ChangeError> {
        let row = self.row(id)?;
        if row.to_record(id).status(self.now) == KeyStatus::Valid {
            return Err(ChangeError::StillValid(id));
        }
        let revision = self.next_revision()?;
        self.by_creation
            .remove((row.created_at.as_millis(), id.0.as_bytes()))
            .map_err(failed)?;
        let marker = StoredKey::Deleted(DeletedRow {
            digest: row.digest,
            expires_at: row.expires_at,
            revision,
            unknown: Map::new(),
        });
        self.write(id, What::Deleted, revision, marker)
    }

    fn row(&self, id: KeyId) -> Result<KeyRow, ChangeError> {
        let value = self.keys.get(id.0.as_bytes()).map_err(failed)?;
        let value = value.ok_or(ChangeError::NotFound(id))?;
        match decode(value.value(), || id.to_string())? {
            StoredKey::Key(row) => Ok(*row),
            StoredKey::Deleted(_) => Err(ChangeError::NotFound(id)),
        }
    }

    fn put(&mut self, id: KeyId, what: What, row: KeyRow) -> Result<Outcome, ChangeError> {
        self.write(id, what, row.revision, StoredKey::Key(Box::new(row)))
    }

    fn write(
        &mut self,
        id: KeyId,
        what: What,
        revision: Revision,
        record: StoredKey,
    ) -> Result<Outcome, ChangeError> {
        self.keys
            .insert(id.0.as_bytes(), encode(&record)?.as_slice())
            .map_err(failed)?;
        let entry = FeedRow {
            key: id,
            what,
            record,
            unknown: Map::new(),
        };
        self.feed
            .insert(revision.0, encode(&entry)?.as_slice())
            .map_err(failed)?;
        if let Some(spent) = revision.0.checked_sub(FEED_KEPT) {
            self.feed.remove(spent).map_err(failed)?;
        }
        self.meta
            .insert("revision", revision.0.to_be_bytes().as_slice())
            .map_err(failed)?;
        Ok(Outcome::Changed(KeyChange {
            position: self.position(revision),
            change: to_change(&entry),
        }))
    }

    fn next_revision(&self) -> Result<Revision, StoreError> {
        read_revision(&self.meta).map(Revision::next)
    }

    fn position(&self, revision: Revision) -> Position {
        Position {
            epoch: self.epoch,
            revision,
        }
    }
}
