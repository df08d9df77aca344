//! Why a gateway did not start, or stopped.

use std::io;
use std::path::PathBuf;

use super::data_dir::DataDirError;
use crate::control::keys::LeftRevokesError;
use crate::control::tokens::FirstTokenError;
use crate::keys::Id;
use crate::net::certs::CertError;
use crate::net::listener::BindError;
use crate::store::StoreError;
use crate::store::embedded::OpenError;
use crate::store::redis::RedisOpenError;

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory can't be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The store file can't be used.
    #[error(transparent)]
    StoreFile(#[from] OpenError),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The certificates can't be used or made.
    #[error(transparent)]
    Certs(#[from] CertError),
    /// Redis can't be used as a store.
    #[error(transparent)]
    Redis(#[from] RedisOpenError),
    /// Agents that trust the other gateways' CA would not trust this one's.
    #[error(
        "certificates: this gateway's CA (SHA-256 {ours}) is not the one of the store's other \
         gateways ({theirs}), so their agents could not connect here; copy their ca.pem and ca.key \
         to {}, or give all of them one --ca-dir",
        dir.display()
    )]
    OtherAuthority {
        /// The fingerprint of this gateway's CA.
        ours: String,
        /// The one in the store.
        theirs: String,
        /// Where this gateway's CA is.
        dir: PathBuf,
    },
    /// The password for Redis can't be read.
    #[error("redis-password-file: {}: {cause}", path.display())]
    PasswordFile {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// The CA of Redis's certificate can't be read.
    #[error("redis-ca-file: {}: {cause}", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// Revokes of an earlier process can't be read.
    #[error(transparent)]
    LeftRevokes(#[from] LeftRevokesError),
    /// The keys of this data directory have moved to a Redis.
    #[error(
        "store: this data directory has served from the Redis store {store} ({} says so), and its \
         store.redb may let in keys that were revoked there since; give --store with the URL of \
         that Redis, or, to go back to store.redb as it is, remove {}",
        mark.display(),
        mark.display()
    )]
    Moved {
        /// The store's id.
        store: Id,
        /// What says so.
        mark: PathBuf,
    },
    /// The first admin token can't be read or made.
    #[error("admin token: {0}")]
    Token(io::Error),
    /// A listener can't be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// There are no random numbers for the gateway's id.
    #[error("no random numbers from the operating system: {0}")]
    NoRandomness(String),
    /// Our own descriptors can't be read: a build fault.
    #[error("reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

impl From<FirstTokenError> for StartError {
    fn from(error: FirstTokenError) -> Self {
        match error {
            FirstTokenError::File(cause) => Self::Token(cause),
            FirstTokenError::Store(error) => Self::Store(error),
        }
    }
}

/// Why a gateway stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A part that runs as long as the gateway ended.
    #[error("{0} ended by itself")]
    PartEnded(&'static str),
    /// A part panicked: a fault of muster.
    #[error("a part of the gateway failed: {0}")]
    PartFailed(String),
}
