//! The reads and the atomic changes, as transactions on the tables.

use std::sync::Arc;

use async_trait::async_trait;
use redb::{ReadTransaction, ReadableTable, Table, WriteTransaction};

use super::database::{EmbeddedStore, Shared, failed};
use super::file::Need;
use super::schema::{BY_CREATION, FEED, KEYS, META, TOMBSTONES};
use super::tombstones;
use crate::keys::{Epoch, KeyId, Position, Revision, Timestamp};
use crate::store::clock::StoreClock;
use crate::store::codec::{StoredKey, What, decode, encode, key_id};
use crate::store::error::StoreError;
use crate::store::feed::{Change, Feed, KeyChange};
use crate::store::key_changes::{Ask, Decision, Write, to_change, to_lookup};
use crate::store::keys::{
    ChangeError, KeyCursor, KeyEdit, KeyPage, KeyStore, Loaded, LoadedKeys, Lookup, NewKey, Written,
};

/// Changes kept in the feed. A gateway that is further behind reads all it
/// knows again.
const FEED_KEPT: u64 = 10_000;
/// Changes given out in one call.
const FEED_BATCH: usize = 1_000;

/// What a change's step decided.
pub(super) enum Outcome {
    Changed(KeyChange),
    /// It was so before: nothing to commit.
    Already(KeyChange),
}

#[async_trait]
impl KeyStore for EmbeddedStore {
    fn clock(&self) -> &StoreClock {
        &self.shared.clock
    }

    async fn load(&self, id: KeyId) -> Result<Loaded, StoreError> {
        let epoch = self.shared.epoch;
        let (lookup, had_keys) = self.read(move |t| load(t, id)).await?;
        Ok(Loaded {
            epoch,
            lookup,
            had_keys,
        })
    }

    async fn load_all(&self, ids: &[KeyId]) -> Result<LoadedKeys, StoreError> {
        let epoch = self.shared.epoch;
        let ids = ids.to_vec();
        let keys = self.read(move |t| {
            let keys = t.open_table(KEYS).map_err(failed)?;
            Ok(ids.iter().map(|id| (*id, lookup(&keys, *id))).collect())
        });
        Ok(LoadedKeys {
            epoch,
            keys: keys.await?,
        })
    }

    async fn list(&self, after: Option<KeyCursor>, limit: usize) -> Result<KeyPage, StoreError> {
        self.read(move |t| list(t, after, limit)).await
    }

    async fn feed_after(&self, after: Revision) -> Result<Feed, StoreError> {
        let epoch = self.shared.epoch;
        self.read(move |t| feed_after(t, epoch, after)).await
    }

    async fn remove_spent_markers(&self) -> Result<u64, StoreError> {
        // At a start: its gateway is the only one, and then knows no key.
        Ok(0)
    }

    async fn create(&self, key: NewKey) -> Result<Written, ChangeError> {
        self.write(Ask::Create(key)).await
    }

    async fn edit(&self, id: KeyId, edit: KeyEdit) -> Result<Written, ChangeError> {
        self.write(Ask::Edit(id, edit)).await
    }

    async fn revoke(&self, id: KeyId) -> Result<Written, ChangeError> {
        self.write(Ask::Revoke(id)).await
    }

    async fn delete(&self, id: KeyId) -> Result<Written, ChangeError> {
        self.write(Ask::Delete(id)).await
    }

    async fn reassert(&self, end: Change) -> Result<Written, ChangeError> {
        self.write(Ask::Reassert(end)).await
    }
}

impl EmbeddedStore {
    /// Runs one atomic, durable change of a key and wakes the follower of the feed.
    async fn write(&self, ask: Ask) -> Result<Written, ChangeError> {
        let need = match &ask {
            Ask::Revoke(_) | Ask::Delete(_) | Ask::Reassert(_) => Need::End,
            Ask::Create(_) | Ask::Edit(..) => Need::Other,
        };
        let shared = Arc::clone(&self.shared);
        let work = move || {
            let (change, is_new) = shared.change(need, ask)?;
            if is_new {
                shared.revision.send_replace(change.position.revision);
            }
            Ok::<_, ChangeError>((change, is_new))
        };
        let (change, is_new) = self.on_disk(work).await?;
        Ok(Written {
            change,
            is_new,
            enrolled: self.shared.enrolled.lock().clone(),
            receipt: 0,
        })
    }
}

impl Shared {
    /// Takes a change. Returns it, and whether it was none before.
    fn change(&self, need: Need, ask: Ask) -> Result<(KeyChange, bool), ChangeError> {
        let id = ask.key();
        let taken = self.try_change(need, ask.clone());
        let Err(ChangeError::Store(StoreError::Failed(why))) = &taken else {
            return taken;
        };
        match need {
            // The reserve is given up by now.
            Need::End => self.try_change(need, ask),
            // A new key whose write failed: the file was opened again, and can tell.
            Need::Other => match self.file.read(|transaction| load(transaction, id)) {
                Ok((Lookup::Absent, _)) => Err(StoreError::NotWritten(why.clone()).into()),
                _ => taken,
            },
        }
    }

    fn try_change(&self, need: Need, ask: Ask) -> Result<(KeyChange, bool), ChangeError> {
        self.write(need, |transaction| {
            let mut step = KeyStep::open(transaction, self.epoch, self.clock.now())?;
            Ok(match step.take(ask)? {
                Outcome::Changed(change) => ((change, true), true),
                Outcome::Already(change) => ((change, false), false),
            })
        })
    }
}

/// What is under an id, and whether any key was ever created.
pub(super) fn load(transaction: &ReadTransaction, id: KeyId) -> Result<(Lookup, bool), StoreError> {
    let keys = transaction.open_table(KEYS).map_err(failed)?;
    let lookup = lookup(&keys, id)?;
    // Its first change is a key's creation.
    let meta = transaction.open_table(META).map_err(failed)?;
    Ok((lookup, read_revision(&meta)? > Revision(0)))
}

fn lookup(
    keys: &impl ReadableTable<&'static [u8; 16], &'static [u8]>,
    id: KeyId,
) -> Result<Lookup, StoreError> {
    let stored = keys.get(id.0.as_bytes()).map_err(failed)?;
    let stored = stored.map(|value| decode(value.value(), || id.to_string()));
    Ok(to_lookup(id, stored.transpose()?))
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
            // Deleted while its row could not be read, so its place was not known.
            Some(Ok(StoredKey::Deleted(_))) => {}
            None | Some(Err(_)) => page.unreadable.push(id),
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
    let (mut entries, mut damaged) = (Vec::new(), Vec::new());
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
        let row = decode(value.value(), || format!("feed entry {}", revision.value()));
        match row {
            Ok(row) => entries.push(KeyChange {
                position,
                change: to_change(&row),
            }),
            Err(error) => damaged.push(error),
        }
    }
    Ok(Feed {
        position: Position {
            epoch,
            revision: read_revision(&meta)?,
        },
        entries,
        unprotected: None,
        damaged,
    })
}

pub(super) fn read_revision(
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
    tombstones: Table<'t, (i64, &'static [u8; 16]), ()>,
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
            tombstones: transaction.open_table(TOMBSTONES).map_err(failed)?,
            epoch,
            now,
        })
    }

    /// Makes the change that is asked for.
    pub fn take(&mut self, ask: Ask) -> Result<Outcome, ChangeError> {
        let id = ask.key();
        let stored = {
            let value = self.keys.get(id.0.as_bytes()).map_err(failed)?;
            value
                .map(|value| decode(value.value(), || id.to_string()))
                .transpose()
        };
        let revision = read_revision(&self.meta)?.next();
        match ask.decide_over(stored, self.now, revision)? {
            Decision::Write(write) => {
                self.write(id, &write, revision)?;
                let position = Position {
                    epoch: self.epoch,
                    revision,
                };
                Ok(Outcome::Changed(write.made(position)))
            }
            Decision::Already(change, revision) => Ok(Outcome::Already(KeyChange {
                position: Position {
                    epoch: self.epoch,
                    revision,
                },
                change,
            })),
        }
    }

    fn write(&mut self, id: KeyId, write: &Write, revision: Revision) -> Result<(), StoreError> {
        if let Some(created_at) = write.created_at {
            let place = (created_at.as_millis(), id.0.as_bytes());
            match write.entry.what {
                What::Deleted => self.by_creation.remove(place).map_err(failed)?,
                // A revoke, too: one that is re-asserted may bring back its key.
                What::Created | What::Edited | What::Revoked => {
                    self.by_creation.insert(place, ()).map_err(failed)?
                }
            };
        }
        if let StoredKey::Deleted(marker) = &write.entry.record {
            tombstones::note(&mut self.tombstones, id.0.as_bytes(), marker.expires_at)?;
        }
        self.keys
            .insert(id.0.as_bytes(), encode(&write.entry.record)?.as_slice())
            .map_err(failed)?;
        let revision = revision.0;
        self.feed
            .insert(revision, encode(&write.entry)?.as_slice())
            .map_err(failed)?;
        if let Some(spent) = revision.checked_sub(FEED_KEPT) {
            self.feed.remove(spent).map_err(failed)?;
        }
        self.meta
            .insert("revision", revision.to_be_bytes().as_slice())
            .map_err(failed)?;
        Ok(())
    }
}
