//! The data directory: what lies where, and the notes that the CLI reads.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::StartError;
use crate::files::{self, Access};
use crate::keys::Id;
use crate::net::address::AgentAddress;
use crate::store::GatewayId;

/// A directory that one gateway owns.
#[derive(Debug, Clone)]
pub struct DataDir {
    path: PathBuf,
}

/// The files that are for their owner alone, and what they are.
const SECRETS: [(&str, &str); 5] = [
    ("admin.token", "the admin token"),
    ("admin.token.new", "an admin token"),
    ("pending.revokes", "the list of pending revokes"),
    ("server.key", "the private key of muster's certificate"),
    ("store.redb", "the store, with the audit trail,"),
];

/// Why the data directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// It can't be read or written.
    #[error("data directory: {path}: {cause}; make it writable, or give another --data-dir")]
    Failed {
        /// Which file or directory.
        path: String,
        /// What the system says.
        cause: io::Error,
    },
    /// Another gateway has it.
    #[error(
        "data directory: {path} is in use by another muster ({}); one gateway owns a data \
         directory: stop that one, or give this one its own --data-dir",
        holder.map_or_else(|| "its process is not known".to_owned(), |pid| format!("process {pid}"))
    )]
    InUse {
        /// The directory.
        path: String,
        /// The process id that its lock names.
        holder: Option<u32>,
    },
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

    /// Its path, also once the working directory is another; as it was given
    /// where there is no working directory.
    pub(super) fn absolute(&self) -> PathBuf {
        std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone())
    }

    /// Its embedded store is not started where its keys are in Redis by now: those
    /// revoked since would be valid again.
    ///
    /// # Errors
    /// [`StartError::Moved`].
    pub(super) fn refuse_if_moved(&self) -> Result<(), StartError> {
        match self.known_store()? {
            None => Ok(()),
            Some(id) => Err(StartError::Moved {
                store: id,
                mark: self.store_id(),
            }),
        }
    }

    /// The ids of the gateways that ran in this directory and may still be enrolled.
    ///
    /// # Errors
    /// [`DataDirError`].
    pub(super) fn past_gateways(&self) -> Result<Vec<GatewayId>, DataDirError> {
        let path = self.path.join("gateway.id");
        let content = files::read_if_present(&path).map_err(|cause| error(&path, cause))?;
        let text = String::from_utf8_lossy(&content.unwrap_or_default()).into_owned();
        // One that can't be read is forgotten by hand: `muster gateways forget`.
        Ok(text.lines().filter_map(|id| id.parse().ok()).collect())
    }

    /// Notes them.
    ///
    /// # Errors
    /// [`DataDirError`].
    pub(super) fn note_gateways(&self, ids: &[GatewayId]) -> Result<(), DataDirError> {
        let path = self.path.join("gateway.id");
        let lines: String = ids.iter().map(|id| format!("{id}\n")).collect();
        files::write(&path, lines.as_bytes(), Access::Public).map_err(|cause| error(&path, cause))
    }

    /// Revokes that the store has not taken.
    pub(super) fn pending_revokes(&self) -> PathBuf {
        self.path.join("pending.revokes")
    }

    /// Warns of each secret that others than its owner may read. The CA's key is
    /// looked at where it is loaded; it may be elsewhere.
    pub(super) fn warn_of_open_secrets(&self) {
        for (name, what) in SECRETS {
            let path = self.path.join(name);
            if files::is_open_to_others(&path) {
                tracing::warn!(
                    path = %path.display(),
                    "{what} is readable by other users; make it 0600, and replace what is in it if \
                     others may have read it"
                );
            }
        }
    }

    /// The embedded store's file.
    pub fn store(&self) -> PathBuf {
        self.path.join("store.redb")
    }

    /// The file of the first admin token.
    pub fn admin_token(&self) -> PathBuf {
        self.path.join("admin.token")
    }

    /// The id of the Redis store that this gateway knows.
    pub fn store_id(&self) -> PathBuf {
        self.path.join("store.id")
    }

    /// What is in [`Self::store_id`]; none before the first start on Redis.
    ///
    /// # Errors
    /// [`DataDirError`].
    pub fn known_store(&self) -> Result<Option<Id>, DataDirError> {
        let path = self.store_id();
        let content = files::read_if_present(&path).map_err(|cause| error(&path, cause))?;
        let Some(content) = content else {
            return Ok(None);
        };
        let id = std::str::from_utf8(&content).ok();
        let id = id.and_then(|text| Id::parse(text.trim()));
        let strange = || io::Error::other("it holds no store id; move it away");
        id.map(Some).ok_or_else(|| error(&path, strange()))
    }

    /// Notes the Redis store that this gateway takes no other one for from now
    /// on.
    ///
    /// # Errors
    /// [`DataDirError`].
    pub fn remember_store(&self, id: Id) -> Result<(), DataDirError> {
        let path = self.store_id();
        files::write(&path, format!("{id}\n").as_bytes(), Access::Public)
            .map_err(|cause| error(&path, cause))
    }

    /// Keeps other gateways out as long as the file is open. The embedded
    /// store's own lock does that, where there is one.
    pub(super) fn lock(&self) -> Result<File, DataDirError> {
        let path = self.path.join("gateway.lock");
        let failed = |cause| error(&path, cause);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        let file = options.open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {
                // For who finds it locked; it is not what the lock stands on.
                let _ = file.set_len(0);
                let _ = writeln!(&file, "{}", std::process::id());
                Ok(file)
            }
            Err(TryLockError::WouldBlock) => Err(DataDirError::InUse {
                path: self.path.display().to_string(),
                holder: std::fs::read_to_string(&path)
                    .ok()
                    .and_then(|pid| pid.trim().parse().ok()),
            }),
            Err(TryLockError::Error(cause)) => Err(failed(cause)),
        }
    }

    /// Writes what the admin commands need to know: `admin.url`.
    pub(super) fn announce_admin(&self, bound: SocketAddr) -> Result<(), DataDirError> {
        self.tell("admin.url", &format!("https://{}", reachable(bound)))
    }

    /// Writes the address of /metrics, for `muster load`: `ops.address`.
    pub(super) fn announce_ops(&self, bound: SocketAddr) -> Result<(), DataDirError> {
        self.tell("ops.address", &reachable(bound).to_string())
    }

    /// Writes what `agent-config` needs to know: `agent.address`, which agents
    /// dial; `agent.tls`, whose the certificate there is: `muster`'s or the
    /// operator's `own`.
    pub(super) fn announce_agent(
        &self,
        dialled: &AgentAddress,
        own_certificate: bool,
    ) -> Result<(), DataDirError> {
        self.tell("agent.address", &dialled.to_string())?;
        self.tell("agent.tls", if own_certificate { "own" } else { "muster" })
    }

    fn tell(&self, file: &str, line: &str) -> Result<(), DataDirError> {
        let path = self.path.join(file);
        files::write(&path, format!("{line}\n").as_bytes(), Access::Public)
            .map_err(|cause| error(&path, cause))
    }
}

/// Where agents dial: where the operator says, else where the listener is bound.
pub(super) fn dialled(bound: SocketAddr, named: Option<&AgentAddress>) -> AgentAddress {
    named
        .cloned()
        .unwrap_or_else(|| AgentAddress::from_bound(reachable(bound)))
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

pub(super) fn error(path: &Path, cause: io::Error) -> DataDirError {
    DataDirError::Failed {
        path: path.display().to_string(),
        cause,
    }
}
