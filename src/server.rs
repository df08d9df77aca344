//! A gateway: configured, bound over its store, serving, drained.
//!
//! Owns: the face of the whole; `enrol.rs` enrols at the store, `build.rs` makes
//! the parts, `run.rs` serves and drains. Must not know: how a part does its work.
//! Invariant: a [`Server`] is bound and enrolled.

mod admin_listener;
mod build;
pub mod config;
mod data_dir;
mod disk_watch;
mod enrol;
mod error;
pub(crate) mod maintenance;
mod observer;
mod ops_listener;
mod reload;
mod run;

use std::fs::File;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

pub(crate) use crate::control::tokens::FirstToken;
pub(crate) use data_dir::DataDir;
pub(crate) use enrol::redis_options;
pub(crate) use error::ServeError;
pub use error::StartError;
pub use reload::ReloadHandle;

use crate::server::config::Config;
use crate::store::Store;
use crate::store::embedded::EmbeddedStore;
use enrol::Source;
use run::Parts;

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
        let lock = data_dir.lock()?;
        data_dir.warn_of_open_secrets();
        let source = match redis_options(&config.store, Some(&data_dir))? {
            None => {
                data_dir.refuse_if_moved()?;
                let deadline = config.store.disk_deadline;
                let store = EmbeddedStore::open_within(&data_dir.store(), deadline)?;
                Source::Own(Arc::new(store))
            }
            Some(options) => Source::Shared(Box::new(options)),
        };
        build::build(config, &data_dir, source, Some(lock)).await
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

    /// Has the files read again that may be replaced while the gateway runs.
    pub fn reload_handle(&self) -> ReloadHandle {
        self.parts.reload.handle()
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
