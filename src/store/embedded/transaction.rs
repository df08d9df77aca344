//! What every file of the store begins with: a durable write, its faults, and which
//! history a file holds.

use redb::{Database, WriteTransaction};

use crate::keys::{Epoch, Revision, Timestamp};
use crate::store::error::StoreError;

/// Which history the file holds, and how far it goes.
#[derive(Debug)]
pub(super) struct Identity {
    pub epoch: Epoch,
    pub revision: Revision,
    /// The latest time that it has seen; none: written by an older muster.
    pub latest: Option<Timestamp>,
}

/// Begins a durable write. redb's default is an fsync at the commit; quick
/// repair makes the start after a crash fast, for a little more writing.
pub(super) fn begin(database: &Database) -> Result<WriteTransaction, StoreError> {
    let mut transaction = database.begin_write().map_err(failed)?;
    transaction.set_quick_repair(true);
    Ok(transaction)
}

pub(super) fn failed(error: impl std::fmt::Display) -> StoreError {
    StoreError::Failed(error.to_string())
}
