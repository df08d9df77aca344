//! What a change makes of a key, decided alike for every backend.
//!
//! Owns: the rules that need the record as it is in the step that writes it.
//! Must not know: how a backend makes that step atomic.
//! Invariant: nothing here waits or writes; a refused change has no row.

use std::time::Duration;

use serde_json::Map;

use super::codec::{DeletedRow, FeedRow, HexDigest, KeyRow, StoredKey, What};
use super::error::StoreError;
use super::feed::{Change, KeyChange};
use super::keys::{ChangeError, KeyEdit, Lookup, Marker, NewKey};
use crate::keys::{
    DEFAULT_NAMESPACE, Digest, KeyId, KeyStatus, Position, Revision, Timestamp, check_expiry,
    latest_expiry,
};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// What is asked of one key.
#[derive(Debug, Clone)]
pub(in crate::store) enum Ask {
    Create(NewKey),
    Edit(KeyId, KeyEdit),
    Revoke(KeyId),
    Delete(KeyId),
    /// A revoke or a delete that some gateway saw and the store lost.
    Reassert(Change),
}

/// What becomes of it.
pub(in crate::store) enum Decision {
    Write(Box<Write>),
    /// It was so before: nothing to write.
    Already(Change, Revision),
}

/// A change to be written in one step, if nothing else changed since.
pub(in crate::store) struct Write {
    /// The feed's entry, with the key's new row in it.
    pub entry: FeedRow,
    /// When the key was created: its place in the list. `None`: it is not in it.
    pub created_at: Option<Timestamp>,
    /// It must be written before this time of the store's clock.
    pub before: Option<Timestamp>,
}

impl Write {
    /// The change as the feed has it, once it made `position`'s revision.
    pub fn made(mut self, position: Position) -> KeyChange {
        match &mut self.entry.record {
            StoredKey::Key(row) => row.revision = position.revision,
            StoredKey::Deleted(marker) => marker.revision = position.revision,
        }
        KeyChange {
            position,
            change: to_change(&self.entry),
        }
    }
}

impl Ask {
    pub fn key(&self) -> KeyId {
        match self {
            Self::Create(key) => key.id,
            Self::Edit(id, _) | Self::Revoke(id) | Self::Delete(id) => *id,
            Self::Reassert(change) => change.key(),
        }
    }

    /// The same over a row that may be damaged: a key can be deleted though its row
    /// can't be read, so that an operator can end it.
    pub fn decide_over(
        self,
        stored: Result<Option<StoredKey>, StoreError>,
        now: Timestamp,
        revision: Revision,
    ) -> Result<Decision, ChangeError> {
        match (self, stored) {
            (Self::Delete(id), Err(StoreError::Corrupt { .. })) => {
                Ok(delete_unreadable(id, now, revision))
            }
            (ask, stored) => ask.decide(stored?, now, revision),
        }
    }

    /// Decides at the store's time `now`, over what is stored under the key, if
    /// anything is; `revision` is the one that the change would make.
    fn decide(
        self,
        stored: Option<StoredKey>,
        now: Timestamp,
        revision: Revision,
    ) -> Result<Decision, ChangeError> {
        let id = self.key();
        match (self, stored) {
            (Self::Create(key), None) => create(key, now, revision),
            // 95 bits of chance, or a caller that retries with the same id.
            (Self::Create(_), Some(_)) => {
                Err(StoreError::Failed(format!("{id} exists already")).into())
            }
            (Self::Reassert(end), stored) => reassert(end, stored, revision),
            (_, Some(StoredKey::Deleted(_)) | None) => Err(ChangeError::NotFound(id)),
            (Self::Edit(_, change), Some(StoredKey::Key(row))) => {
                edit(id, *row, change, now, revision)
            }
            (Self::Revoke(_), Some(StoredKey::Key(row))) => Ok(revoke(id, *row, now, revision)),
            (Self::Delete(_), Some(StoredKey::Key(row))) => delete(id, *row, now, revision),
        }
    }
}

fn create(key: NewKey, now: Timestamp, revision: Revision) -> Result<Decision, ChangeError> {
    let expires_at = key.expires_at.unwrap_or_else(|| latest_expiry(now));
    check_expiry(expires_at, now)?;
    let row = KeyRow {
        namespace: DEFAULT_NAMESPACE.to_owned(),
        name: key.name,
        digest: HexDigest(key.digest),
        created_at: now,
        modified_at: now,
        expires_at,
        revoked_at: None,
        latest_expiry: None,
        unknown: Map::new(),
        revision,
    };
    Ok(put(key.id, What::Created, row, Some(expires_at)))
}

fn edit(
    id: KeyId,
    mut row: KeyRow,
    edit: KeyEdit,
    now: Timestamp,
    revision: Revision,
) -> Result<Decision, ChangeError> {
    if let Some(edited) = edit.if_revision.filter(|edited| *edited != row.revision) {
        return Err(ChangeError::RevisionMismatch {
            key: id,
            edited,
            now: row.revision,
        });
    }
    let mut before = None;
    if let Some(expires_at) = edit.expires_at {
        match row.to_record(id).status(now) {
            KeyStatus::Revoked => return Err(ChangeError::Revoked(id)),
            KeyStatus::Expired => {
                return Err(ChangeError::Expired {
                    key: id,
                    expired_at: row.expires_at,
                });
            }
            KeyStatus::Valid => check_expiry(expires_at, now)?,
        }
        before = Some(row.expires_at.min(expires_at));
        row.latest_expiry = Some(row.latest_expiry().max(expires_at));
        row.expires_at = expires_at;
    }
    if let Some(name) = edit.name {
        row.name = name;
    }
    row.modified_at = now;
    row.revision = revision;
    Ok(put(id, What::Edited, row, before))
}

fn revoke(id: KeyId, mut row: KeyRow, now: Timestamp, revision: Revision) -> Decision {
    if row.revoked_at.is_some() {
        return Decision::Already(Change::Revoked(row.to_record(id)), row.revision);
    }
    row.revoked_at = Some(now);
    row.modified_at = now;
    row.revision = revision;
    put(id, What::Revoked, row, None)
}

fn delete(
    id: KeyId,
    row: KeyRow,
    now: Timestamp,
    revision: Revision,
) -> Result<Decision, ChangeError> {
    if row.to_record(id).status(now) == KeyStatus::Valid {
        return Err(ChangeError::StillValid(id));
    }
    Ok(mark_deleted(id, row, revision))
}

/// Over a store that lost the end of a key. The end keeps its time; all else is
/// as the store has it, where it has the key.
fn reassert(
    end: Change,
    stored: Option<StoredKey>,
    revision: Revision,
) -> Result<Decision, ChangeError> {
    let id = end.key();
    let row = match stored {
        Some(StoredKey::Key(row)) => Some(*row),
        Some(StoredKey::Deleted(marker)) => {
            let expires_at = marker.expires_at;
            let deleted = Change::Deleted {
                key: id,
                expires_at,
            };
            return Ok(Decision::Already(deleted, marker.revision));
        }
        None => None,
    };
    let record = match end {
        Change::Created(record) | Change::Edited(record) | Change::Revoked(record) => record,
        Change::Deleted { .. } => {
            let row = row.ok_or(ChangeError::NotFound(id))?;
            return Ok(mark_deleted(id, row, revision));
        }
    };
    let not_an_end = || StoreError::Failed(format!("{id}: only an end can be re-asserted"));
    let at = record.revoked_at.ok_or_else(not_an_end)?;
    let row = row.unwrap_or_else(|| KeyRow::unrevoked(record));
    Ok(revoke(id, row, at, revision))
}

/// The end that a row has, as one more change: for a row that is there without
/// its entry in the feed. `None` of a key that has not ended.
pub(in crate::store) fn end_again(
    id: KeyId,
    stored: StoredKey,
    revision: Revision,
) -> Option<Write> {
    let (what, record, created_at) = match stored {
        StoredKey::Key(mut row) if row.revoked_at.is_some() => {
            row.revision = revision;
            let created_at = Some(row.created_at);
            (What::Revoked, StoredKey::Key(row), created_at)
        }
        StoredKey::Deleted(mut marker) => {
            marker.revision = revision;
            (What::Deleted, StoredKey::Deleted(marker), None)
        }
        StoredKey::Key(_) => return None,
    };
    Some(write(id, what, record, created_at))
}

fn mark_deleted(id: KeyId, row: KeyRow, revision: Revision) -> Decision {
    let marker = DeletedRow {
        digest: row.digest,
        // A gateway that missed the edit that shortened it knows the later one.
        expires_at: row.latest_expiry(),
        unknown: Map::new(),
        revision,
    };
    let record = StoredKey::Deleted(marker);
    Decision::Write(Box::new(write(
        id,
        What::Deleted,
        record,
        Some(row.created_at),
    )))
}

fn put(key: KeyId, what: What, row: KeyRow, before: Option<Timestamp>) -> Decision {
    let created_at = Some(row.created_at);
    let record = StoredKey::Key(Box::new(row));
    Decision::Write(Box::new(Write {
        before,
        ..write(key, what, record, created_at)
    }))
}

/// The delete of a key whose row can't be read: nothing is known of it but its id.
fn delete_unreadable(id: KeyId, now: Timestamp, revision: Revision) -> Decision {
    let marker = DeletedRow {
        digest: HexDigest(Digest::DUMMY),
        // No key lives longer: its expiry is judged by date, with a day of slack.
        expires_at: latest_expiry(now).saturating_add(2 * DAY),
        unknown: Map::new(),
        revision,
    };
    Decision::Write(Box::new(write(
        id,
        What::Deleted,
        StoredKey::Deleted(marker),
        None,
    )))
}

fn write(key: KeyId, what: What, record: StoredKey, created_at: Option<Timestamp>) -> Write {
    Write {
        entry: FeedRow {
            key,
            what,
            unknown: Map::new(),
            record,
        },
        created_at,
        before: None,
    }
}

/// What is stored under a key's id, as a load tells it.
pub(in crate::store) fn to_lookup(id: KeyId, stored: Option<StoredKey>) -> Lookup {
    match stored {
        Some(StoredKey::Key(row)) => Lookup::Present(row.to_record(id)),
        Some(StoredKey::Deleted(marker)) => Lookup::Deleted(Marker {
            revision: marker.revision,
            expires_at: marker.expires_at,
        }),
        None => Lookup::Absent,
    }
}

/// A feed's entry as what happened.
pub(in crate::store) fn to_change(row: &FeedRow) -> Change {
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
