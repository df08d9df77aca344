//! The data directory: what lies where, and the notes that the CLI reads.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::Addresses;
use crate::config::AgentAddress;
use crate::files::{self, Access};

/// A directory that one gateway owns.
#[derive(Debug, Clone)]
pub struct DataDir {
    path: PathBuf,
}

/// Why the data directory can't be used.
#[derive(Debug, thiserror::Error)]
#[error("data directory: {path}: {cause}; make it writable, or give another --data-dir")]
pub struct DataDirError {
    path: String,
    cause: io::Error,
}

impl DataDir {
    /// Makes it, readable by its owner alone, when it is not there.
    ///
    /// # Errors
    /// [`DataDirError`].
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        files::make_dir(path).map_err(|cause| error(path, cause))?;
        Ok(Self {
            path: path.to_owned(),
        })
    }

    /// The embedded store's file.
    pub fn store(&self) -> PathBuf {
        self.path.join("store.redb")
    }

    /// The first admin token.
    pub fn admin_token(&self) -> PathBuf {
        self.path.join("admin.token")
    }

    /// Writes what `agent-config` and the admin commands need to know:
    /// `admin.url`; `agent.address`, which agents dial; `agent.tls`, whose the
    /// certificate there is: `muster`'s or the operator's `own`.
    pub(super) fn announce(
        &self,
        addresses: &Addresses,
        dialled: Option<&AgentAddress>,
        own_certificate: bool,
    ) -> Result<(), DataDirError> {
        let agent = match dialled {
            Some(address) => address.to_string(),
            None => reachable(addresses.agent).to_string(),
        };
        let admin = format!("https://{}", reachable(addresses.admin));
        let tls = if own_certificate { "own" } else { "muster" }.to_owned();
        for (file, line) in [
            ("admin.url", admin),
            ("agent.address", agent),
            ("agent.tls", tls),
        ] {
            let path = self.path.join(file);
            files::write(&path, format!("{line}\n").as_bytes(), Access::Public)
                .map_err(|cause| error(&path, cause))?;
        }
        Ok(())
    }
}

/// "Every address" can't be dialled; on this host the loopback can.
fn reachable(bound: SocketAddr) -> SocketAddr {
    let ip = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, bound.port())
}

fn error(path: &Path, cause: io::Error) -> DataDirError {
    DataDirError {
        path: path.display().to_string(),
        cause,
    }
}
