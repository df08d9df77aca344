//! From settings to a configuration: defaults, ranges, and what must fit
//! together.
//!
//! Must not know: sockets, files. Invariant: a [`Config`] that comes out of
//! here has every value in its range.

mod across;

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::error::{ConfigError, Problem};
use super::layers::Layer;
use super::settings::Settings;
use super::store::{self, StoreConfig};
use super::values::{Count, ListenAddress, Period};
use super::{Config, Listen, Log, OwnCertificate, Timing, Tls};
use crate::gateway::auth::Staleness;
use crate::gateway::registrations::InstanceLimits;
use crate::net::listener::Limits;

const MILLISECOND: Duration = Duration::from_millis(1);
/// Above this a span is a slip of the pen; it also keeps every sum of a clock
/// and a span in range.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// Longest memory of an agent that is gone.
const LONGEST_MEMORY: Duration = Duration::from_secs(720 * 3600);
/// Memory of the audit trail: a day, ten years (of 365.25 days, as they are
/// written).
const AUDIT_KEEP: RangeInclusive<Duration> =
    Duration::from_secs(24 * 3600)..=Duration::from_secs(315_576_000);
/// Above this the admin client's own deadline would end the wait.
const LONGEST_REVOKE_WAIT: Duration = Duration::from_secs(30);
/// It delays the answers to other changes, too.
const LONGEST_REPLICAS_DEADLINE: Duration = Duration::from_secs(30);
const MOST_REPLICAS: u64 = 1000;
/// HTTP/2's largest window (RFC 9113, section 6.9.1).
const LARGEST_WINDOW: u64 = (1 << 31) - 1;

/// Checks the settings as a whole. Problems found earlier are told along.
pub(super) fn check(layer: Layer, problems: Vec<Problem>) -> Result<Config, ConfigError> {
    let settings = layer.settings.clone();
    let mut c = Checker { layer, problems };
    let base = Config::default();
    let at = |given: Option<ListenAddress>, default| given.map_or(default, |listen| listen.0);
    let listen = Listen {
        agent: at(settings.agent_listen, base.listen.agent),
        admin: at(settings.admin_listen, base.listen.admin),
        ops: at(settings.ops_listen, base.listen.ops),
    };
    c.listeners_differ(&listen);
    for (name, path) in [
        ("data-dir", &settings.data_dir),
        ("ca-dir", &settings.ca_dir),
        ("tls-cert", &settings.tls_cert),
        ("tls-key", &settings.tls_key),
        ("redis-password-file", &settings.redis_password_file),
    ] {
        if path
            .as_ref()
            .is_some_and(|path| path.as_os_str().is_empty())
        {
            c.fault(name, "it is empty; expected a path");
        }
    }
    let store = c.store(&settings);
    let own = match (settings.tls_cert, settings.tls_key) {
        (Some(cert), Some(key)) => Some(OwnCertificate { cert, key }),
        (None, None) => None,
        (Some(_), None) => {
            c.fault(
                "tls-cert",
                "it needs tls-key, the private key that belongs to it; give both or neither",
            );
            None
        }
        (None, Some(_)) => {
            c.fault(
                "tls-key",
                "it needs tls-cert, the certificate that belongs to it; give both or neither",
            );
            None
        }
    };
    let gateway_name = settings.gateway_name.unwrap_or_else(host_name);
    let chars = gateway_name.chars().count();
    if !(1..=128).contains(&chars) || gateway_name.chars().any(char::is_control) {
        c.fault(
            "gateway-name",
            "expected 1 to 128 characters without control characters",
        );
    }
    let filter = settings.log.unwrap_or(base.log.filter);
    if let Err(fault) = check_filter(&filter) {
        c.fault(
            "log",
            format!(
                "{filter:?}: {fault}; expected off, error, warn, info, debug or trace, \
                     or a filter such as info,muster=debug"
            ),
        );
    }
    let any = 1..=u64::from(u32::MAX);
    let default = base.limits;
    let limits = Limits {
        max_connections: c.size(
            "max-connections",
            settings.max_connections,
            default.max_connections,
            any.clone(),
        ),
        max_connections_per_address: c.size(
            "max-connections-per-address",
            settings.max_connections_per_address,
            default.max_connections_per_address,
            any.clone(),
        ),
        tls_deadline: c.period(
            "tls-deadline",
            settings.tls_deadline,
            default.tls_deadline,
            MILLISECOND..=LONGEST,
        ),
        preface_deadline: c.period(
            "preface-deadline",
            settings.preface_deadline,
            default.preface_deadline,
            MILLISECOND..=LONGEST,
        ),
        // An agent holds one stream open while it makes its other calls.
        max_concurrent_streams: c.number(
            "max-concurrent-streams",
            settings.max_concurrent_streams,
            default.max_concurrent_streams,
            2..=u64::from(u32::MAX),
        ),
        max_local_error_resets: c.size(
            "max-local-error-resets",
            settings.max_local_error_resets,
            default.max_local_error_resets,
            any.clone(),
        ),
        max_pending_accept_resets: c.size(
            "max-pending-accept-resets",
            settings.max_pending_accept_resets,
            default.max_pending_accept_resets,
            any.clone(),
        ),
        // Below this even a well-made agent's headers are refused.
        max_header_list_bytes: c.number(
            "max-header-list-bytes",
            settings.max_header_list_bytes,
            default.max_header_list_bytes,
            1024..=1 << 24,
        ),
        stream_window_bytes: c.number(
            "stream-window-bytes",
            settings.stream_window_bytes,
            default.stream_window_bytes,
            1024..=LARGEST_WINDOW,
        ),
        connection_window_bytes: c.number(
            "connection-window-bytes",
            settings.connection_window_bytes,
            default.connection_window_bytes,
            // HTTP/2 begins with this much and has no way to take it back.
            65_535..=LARGEST_WINDOW,
        ),
        keepalive_interval: c.period(
            "keepalive-interval",
            settings.keepalive_interval,
            default.keepalive_interval,
            MILLISECOND..=LONGEST,
        ),
        keepalive_timeout: c.period(
            "keepalive-timeout",
            settings.keepalive_timeout,
            default.keepalive_timeout,
            MILLISECOND..=LONGEST,
        ),
        idle_timeout: c.period(
            "idle-timeout",
            settings.idle_timeout,
            default.idle_timeout,
            MILLISECOND..=LONGEST,
        ),
        cut_after: c.period(
            "cut-after",
            settings.cut_after,
            default.cut_after,
            Duration::ZERO..=LONGEST,
        ),
    };
    let max_message_bytes = c.size(
        "max-message-bytes",
        settings.max_message_bytes,
        base.max_message_bytes,
        1024..=1 << 30,
    );
    let default = base.timing;
    let timing = Timing {
        drain_time: c.period(
            "drain-time",
            settings.drain_time,
            default.drain_time,
            Duration::ZERO..=LONGEST,
        ),
        load_deadline: c.period(
            "load-deadline",
            settings.load_deadline,
            default.load_deadline,
            MILLISECOND..=LONGEST,
        ),
        expiry_recheck_deadline: c.period(
            "expiry-recheck-deadline",
            settings.expiry_recheck_deadline,
            default.expiry_recheck_deadline,
            MILLISECOND..=LONGEST,
        ),
        revoke_wait: c.period(
            "revoke-wait",
            settings.revoke_wait,
            default.revoke_wait,
            Duration::ZERO..=LONGEST_REVOKE_WAIT,
        ),
        identity_conflict_after: c.period(
            "identity-conflict-after",
            settings.identity_conflict_after,
            default.identity_conflict_after,
            MILLISECOND..=LONGEST,
        ),
        feed_interval: c.period(
            "feed-interval",
            settings.feed_interval,
            default.feed_interval,
            MILLISECOND..=LONGEST,
        ),
    };
    let default = base.staleness;
    let staleness = Staleness {
        mode: settings.staleness.map_or(default.mode, |mode| mode.0),
        uncached_after: c.period(
            "stale-uncached-after",
            settings.stale_uncached_after,
            default.uncached_after,
            MILLISECOND..=LONGEST,
        ),
        stale_after: c.period(
            "stale-after",
            settings.stale_after,
            default.stale_after,
            MILLISECOND..=LONGEST,
        ),
        stale_limit: c.period(
            "stale-limit",
            settings.stale_limit,
            default.stale_limit,
            MILLISECOND..=LONGEST,
        ),
        spread: c.period(
            "stale-spread",
            settings.stale_spread,
            default.spread,
            Duration::ZERO..=LONGEST,
        ),
        lag: store.lag(),
    };
    c.bounds_rise(timing.feed_interval, &staleness);
    let cache_capacity = c.count(
        "cache-capacity",
        settings.cache_capacity,
        base.cache_capacity,
        any,
    );
    let instances = InstanceLimits {
        max_agents_per_key: c.size(
            "max-agents-per-key",
            settings.max_agents_per_key,
            base.instances.max_agents_per_key,
            1..=10_000_000,
        ),
        forget_unavailable_after: c.period(
            "forget-unavailable-after",
            settings.forget_unavailable_after,
            base.instances.forget_unavailable_after,
            Duration::ZERO..=LONGEST_MEMORY,
        ),
    };
    let audit_keep = c.period(
        "audit-keep",
        settings.audit_keep,
        base.audit_keep,
        AUDIT_KEEP,
    );
    if !c.problems.is_empty() {
        return Err(ConfigError {
            problems: c.problems,
        });
    }
    Ok(Config {
        data_dir: settings.data_dir.unwrap_or(base.data_dir),
        store,
        listen,
        tls: Tls {
            agent_address: settings.agent_address,
            ca_dir: settings.ca_dir,
            own,
        },
        gateway_name,
        log: Log {
            filter,
            format: settings.log_format.unwrap_or(base.log.format),
        },
        limits,
        max_message_bytes,
        timing,
        staleness,
        cache_capacity,
        instances,
        audit_keep,
    })
}

struct Checker {
    layer: Layer,
    problems: Vec<Problem>,
}

impl Checker {
    fn fault(&mut self, setting: &str, fault: impl Into<String>) {
        self.problems.push(Problem::Value {
            setting: setting.to_owned(),
            origin: self.layer.origin(setting),
            fault: fault.into(),
        });
    }

    fn within<T: PartialOrd + Copy>(
        &mut self,
        setting: &str,
        value: T,
        range: &RangeInclusive<T>,
        show: impl Fn(T) -> String,
    ) -> T {
        if !range.contains(&value) {
            let (value, low, high) = (show(value), show(*range.start()), show(*range.end()));
            self.fault(
                setting,
                format!("{value} is out of range: expected {low} to {high}"),
            );
        }
        value
    }

    fn count(
        &mut self,
        setting: &str,
        given: Option<Count>,
        default: u64,
        range: RangeInclusive<u64>,
    ) -> u64 {
        let value = given.map_or(default, |count| count.0);
        self.within(setting, value, &range, |n| n.to_string())
    }

    /// As [`Self::count`]; a range goes up to what `T` holds at most, so that
    /// an out of range value is told before it is cut.
    fn number<T>(
        &mut self,
        setting: &str,
        given: Option<Count>,
        default: T,
        range: RangeInclusive<u64>,
    ) -> T
    where
        T: TryFrom<u64> + Into<u64> + Copy,
    {
        let value = self.count(setting, given, default.into(), range);
        T::try_from(value).unwrap_or(default)
    }

    fn size(
        &mut self,
        setting: &str,
        given: Option<Count>,
        default: usize,
        range: RangeInclusive<u64>,
    ) -> usize {
        let value = self.count(
            setting,
            given,
            u64::try_from(default).unwrap_or(u64::MAX),
            range,
        );
        usize::try_from(value).unwrap_or(default)
    }

    fn period(
        &mut self,
        setting: &str,
        given: Option<Period>,
        default: Duration,
        range: RangeInclusive<Duration>,
    ) -> Duration {
        let value = given.map_or(default, |period| period.0);
        self.within(setting, value, &range, |span| {
            humantime::format_duration(span).to_string()
        })
    }

    fn store(&mut self, settings: &Settings) -> StoreConfig {
        let base = store::read(settings, |setting, why| self.fault(setting, why));
        StoreConfig {
            redis_replicas: settings
                .redis_replicas
                .map(|wanted| self.number("redis-replicas", Some(wanted), 0, 0..=MOST_REPLICAS)),
            redis_replicas_deadline: self.period(
                "redis-replicas-deadline",
                settings.redis_replicas_deadline,
                base.redis_replicas_deadline,
                MILLISECOND..=LONGEST_REPLICAS_DEADLINE,
            ),
            redis_connect_deadline: self.period(
                "redis-connect-deadline",
                settings.redis_connect_deadline,
                base.redis_connect_deadline,
                MILLISECOND..=LONGEST,
            ),
            redis_answer_deadline: self.period(
                "redis-answer-deadline",
                settings.redis_answer_deadline,
                base.redis_answer_deadline,
                MILLISECOND..=LONGEST,
            ),
            ..base
        }
    }
}

fn host_name() -> String {
    let name = gethostname::gethostname().to_string_lossy().into_owned();
    if name.is_empty() {
        "gateway".to_owned()
    } else {
        name
    }
}

/// tracing reads a bare word as a module's name, so that `inof` would switch
/// all logging off without a word; here a bare word must be a level.
fn check_filter(filter: &str) -> Result<(), Box<dyn Display>> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    for part in filter.split(',').map(str::trim) {
        if !part.contains('=') && !LEVELS.contains(&part.to_ascii_lowercase().as_str()) {
            return Err(Box::new(format!("{part:?} is not a level")));
        }
    }
    EnvFilter::try_new(filter)
        .map(drop)
        .map_err(|error| Box::new(error.to_string()) as Box<dyn Display>)
}
