//! The latest time that a store has seen beside the clock of this host, and an
//! operator's word that the host's is right.
//!
//! Must not know: a gateway at work. Invariant: a file that a gateway uses is not
//! changed.

use std::path::Path;

use super::database::failed;
use super::open::{self, OpenError};
use super::schema::META;
use super::{events, latest_time};
use crate::keys::Timestamp;
use crate::store::clock::{HostClock, SystemClock};

/// The two clocks of a store that no gateway uses.
#[derive(Debug, Clone, Copy)]
pub struct Clocks {
    /// The latest time that the store has seen; none in a file from before.
    pub seen: Option<Timestamp>,
    /// This host's.
    pub host: Timestamp,
}

/// Reads both clocks; changes nothing.
///
/// # Errors
/// [`OpenError`].
pub fn clocks(path: &Path) -> Result<Clocks, OpenError> {
    Ok(Clocks {
        seen: open::latest_time(path)?,
        host: SystemClock.wall(),
    })
}

/// From now on the store goes by this host's clock, also where it has seen a later
/// time. Returns that of the host.
///
/// # Errors
/// [`OpenError`] when the file is not ours, or is in use.
pub fn accept_host_clock(path: &Path) -> Result<Timestamp, OpenError> {
    let now = SystemClock.wall();
    open::change(path, |transaction| {
        let mut meta = transaction.open_table(META).map_err(failed)?;
        latest_time::write(&mut meta, now)?;
        // Expiries between the two times are to be reported when they come.
        if events::expiries_until(&meta)?.is_some_and(|until| until > now) {
            events::set_expiries_until(&mut meta, now)?;
        }
        Ok(())
    })?;
    Ok(now)
}
