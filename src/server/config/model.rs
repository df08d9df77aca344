//! What a gateway needs to know before it starts, and the defaults.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::store::StoreConfig;
use super::values::LogFormat;
use crate::gateway::auth::Staleness;
use crate::gateway::registrations::InstanceLimits;
use crate::net::address::AgentAddress;
use crate::net::listener::Limits;

/// What a gateway needs to know before it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where the embedded store, the certificates and the admin token are kept. Default:
    /// `./muster-data`.
    pub data_dir: PathBuf,
    /// Where keys and all that belongs to them are kept.
    pub store: StoreConfig,
    /// The addresses to listen on.
    pub listen: Listen,
    /// Names and certificates.
    pub tls: Tls,
    /// For display, 1 to 128 characters. Default: the host name.
    pub gateway_name: String,
    /// What is logged, and how.
    pub log: Log,
    /// The bounds of the agent listener.
    pub limits: Limits,
    /// Bytes of one gRPC message. Default: 4 MiB.
    pub max_message_bytes: usize,
    /// Deadlines and periods that are no limits of the listener.
    pub timing: Timing,
    /// What is done without contact to the store. Default: best effort, with the
    /// bounds 3 s, 60 s and 15 min.
    pub staleness: Staleness,
    /// Keys in the cache. Default: 100,000.
    pub cache_capacity: u64,
    /// What agents may make grow. Default: 50,000 agents a key, forgotten after
    /// 24 h without a connection (0: never; at most 720 h).
    pub instances: InstanceLimits,
    /// How long records of the audit trail are kept, 1 day to 10 years. Default:
    /// 365 days.
    pub audit_keep: Duration,
}

/// The addresses to listen on; port 0: any free one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen {
    /// For agents. Default: `127.0.0.1:7443`.
    pub agent: SocketAddr,
    /// For operators. Default: `127.0.0.1:7444`.
    pub admin: SocketAddr,
    /// For probes and metrics. Default: `127.0.0.1:7445`.
    pub ops: SocketAddr,
}

/// Names and certificates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// Where agents dial, as they see it. Default: where the listener is bound.
    pub agent_address: Option<AgentAddress>,
    /// Where muster's CA is kept. Default: the data directory.
    pub ca_dir: Option<PathBuf>,
    /// A certificate for the agent listener that is not muster's own. The admin
    /// listener keeps muster's, so that the command line always works.
    pub own: Option<OwnCertificate>,
}

/// A certificate that somebody else issued, as PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnCertificate {
    /// The chain, leaf first.
    pub cert: PathBuf,
    /// The leaf's private key.
    pub key: PathBuf,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// A filter in tracing's syntax. Default: `info`.
    pub filter: String,
    pub format: LogFormat,
}

/// Deadlines and periods that are no limits of the listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// Time over which a shutdown spreads closing agent connections. Default: 2 s.
    pub drain_time: Duration,
    /// Longest wait for the store to load one key. Default: 2 s.
    pub load_deadline: Duration,
    /// Longest wait for the store when an expiry is checked once more.
    /// Default: 1 s.
    pub expiry_recheck_deadline: Duration,
    /// How long the answer to a revoke waits for its streams to close; at most
    /// 30 s. Default: 5 s.
    pub revoke_wait: Duration,
    /// Between two heartbeats of this gateway in the store. Default: 1 s.
    pub feed_interval: Duration,
    /// Between two looks at files that may be replaced while the gateway runs.
    /// Default: 20 s.
    pub reload_interval: Duration,
    /// An agent that changed its key and is still live under the old one so
    /// much later is an identity conflict. Default: 30 s, by when keepalive has
    /// ended a dead session.
    pub identity_conflict_after: Duration,
}

impl Default for Config {
    /// What a gateway without any setting does, but for its name, which is
    /// `gateway`.
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("./muster-data"),
            store: StoreConfig::default(),
            listen: Listen::default(),
            tls: Tls::default(),
            gateway_name: "gateway".to_owned(),
            log: Log::default(),
            limits: Limits::default(),
            max_message_bytes: 4 << 20,
            timing: Timing::default(),
            staleness: Staleness::default(),
            cache_capacity: 100_000,
            instances: InstanceLimits::default(),
            audit_keep: Duration::from_secs(365 * 24 * 3600),
        }
    }
}

impl Default for Listen {
    fn default() -> Self {
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            agent: at(7443),
            admin: at(7444),
            ops: at(7445),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            filter: "info".to_owned(),
            format: LogFormat::Text,
        }
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            drain_time: Duration::from_secs(2),
            load_deadline: Duration::from_secs(2),
            expiry_recheck_deadline: Duration::from_secs(1),
            revoke_wait: Duration::from_secs(5),
            feed_interval: Duration::from_secs(1),
            reload_interval: Duration::from_secs(20),
            identity_conflict_after: Duration::from_secs(30),
        }
    }
}
