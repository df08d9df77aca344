//! A gateway: where it is bound, why it did not start, why it stopped.
//!
//! Owns: the face of the whole; `enter.rs` enrols at the store, `build.rs` makes
//! the parts, `run.rs` serves and drains. Must not know: how a part does its work. Invariant: a [`Server`] is
//! bound and enrolled.

mod admin_listener;
mod build;
pub mod config;
mod data_dir;
mod enrol;
pub(crate) mod maintenance;
mod observer;
mod ops_listener;
mod run;

use std::fs::File;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::control::tokens::FirstTokenError;
use crate::net::certs::CertError;
use crate::net::listener::BindError;
use crate::server::config::Config;
use crate::store::embedded::{EmbeddedStore, OpenError};
use crate::store::redis::RedisOpenError;
use crate::store::{Store, StoreError};
use enrol::Source;
use run::Parts;

pub use data_dir::{DataDir, DataDirError};

pub use crate::control::tokens::FirstToken;
pub use enrol::redis_options;

/// Where the listeners are bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// For agents.
    pub agent: SocketAddr,
    /// For operators.
    pub admin: SocketAddr,
    /// For monitors.
    pub ops: SocketAddr,
}

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
         gateways ({theirs}), so their agents could not come here; copy their ca.pem and ca.key \
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

/// Why a gateway stopped without being told to.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A part that runs as long as the gateway ended.
    #[error("{0} ended by itself")]
    PartEnded(&'static str),
    /// A part panicked: a fault of ours.
    #[error("a part of the gateway failed: {0}")]
    PartFailed(String),
}

/// A gateway that is bound and enrolled, but does not serve yet.
pub struct Server {
    addresses: Addresses,
    token: FirstToken,
    parts: Parts,
    /// Held to the end: one gateway has a data directory.
    _lock: Option<File>,
}

impl Server {
    /// Opens the store and binds. While a shared store is away, or another is
    /// in its place, it waits; the ops and the admin listener are up, and say why.
    ///
    /// # Errors
    /// [`StartError`]; none for a fault of a shared store that may pass.
    pub async fn bind(config: Config) -> Result<Self, StartError> {
        let data_dir = DataDir::open(&config.data_dir)?;
        let (source, lock) = match redis_options(&config.store, Some(&data_dir))? {
            None => {
                let store = EmbeddedStore::open(&data_dir.store())?;
                (Source::Own(Arc::new(store)), None)
            }
            Some(options) => (Source::Shared(options), Some(data_dir.lock()?)),
        };
        build::build(config, &data_dir, source, lock).await
    }

    /// Binds over a store that is open already.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn bind_over(config: Config, store: Arc<dyn Store>) -> Result<Self, StartError> {
        let data_dir = DataDir::open(&config.data_dir)?;
        build::build(config, &data_dir, Source::Own(store), None).await
    }

    /// Where the listeners are bound, with their real ports.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// This start made the admin token: there was none before.
    pub fn first_start(&self) -> bool {
        self.token == FirstToken::Made
    }

    /// What became of the admin token at this start.
    pub fn first_token(&self) -> &FirstToken {
        &self.token
    }

    /// For the proof that tests would notice a gate that is skipped. No setting
    /// reaches it.
    #[doc(hidden)]
    pub fn skip_gates(&self) {
        self.parts.registry.skip_gates();
    }

    /// Serves until `shutdown`, then drains: not ready, no new connections,
    /// sessions ended with UNAVAILABLE spread over the drain time, a hard end.
    ///
    /// # Errors
    /// [`ServeError`] when a part ends by itself; the rest is drained then too.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), ServeError> {
        self.parts.run(shutdown).await
    }
}
