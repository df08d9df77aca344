//! The contract for data plane keys.

use async_trait::async_trait;

use super::clock::StoreClock;
use super::error::StoreError;
use super::feed::{Change, Feed, KeyChange};
use super::gateways::Enrolled;
use crate::keys::{Digest, Epoch, KeyId, KeyRecord, Position, Revision, RuleError, Timestamp};

/// Why a key was not changed. Nothing was written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ChangeError {
    /// There is no such key.
    #[error("{0}: there is no such key")]
    NotFound(KeyId),
    /// A revoked key can't have a new expiry.
    #[error("expires_at: {0} was revoked, and a revoke is final; create a new key instead")]
    Revoked(KeyId),
    /// An expired key can't have a new expiry.
    #[error(
        "expires_at: {key} expired at {expired_at}, and the expiry can be moved only before \
         that; create a new key instead"
    )]
    Expired {
        /// Which key.
        key: KeyId,
        /// When it expired.
        expired_at: Timestamp,
    },
    /// The edit is of an older state of the key than the store's.
    #[error(
        "{key} was changed meanwhile: it is at revision \
         {now}, your edit is of revision {edited}; read it again, then edit"
    )]
    RevisionMismatch {
        /// Which key.
        key: KeyId,
        /// Which state was edited.
        edited: Revision,
        /// Which it is in.
        now: Revision,
    },
    /// A valid key can't be deleted.
    #[error("{0} is valid: a key can be deleted once it is revoked or expired; revoke it first")]
    StillValid(KeyId),
    /// The change breaks a rule.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// The store failed. Whether the change was written is not known, but for
    /// [`StoreError::NotWritten`].
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A key to be created. Its id is chosen before the write, so that a create
/// whose answer got lost can be named.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// The public id.
    pub id: KeyId,
    /// SHA-256 of the secret.
    pub digest: Digest,
    /// 1 to 128 characters.
    pub name: String,
    /// `None`: the default life.
    pub expires_at: Option<Timestamp>,
}

/// What an edit changes; `None` leaves it as it is.
#[derive(Debug, Clone, Default)]
pub struct KeyEdit {
    /// The new name.
    pub name: Option<String>,
    /// The new expiry.
    pub expires_at: Option<Timestamp>,
    /// Only if the key is at this revision; `None`: whatever it is at.
    pub if_revision: Option<Revision>,
}

/// What is stored under a key's id.
#[derive(Debug, Clone)]
pub enum Lookup {
    /// A key, whatever its status.
    Present(KeyRecord),
    /// A deleted key's marker: to every interface as if it were absent.
    Deleted(Marker),
    /// Nothing.
    Absent,
}

/// What is kept of a deleted key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marker {
    /// The revision of the delete.
    pub revision: Revision,
    /// The latest expiry that the key ever had.
    pub expires_at: Timestamp,
}

/// Many keys as they were at one moment.
#[derive(Debug, Clone)]
pub struct LoadedKeys {
    /// The store's epoch at the time of the read.
    pub epoch: Epoch,
    /// What is there of each that was asked for; an error is that key's alone.
    pub keys: Vec<(KeyId, Result<Lookup, StoreError>)>,
}

/// A load's answer and the history it was read from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The store's epoch at the time of the read.
    pub epoch: Epoch,
    /// What is there.
    pub lookup: Lookup,
    /// A key was created in this store once. In one where none ever was, a key
    /// that is absent proves nothing.
    pub had_keys: bool,
}

/// How many of the store's replicas have a change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Durability {
    /// Replicas that have it.
    pub acknowledged: u32,
    /// Replicas that make it durable; 0: the store alone does.
    pub wanted: u32,
}

impl Durability {
    /// Of a change that no store has.
    pub const NOWHERE: Self = Self {
        acknowledged: 0,
        wanted: 1,
    };

    /// The change outlives the loss of the server that took it.
    pub fn is_durable(&self) -> bool {
        self.acknowledged >= self.wanted
    }
}

/// A change that is written, and the gateways that have to hear of it.
#[derive(Debug, Clone)]
pub struct Written {
    /// The change as the feed has it.
    pub change: KeyChange,
    /// False: it was so before, and nothing was written.
    pub is_new: bool,
    /// The gateways enrolled at the time of the write.
    pub enrolled: Vec<Enrolled>,
    /// The store's own, for [`KeyStore::settle`].
    pub receipt: u64,
}

/// A place in the list of keys: creation time, then id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyCursor {
    /// When the key was created.
    pub created_at: Timestamp,
    /// The public id.
    pub id: KeyId,
}

/// A run of keys in order of creation.
#[derive(Debug, Clone, Default)]
pub struct KeyPage {
    /// The readable ones.
    pub records: Vec<KeyRecord>,
    /// Ids whose record is damaged.
    pub unreadable: Vec<KeyId>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<KeyCursor>,
}

/// Keeps data plane keys and the feed of their changes.
#[async_trait]
pub trait KeyStore: Send + Sync + 'static {
    /// The store's clock.
    fn clock(&self) -> &StoreClock;

    /// Reads what is under an id.
    ///
    /// # Errors
    /// [`StoreError`]; `Corrupt` when the record is damaged.
    async fn load(&self, id: KeyId) -> Result<Loaded, StoreError>;

    /// Reads what is under many ids at once.
    ///
    /// # Errors
    /// [`StoreError`]; a damaged record is no error of the others'.
    async fn load_all(&self, ids: &[KeyId]) -> Result<LoadedKeys, StoreError>;

    /// At most `limit` keys after `after`, in order of creation.
    ///
    /// # Errors
    /// [`StoreError`]. A damaged record is no error: the page names it.
    async fn list(&self, after: Option<KeyCursor>, limit: usize) -> Result<KeyPage, StoreError>;

    /// The changes after `after`, in order; when there are more, the rest at the
    /// next call. `None`: the feed does not reach back so far; read all keys again.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn changes(&self, after: Position) -> Result<Option<Feed>, StoreError> {
        let feed = self.feed_after(after.revision).await?;
        Ok(Some(feed).filter(|feed| feed.follows(after)))
    }

    /// The entries that the feed still has after `after`, whatever history they
    /// are of: those of an older one say what led to this store, too.
    ///
    /// # Errors
    /// [`StoreError`]. A damaged entry is no error: the feed names it.
    async fn feed_after(&self, after: Revision) -> Result<Feed, StoreError>;

    /// Removes the markers of deleted keys that no gateway needs any more: the
    /// latest expiry that the key had is past, and all enrolled gateways have
    /// applied the delete. Returns how many.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn remove_spent_markers(&self) -> Result<u64, StoreError>;

    /// Writes a new key. The expiry is judged in the step that writes it.
    ///
    /// # Errors
    /// [`ChangeError::Rule`] for a bad expiry, [`ChangeError::Store`].
    async fn create(&self, key: NewKey) -> Result<Written, ChangeError>;

    /// Changes a key. Whether an edit comes too late is decided in the step
    /// that writes it.
    ///
    /// # Errors
    /// [`ChangeError`]; a new expiry of a revoked or expired key is refused, and
    /// an edit of an older state than the stored one.
    async fn edit(&self, id: KeyId, edit: KeyEdit) -> Result<Written, ChangeError>;

    /// Revokes a key. Of a revoked key it returns the revoke that was.
    ///
    /// # Errors
    /// [`ChangeError::NotFound`], [`ChangeError::Store`].
    async fn revoke(&self, id: KeyId) -> Result<Written, ChangeError>;

    /// Deletes a revoked or expired key.
    ///
    /// # Errors
    /// [`ChangeError::NotFound`], [`ChangeError::StillValid`], [`ChangeError::Store`].
    async fn delete(&self, id: KeyId) -> Result<Written, ChangeError>;

    /// Finds out, in bounded time, how many replicas have a change: asked once
    /// it is applied here, so that no revoke waits for it. A store without
    /// replicas has written it for good.
    async fn settle(&self, _written: &Written) -> Durability {
        Durability::default()
    }

    /// Writes a revoke or a delete again that the store lost, as it was; also
    /// the revoke of a key that is not there at all. Any number of gateways may
    /// do so at once: where the key has ended, it returns the end that was.
    ///
    /// # Errors
    /// [`ChangeError::NotFound`] for the delete of a key that is not there,
    /// [`ChangeError::Store`].
    async fn reassert(&self, end: Change) -> Result<Written, ChangeError>;
}
