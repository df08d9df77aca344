//! Why maintenance was not done, and the data directory that it needs.

use std::io;
use std::path::{Path, PathBuf};

use crate::server::data_dir::DataDirError;
use crate::server::error::StartError;
use crate::store::StoreError;
use crate::store::embedded::OpenError;
use crate::store::redis::RedisOpenError;

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum MaintenanceError {
    /// There is no such data directory, and none is made.
    #[error("{}: there is no such directory; give the --data-dir of a gateway", path.display())]
    NoDataDir {
        /// As it was given.
        path: PathBuf,
    },
    /// The data directory can't be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// What the settings name can't be opened.
    #[error(transparent)]
    Settings(#[from] StartError),
    /// The store file can't be used.
    #[error(transparent)]
    File(#[from] OpenError),
    /// Redis can't be used.
    #[error(transparent)]
    Redis(#[from] RedisOpenError),
    /// The store does not answer, or a row of it is damaged.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is nothing to look at.
    #[error(
        "store: there is no store of muster's under this prefix; give the right --store and \
         --redis-prefix, or see muster store adopt"
    )]
    NoStore,
    /// A copy goes to a Redis.
    #[error("to: a copy goes from embedded:DIR to redis://…; the other way is not supported")]
    NotToRedis,
    /// The gateway of the data directory knows a Redis already.
    #[error(
        "{}: its gateway knows another store; move this file away if that one is not needed",
        path.display()
    )]
    KnowsAnother { path: PathBuf },
    /// A row that must not be lost can't be read.
    #[error(
        "{0}; nothing is copied without it: see muster store check, or restore the store file \
         from a backup"
    )]
    Damaged(StoreError),
    /// The copy is not what it should be.
    #[error("the copy does not hold what was read ({0}); begin it anew with --again")]
    Differs(String),
    /// The admin token's file.
    #[error("{}: {cause}", path.display())]
    TokenFile { path: PathBuf, cause: io::Error },
}

/// A data directory that is there.
pub(super) fn existing(path: &Path) -> Result<crate::server::DataDir, MaintenanceError> {
    if !path.is_dir() {
        return Err(MaintenanceError::NoDataDir {
            path: path.to_owned(),
        });
    }
    Ok(crate::server::DataDir::open(path)?)
}
