//! The embedded store takes this host's clock, where it has seen a later time.
//!
//! Must not know: how an operator confirms it. Invariant: nothing is changed by
//! the look, and no gateway runs meanwhile.

use super::MaintenanceError;
use super::error::existing;
use crate::keys::Timestamp;
use crate::server::config::{Config, StorePlace};
use crate::store::embedded;

/// The clocks of the embedded store of `config`; `None`: it is on Redis, whose
/// clock counts.
///
/// # Errors
/// [`MaintenanceError`].
pub fn clocks(config: &Config) -> Result<Option<embedded::Clocks>, MaintenanceError> {
    if config.store.place != StorePlace::Embedded {
        return Ok(None);
    }
    let dir = existing(&config.data_dir)?;
    Ok(Some(embedded::clocks(&dir.store())?))
}

/// From now on the embedded store of `config` goes by this host's clock. Returns
/// its time.
///
/// # Errors
/// [`MaintenanceError`].
pub fn accept_clock(config: &Config) -> Result<Timestamp, MaintenanceError> {
    let dir = existing(&config.data_dir)?;
    Ok(embedded::accept_host_clock(&dir.store())?)
}
