//! Faults of the store.

/// A fault of the store, never of the caller: answered as UNAVAILABLE.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The backend did not answer that it is done: whether it wrote is not known. `0`
    /// says why.
    #[error("the store failed: {0}")]
    Failed(String),
    /// The backend did not do it, and nothing was written; `0` says why.
    #[error("the store failed: {0}")]
    NotWritten(String),
    /// The backend takes no writes until there is room again, or until an operator
    /// acts; nothing was written. `0` says why, and what helps.
    #[error("the store takes no writes: {0}")]
    NoWrites(String),
    /// A record is there, but its checksum or its content is wrong.
    #[error("the stored record of {what} is damaged: {why}")]
    Corrupt {
        /// Whose record.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// Another store answers than the one that this gateway knows: emptied,
    /// swapped, or restored from nothing. Nothing was read or changed.
    #[error(
        "this is not the store that this gateway knows: {0}; restore it, or give the right \
         --store; to go on with this one, type: muster store adopt"
    )]
    Foreign(String),
}
