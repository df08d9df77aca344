//! Every setting, once: its name, its help, how it is written.
//!
//! A field `agent_listen` is the flag `--agent-listen`, the environment
//! variable `MUSTER_AGENT_LISTEN` and the line `agent-listen = …` of the TOML
//! file, all three from this one declaration. Must not know: which values are
//! allowed together. Invariant: every field is an `Option`, `None` where that
//! source does not set it; the `[default: …]` in the help is what the
//! configuration really uses (a test compares the two).

use std::path::PathBuf;

use clap::Args;
use serde::Deserialize;

use super::store::StoreText;
use super::values::{Count, ListenAddress, LogFormat, Mode, Period};
use crate::net::address::AgentAddress;

/// The settings that one source (file, environment, flags) gives.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[group(skip)]
#[command(next_help_heading = "Listeners and files")]
pub struct Settings {
    /// Where the embedded store, the certificates and the admin token are kept [default: ./muster-data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where keys are kept: embedded (in the data directory, for one gateway) or, for several,
    /// redis://HOST:PORT/DB, rediss://… for TLS, or redis-sentinel://HOST:PORT,HOST:PORT/MASTER,
    /// with USER:PASSWORD@ before HOST where needed [default: embedded]
    #[arg(long, value_name = "STORE")]
    pub store: Option<StoreText>,
    /// Where agents connect (TLS, gRPC); port 0: any free one [default: 127.0.0.1:7443]
    #[arg(long, value_name = "IP:PORT")]
    pub agent_listen: Option<ListenAddress>,
    /// Where operators connect (TLS, gRPC) [default: 127.0.0.1:7444]
    #[arg(long, value_name = "IP:PORT")]
    pub admin_listen: Option<ListenAddress>,
    /// Where /metrics, /healthz and /readyz are (plain HTTP) [default: 127.0.0.1:7445]
    #[arg(long, value_name = "IP:PORT")]
    pub ops_listen: Option<ListenAddress>,
    /// Where agents dial, as they see it: goes into the certificate and into `agent-config`
    #[arg(long, value_name = "HOST:PORT")]
    pub agent_address: Option<AgentAddress>,
    /// Where muster's own CA is kept, with its private key; left out: the data directory
    #[arg(long, value_name = "DIR")]
    pub ca_dir: Option<PathBuf>,
    /// A certificate chain of your own for the agent listener (PEM); needs --tls-key
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// The private key of --tls-cert (PEM)
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// This gateway's name, for display; left out: the host name
    #[arg(long, value_name = "NAME")]
    pub gateway_name: Option<String>,
    /// What is logged: a level, or a tracing filter such as info,muster=debug [default: info]
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
    /// How it is logged, text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,

    /// Open connections of agents in all; one more is closed at once [default: 16384]
    #[arg(long, value_name = "N", help_heading = "Limits of the agent listener")]
    pub max_connections: Option<Count>,
    /// Open connections from one address [default: 4096]
    #[arg(long, value_name = "N", help_heading = "Limits of the agent listener")]
    pub max_connections_per_address: Option<Count>,
    /// From the accept to the end of the TLS handshake [default: 5s]
    #[arg(
        long,
        value_name = "TIME",
        help_heading = "Limits of the agent listener"
    )]
    pub tls_deadline: Option<Period>,
    /// From the TLS handshake to the HTTP/2 preface and first frame header [default: 5s]
    #[arg(
        long,
        value_name = "TIME",
        help_heading = "Limits of the agent listener"
    )]
    pub preface_deadline: Option<Period>,
    /// Streams open at a time on one connection [default: 16]
    #[arg(long, value_name = "N", help_heading = "Limits of the agent listener")]
    pub max_concurrent_streams: Option<Count>,
    /// Stream errors of ours on one connection before it is told to go [default: 64]
    #[arg(long, value_name = "N", help_heading = "Limits of the agent listener")]
    pub max_local_error_resets: Option<Count>,
    /// Streams that the peer reset before they were accepted, before it is told to go [default: 20]
    #[arg(long, value_name = "N", help_heading = "Limits of the agent listener")]
    pub max_pending_accept_resets: Option<Count>,
    /// Bytes of one header list [default: 16384]
    #[arg(
        long,
        value_name = "BYTES",
        help_heading = "Limits of the agent listener"
    )]
    pub max_header_list_bytes: Option<Count>,
    /// HTTP/2 window of one stream [default: 65536]
    #[arg(
        long,
        value_name = "BYTES",
        help_heading = "Limits of the agent listener"
    )]
    pub stream_window_bytes: Option<Count>,
    /// HTTP/2 window of one connection [default: 262144]
    #[arg(
        long,
        value_name = "BYTES",
        help_heading = "Limits of the agent listener"
    )]
    pub connection_window_bytes: Option<Count>,
    /// A peer of which nothing came for so long gets a PING [default: 20s]
    #[arg(
        long,
        value_name = "TIME",
        help_heading = "Limits of the agent listener"
    )]
    pub keepalive_interval: Option<Period>,
    /// A peer that answers no PING for so long is cut [default: 10s]
    #[arg(
        long,
        value_name = "TIME",
        help_heading = "Limits of the agent listener"
    )]
    pub keepalive_timeout: Option<Period>,
    /// A connection without stream or request for so long is told to go [default: 2m]
    #[arg(
        long,
        value_name = "TIME",
        help_heading = "Limits of the agent listener"
    )]
    pub idle_timeout: Option<Period>,
    /// From a session's end to the closing of its socket [default: 2s]
    #[arg(
        long,
        value_name = "TIME",
        help_heading = "Limits of the agent listener"
    )]
    pub cut_after: Option<Period>,
    /// Bytes of one gRPC message [default: 4194304]
    #[arg(
        long,
        value_name = "BYTES",
        help_heading = "Limits of the agent listener"
    )]
    pub max_message_bytes: Option<Count>,

    /// Time over which a shutdown spreads closing agent connections [default: 2s]
    #[arg(long, value_name = "TIME", help_heading = "Keys and the store")]
    pub drain_time: Option<Period>,
    /// Keys kept in the cache [default: 100000]
    #[arg(long, value_name = "KEYS", help_heading = "Keys and the store")]
    pub cache_capacity: Option<Count>,
    /// Longest wait for the store to load one key [default: 2s]
    #[arg(long, value_name = "TIME", help_heading = "Keys and the store")]
    pub load_deadline: Option<Period>,
    /// Longest wait for the store when an expiry is checked once more [default: 1s]
    #[arg(long, value_name = "TIME", help_heading = "Keys and the store")]
    pub expiry_recheck_deadline: Option<Period>,
    /// How long the answer to a revoke waits for its streams to close [default: 5s]
    #[arg(long, value_name = "TIME", help_heading = "Keys and the store")]
    pub revoke_wait: Option<Period>,
    /// Between two heartbeats of this gateway in the store [default: 1s]
    #[arg(long, value_name = "TIME", help_heading = "Keys and the store")]
    pub feed_interval: Option<Period>,
    /// What the names of muster's keys in Redis begin with [default: muster]
    #[arg(long, value_name = "PREFIX", help_heading = "Keys and the store")]
    pub redis_prefix: Option<String>,
    /// A file with the password for Redis, so that it is in no list of processes
    #[arg(long, value_name = "FILE", help_heading = "Keys and the store")]
    pub redis_password_file: Option<PathBuf>,
    /// The CAs (PEM) that the certificate of a rediss:// may be from; left out: the system's
    #[arg(long, value_name = "FILE", help_heading = "Keys and the store")]
    pub redis_ca_file: Option<PathBuf>,
    /// Replicas of Redis that must have a change before it is called durable; left out: one where
    /// there are any, and with Sentinel
    #[arg(long, value_name = "N", help_heading = "Keys and the store")]
    pub redis_replicas: Option<Count>,
    /// How long the answer to a change waits for them at most; it fails for none [default: 1s]
    #[arg(long, value_name = "TIME", help_heading = "Keys and the store")]
    pub redis_replicas_deadline: Option<Period>,
    /// Longest wait for a connection to Redis, with its login [default: 2s]
    #[arg(long, value_name = "TIME", help_heading = "Keys and the store")]
    pub redis_connect_deadline: Option<Period>,
    /// Longest wait for an answer of Redis [default: 2s]
    #[arg(long, value_name = "TIME", help_heading = "Keys and the store")]
    pub redis_answer_deadline: Option<Period>,

    /// While the store is not heard, best_effort keeps sessions and lets known keys in until
    /// --stale-limit; strict does neither after --stale-after [default: best_effort]
    #[arg(
        long,
        value_name = "MODE",
        help_heading = "When the store is not heard"
    )]
    pub staleness: Option<Mode>,
    /// After this time without contact to the store, refuse keys that are not cached (UNAVAILABLE);
    /// must be longer than --feed-interval [default: 3s]
    #[arg(
        long,
        value_name = "TIME",
        help_heading = "When the store is not heard"
    )]
    pub stale_uncached_after: Option<Period>,
    /// Not ready after so long; strict then ends all sessions and refuses [default: 1m]
    #[arg(
        long,
        value_name = "TIME",
        help_heading = "When the store is not heard"
    )]
    pub stale_after: Option<Period>,
    /// In best_effort, known keys are refused (UNAVAILABLE) after so long, too [default: 15m]
    #[arg(
        long,
        value_name = "TIME",
        help_heading = "When the store is not heard"
    )]
    pub stale_limit: Option<Period>,
    /// How long strict spreads the ends of sessions [default: 10s]
    #[arg(
        long,
        value_name = "TIME",
        help_heading = "When the store is not heard"
    )]
    pub stale_spread: Option<Period>,

    /// Agents that may register with one key [default: 50000]
    #[arg(long, value_name = "N", help_heading = "Agents")]
    pub max_agents_per_key: Option<Count>,
    /// An agent that changed its key and is still live under the old one so much later is
    /// an identity conflict [default: 30s]
    #[arg(long, value_name = "TIME", help_heading = "Agents")]
    pub identity_conflict_after: Option<Period>,
    /// An agent that was not connected for so long is forgotten; 0: never. What was set in the
    /// store (`muster settings set`) counts instead, for all its gateways [default: 24h]
    #[arg(long, value_name = "TIME", help_heading = "Agents")]
    pub forget_unavailable_after: Option<Period>,

    /// How long records of the audit trail are kept, 1day to 10years [default: 365days]
    #[arg(long, value_name = "TIME", help_heading = "Audit")]
    pub audit_keep: Option<Period>,
}

impl Settings {
    /// These settings, and `lower` wherever they say nothing.
    #[must_use]
    pub fn over(self, lower: Self) -> Self {
        macro_rules! pick {
            ($($field:ident),* $(,)?) => { Self { $($field: self.$field.or(lower.$field)),* } };
        }
        pick! {
            data_dir, store, redis_prefix, redis_password_file, redis_connect_deadline,
            redis_answer_deadline, redis_ca_file, redis_replicas, redis_replicas_deadline, agent_listen, admin_listen, ops_listen, agent_address, ca_dir, tls_cert,
            tls_key, gateway_name, log, log_format,
            max_connections, max_connections_per_address, tls_deadline, preface_deadline,
            max_concurrent_streams, max_local_error_resets, max_pending_accept_resets,
            max_header_list_bytes, stream_window_bytes, connection_window_bytes,
            keepalive_interval, keepalive_timeout, idle_timeout, cut_after,
            max_message_bytes,
            drain_time, cache_capacity, load_deadline, expiry_recheck_deadline, revoke_wait,
            feed_interval, staleness, stale_uncached_after, stale_after, stale_limit, stale_spread,
            max_agents_per_key, forget_unavailable_after, identity_conflict_after,
            audit_keep,
        }
    }
}
