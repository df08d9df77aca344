//! The embedded store's file is made as small as its rows allow.
//!
//! Must not know: what is printed. Invariant: no gateway runs meanwhile.

use super::MaintenanceError;
use super::error::existing;
use crate::server::config::{Config, StorePlace};
use crate::store::embedded;

/// Compacts the embedded store of `config`; `None`: it is on Redis, which looks
/// after itself.
///
/// # Errors
/// [`MaintenanceError`].
pub fn compact(config: &Config) -> Result<Option<embedded::Compacted>, MaintenanceError> {
    if config.store.place != StorePlace::Embedded {
        return Ok(None);
    }
    let dir = existing(&config.data_dir)?;
    Ok(Some(embedded::compact(&dir.store())?))
}
