//! Every setting, once: its name, kind, range, place in the configuration, help.
//!
//! A row `agent_listen` is the flag `--agent-listen`, the environment variable
//! `MUSTER_AGENT_LISTEN` and the line `agent-listen = …` of the TOML file. Its
//! default is what [`Config::default`] has at its place. Must not know: which
//! values are allowed together. Invariant: a field is `None` where its source
//! does not set it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;

use super::model::Config;
use super::store::StoreText;
use super::values::{Count, ListenAddress, LogFormat, Mode, Period, Setting, check_range};
use crate::net::address::AgentAddress;

const MILLISECOND: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// HTTP/2's largest window (RFC 9113, section 6.9.1).
const LARGEST_WINDOW: u64 = (1 << 31) - 1;
const U32: u64 = u32::MAX as u64;

/// A row: `name: Kind("VALUE") [range] => place.in.config, "help";`. A setting
/// without a place is read in `check.rs`; its default follows `=`.
macro_rules! settings {
    ($($heading:literal { $(
        $name:ident: $kind:ident($value:literal) $([$range:expr])? $(=> $($place:ident).+)?
            $(= $default:literal)?, $help:literal;
    )* })*) => {
        /// The settings that one source (file, environment, flags) gives.
        #[derive(Debug, Clone, Default, PartialEq, Eq, Args, Deserialize)]
        #[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
        #[group(skip)]
        pub struct Settings {
            $($(
                #[doc = $help]
                #[arg(long, value_name = $value, help_heading = $heading,
                    help = help($help, None
                        $(.or($kind::shown(&Config::default().$($place).+)))?
                        $(.or(Some($default.to_owned())))?))]
                pub $name: Option<$kind>,
            )*)*
        }

        impl Settings {
            /// These settings, and `lower` wherever they say nothing.
            #[must_use]
            pub fn over(self, lower: Self) -> Self {
                Self { $($($name: self.$name.or(lower.$name),)*)* }
            }

            /// Puts what is set in its place; `fault` gets each setting that is
            /// out of range.
            pub(super) fn put(&self, config: &mut Config, mut fault: impl FnMut(&str, String)) {
                $($(
                    $(if let Some(value) = self.$name
                        && let Err(why) = check_range(value.0, &$range)
                    {
                        fault(&stringify!($name).replace('_', "-"), why);
                    })?
                    $(if let Some(value) = self.$name.clone() {
                        value.put(&mut config.$($place).+);
                    })?
                )*)*
            }
        }

        /// The range of a setting, for its documentation; `None`: it has none.
        #[cfg(test)]
        pub(super) fn range_of(setting: &str) -> Option<String> {
            match setting.replace('-', "_").as_str() {
                $($($(stringify!($name) => Some(super::values::span(&$range)),)?)*)*
                _ => None,
            }
        }
    };
}

settings! {
    "Listeners and files" {
        data_dir: PathBuf("DIR") => data_dir,
            "Directory of the embedded store, the certificates and the admin token";
        store: StoreText("STORE") = "embedded",
            "Where keys are kept: embedded (in the data directory, for one gateway) or, for \
             several, redis://HOST:PORT, rediss://… for TLS, or \
             redis-sentinel://HOST:PORT,HOST:PORT/MASTER, with USER:PASSWORD@ before HOST and \
             /DB at the end where needed";
        agent_listen: ListenAddress("IP:PORT") => listen.agent,
            "Where agents connect (TLS, gRPC); port 0: any free one";
        admin_listen: ListenAddress("IP:PORT") => listen.admin,
            "Where operators connect (TLS; gRPC, REST and the console)";
        ops_listen: ListenAddress("IP:PORT") => listen.ops,
            "Where /metrics, /healthz and /readyz are (plain HTTP)";
        agent_address: AgentAddress("HOST:PORT") => tls.agent_address,
            "Where agents dial, as they see it: goes into the certificate and into `agent-config`";
        ca_dir: PathBuf("DIR") => tls.ca_dir,
            "Directory of muster's own CA and its private key; left out: the data directory";
        tls_cert: PathBuf("FILE"),
            "A certificate chain of your own for the agent listener (PEM); needs --tls-key";
        tls_key: PathBuf("FILE"),
            "The private key of --tls-cert (PEM)";
        reload_interval: Period("TIME") [MILLISECOND..=DAY] => timing.reload_interval,
            "Time between two looks at whether the files of --tls-cert, --tls-key, \
             --redis-password-file and --redis-ca-file have changed; SIGHUP looks at once";
        gateway_name: String("NAME"),
            "This gateway's name, for display; left out: the host name";
        log: String("FILTER") => log.filter,
            "What is logged: a level, or a tracing filter such as info,muster=debug";
        log_format: LogFormat("FORMAT") => log.format,
            "Format of log lines: text or json";
    }
    "Limits of the agent listener" {
        max_connections: Count("N") [1..=U32] => limits.max_connections,
            "Open connections of agents in all; one more is closed at once";
        max_connections_per_address: Count("N") [1..=U32] => limits.max_connections_per_address,
            "Open connections from one address";
        tls_deadline: Period("TIME") [MILLISECOND..=DAY] => limits.tls_deadline,
            "Time from the accept to the end of the TLS handshake";
        preface_deadline: Period("TIME") [MILLISECOND..=DAY] => limits.preface_deadline,
            "Time from the TLS handshake to the HTTP/2 preface and the first frame header";
        // An agent holds one stream open while it makes its other calls.
        max_concurrent_streams: Count("N") [2..=U32] => limits.max_concurrent_streams,
            "Streams open at a time on one connection";
        max_local_error_resets: Count("N") [1..=U32] => limits.max_local_error_resets,
            "Streams of one connection that muster may reset for the peer's errors before it \
             closes the connection";
        max_pending_accept_resets: Count("N") [1..=U32] => limits.max_pending_accept_resets,
            "Streams of one connection that the peer may reset before they are accepted; then \
             the connection is closed";
        // Below this even a well-made agent's headers are refused.
        max_header_list_bytes: Count("BYTES") [1024..=1 << 24] => limits.max_header_list_bytes,
            "Bytes of one header list";
        stream_window_bytes: Count("BYTES") [1024..=LARGEST_WINDOW] => limits.stream_window_bytes,
            "HTTP/2 window of one stream";
        // HTTP/2 begins with this much and has no way to take it back.
        connection_window_bytes: Count("BYTES") [65_535..=LARGEST_WINDOW]
            => limits.connection_window_bytes,
            "HTTP/2 window of one connection";
        keepalive_interval: Period("TIME") [MILLISECOND..=DAY] => limits.keepalive_interval,
            "Send a PING to a peer that has been silent for this time";
        keepalive_timeout: Period("TIME") [MILLISECOND..=DAY] => limits.keepalive_timeout,
            "Close the connection of a peer that has not answered a PING for this time";
        idle_timeout: Period("TIME") [MILLISECOND..=DAY] => limits.idle_timeout,
            "Close a connection without a stream or a request for this time";
        cut_after: Period("TIME") [Duration::ZERO..=DAY] => limits.cut_after,
            "Time from a session's end to the forced close of its socket";
        max_message_bytes: Count("BYTES") [1024..=1 << 30] => max_message_bytes,
            "Bytes of one gRPC message";
    }
    "Keys and the store" {
        drain_time: Period("TIME") [Duration::ZERO..=DAY] => timing.drain_time,
            "Time over which a shutdown spreads closing agent connections";
        cache_capacity: Count("KEYS") [1..=U32] => cache_capacity,
            "Keys kept in the cache";
        load_deadline: Period("TIME") [MILLISECOND..=DAY] => timing.load_deadline,
            "Longest wait for the store to load one key";
        expiry_recheck_deadline: Period("TIME") [MILLISECOND..=DAY]
            => timing.expiry_recheck_deadline,
            "Longest wait for the store to confirm that a key has expired";
        // Above this the admin client's own deadline would end the wait.
        revoke_wait: Period("TIME") [Duration::ZERO..=Duration::from_secs(30)]
            => timing.revoke_wait,
            "Longest time that the answer to a revoke waits for its streams to close";
        feed_interval: Period("TIME") [MILLISECOND..=DAY] => timing.feed_interval,
            "Time between two heartbeats of this gateway in the store";
        min_free_disk: Count("BYTES") [0..=1 << 62] => store.min_free_disk,
            "Warn when the disk of the embedded store has fewer bytes free; 0: never";
        disk_deadline: Period("TIME") [MILLISECOND..=DAY] => store.disk_deadline,
            "Longest wait for the disk of the embedded store to take a write; then the store \
             counts as failed";
        redis_prefix: String("PREFIX") => store.redis_prefix,
            "Prefix of the names of muster's keys in Redis";
        redis_password_file: PathBuf("FILE") => store.redis_password_file,
            "A file with the password for Redis, which then is in no list of processes";
        redis_ca_file: PathBuf("FILE") => store.redis_ca_file,
            "CAs (PEM) to trust for the certificate of a rediss:// store; left out: the system's";
        redis_replicas: Count("N") [0..=1000] => store.redis_replicas,
            "Replicas of Redis that must have a change before it is called durable; left out: \
             one where there are any, and with Sentinel";
        // It delays the answers to other changes, too.
        redis_replicas_deadline: Period("TIME") [MILLISECOND..=Duration::from_secs(30)]
            => store.redis_replicas_deadline,
            "Longest time that the answer to a change waits for the replicas; the change counts \
             all the same";
        redis_connect_deadline: Period("TIME") [MILLISECOND..=DAY] => store.redis_connect_deadline,
            "Longest wait for a connection to Redis, with its login";
        redis_answer_deadline: Period("TIME") [MILLISECOND..=DAY] => store.redis_answer_deadline,
            "Longest wait for an answer of Redis";
    }
    "When the store is not heard" {
        staleness: Mode("MODE") => staleness.mode,
            "Without contact to the store, best_effort keeps sessions and lets known keys in \
             until --stale-limit; strict ends sessions and refuses keys after --stale-after";
        stale_uncached_after: Period("TIME") [MILLISECOND..=DAY] => staleness.uncached_after,
            "After this time without contact to the store, refuse keys that are not cached \
             (UNAVAILABLE); must be longer than --feed-interval";
        stale_after: Period("TIME") [MILLISECOND..=DAY] => staleness.stale_after,
            "After this time without contact to the store, be not ready; with strict, also end \
             all sessions and refuse all keys";
        stale_limit: Period("TIME") [MILLISECOND..=DAY] => staleness.stale_limit,
            "With best_effort, after this time without contact to the store, refuse known keys \
             too (UNAVAILABLE)";
        stale_spread: Period("TIME") [Duration::ZERO..=DAY] => staleness.spread,
            "Time over which strict spreads the ends of sessions";
    }
    "Agents" {
        max_agents_per_key: Count("N") [1..=10_000_000] => instances.max_agents_per_key,
            "Agents that may register with one key";
        identity_conflict_after: Period("TIME") [MILLISECOND..=DAY]
            => timing.identity_conflict_after,
            "Report an identity conflict when an agent that changed its key is still live under \
             the old one after this time";
        forget_unavailable_after: Period("TIME") [Duration::ZERO..=30 * DAY]
            => instances.forget_unavailable_after,
            "Forget an agent that has not been connected for this time; 0: never. A value that \
             is set in the store (`muster settings set`) overrides it for all its gateways";
    }
    "Audit" {
        // Ten years of 365.25 days, as they are written.
        audit_keep: Period("TIME") [DAY..=Duration::from_secs(315_576_000)] => audit_keep,
            "Time for which records of the audit trail are kept";
    }
}

fn help(help: &str, default: Option<String>) -> String {
    match default {
        Some(default) => format!("{help} [default: {default}]"),
        None => help.to_owned(),
    }
}
