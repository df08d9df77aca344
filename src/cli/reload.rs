//! SIGHUP: `muster serve` reads its configuration and its files again.
//!
//! Must not know: what the gateway's files are. Invariant: of the configuration
//! nothing but the log's filter changes while a gateway runs.

use tokio::signal::unix::Signal;
use tracing_subscriber::EnvFilter;

use super::log::SetFilter;
use crate::server::ReloadHandle;
use crate::server::config::{Config, ConfigError};

type Again = Box<dyn Fn() -> Result<Config, ConfigError> + Send + Sync>;

/// The configuration of a gateway that runs, and how it is read again.
pub(super) struct Reload {
    config: Config,
    set_filter: SetFilter,
    again: Again,
}

impl Reload {
    pub fn new(
        config: Config,
        set_filter: SetFilter,
        again: impl Fn() -> Result<Config, ConfigError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            config,
            set_filter,
            again: Box::new(again),
        }
    }

    /// At each SIGHUP: the filter from the configuration, and the gateway's files.
    pub async fn run(mut self, mut hangup: Signal, gateway: ReloadHandle) {
        while hangup.recv().await.is_some() {
            tracing::info!(signal = "SIGHUP", "reading the files again");
            let read = self.read();
            gateway.config_failed(read.is_err());
            if let Err(error) = read {
                tracing::error!(error, "the configuration can't be used; the old one stays");
            }
            gateway.ask();
        }
    }

    fn read(&mut self) -> Result<(), String> {
        let mut config = (self.again)().map_err(|error| error.to_string())?;
        let filter = config.log.filter.clone();
        if filter != self.config.log.filter {
            let read = EnvFilter::try_new(&filter).map_err(|error| error.to_string())?;
            (self.set_filter)(read)?;
            tracing::info!(filter, "another log filter");
            self.config.log.filter = filter;
        }
        config.log.filter.clone_from(&self.config.log.filter);
        if config != self.config {
            tracing::warn!(
                "settings other than the log's filter have changed; they need a restart"
            );
        }
        Ok(())
    }
}
