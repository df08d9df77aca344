//! Wires everything together. A placeholder until the parts are there.

use std::net::SocketAddr;

use crate::config::Config;

/// A gateway whose listeners are bound.
#[derive(Debug)]
pub struct Server {
    addresses: Addresses,
}

/// Where the listeners are bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// For agents.
    pub agent: SocketAddr,
    /// For operators.
    pub admin: SocketAddr,
    /// For probes and metrics.
    pub ops: SocketAddr,
}

/// Why a gateway can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {}

/// Why a gateway stopped that was not told to.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {}

impl Server {
    /// Binds the listeners.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn bind(config: Config) -> Result<Self, StartError> {
        Ok(Self {
            addresses: Addresses {
                agent: config.listen.agent,
                admin: config.listen.admin,
                ops: config.listen.ops,
            },
        })
    }

    /// Where the listeners are bound.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// The data directory was made by this start.
    pub fn first_start(&self) -> bool {
        true
    }

    /// Serves until `shutdown` is ready.
    ///
    /// # Errors
    /// [`ServeError`].
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), ServeError> {
        shutdown.await;
        Ok(())
    }
}
