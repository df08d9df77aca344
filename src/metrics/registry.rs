//! Metrics: every name, label and bucket, declared here and nowhere else.
//!
//! Owns: the registry that `/metrics` prints. Must not know: what is counted.
//! Invariant: labels come from closed sets, but for the ids of the (bounded)
//! keys that expire soonest and the one epoch; no label holds a secret or an agent's words.

use std::fmt::{self, Debug};
use std::sync::{Arc, OnceLock};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::keys::{Epoch, KeyId};

/// A reason out of a closed set.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Reason {
    /// The word for it.
    pub reason: &'static str,
}

/// What names a file that is read again while the gateway runs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Setting {
    /// Its name, as in the configuration.
    pub setting: &'static str,
}

/// A telemetry signal: `metrics` or `logs`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Signal {
    /// The word for it.
    pub signal: &'static str,
}

/// Declares every metric once: field, type, name without the prefix `muster_`,
/// help. The help is the field's documentation, too.
macro_rules! metrics {
    (
        values { $($field:ident: $kind:ty, $name:literal, $help:literal;)* }
        seconds { $($timed:ident, $timed_name:literal, $buckets:expr, $timed_help:literal;)* }
    ) => {
        /// The metrics of one gateway. Cheap to share; all updates are atomic.
        #[derive(Debug)]
        pub struct Metrics {
            registry: Registry,
            soonest: Ends,
            view: ViewAge,
            certificates: Ends,
            $(#[doc = $help] pub $field: $kind,)*
            $(#[doc = $timed_help] pub $timed: Histogram,)*
        }

        impl Metrics {
            /// All metrics at zero.
            pub fn new() -> Self {
                let mut registry = Registry::default();
                registry.register_collector(Box::new(crate::metrics::process::ProcessUsage));
                let muster = registry.sub_registry_with_prefix("muster");
                let soonest = Ends::of_keys();
                muster.register_collector(Box::new(soonest.clone()));
                let view = ViewAge::default();
                muster.register_collector(Box::new(view.clone()));
                let certificates = Ends::of_certificates();
                muster.register_collector(Box::new(certificates.clone()));
                $(
                    let $field = <$kind>::default();
                    muster.register($name, $help, $field.clone());
                )*
                $(
                    let $timed = Histogram::new($buckets);
                    muster.register_with_unit($timed_name, $timed_help, Unit::Seconds, $timed.clone());
                )*
                Self { registry, soonest, view, certificates, $($field,)* $($timed,)* }
            }
        }

        /// Name, type and help of each, for the page that lists them.
        #[cfg(test)]
        pub(super) const ALL: &[(&str, &str, &str)] = &[
            $(($name, stringify!($kind), $help),)*
            $(($timed_name, "Histogram, seconds", $timed_help),)*
        ];
    };
}

metrics! {
    values {
    connections_open: Gauge, "connections_open", "Agent connections open";
    connections_closed: Family<Reason, Counter>, "connections_closed", "Agent connections closed, by reason";
    connections_refused: Family<Reason, Counter>, "connections_refused", "Agent connections refused before HTTP/2, by reason";
    sessions_live: Gauge, "sessions_live", "Live sessions on this gateway";
    sessions_opened: Counter, "sessions_opened", "Sessions opened";
    sessions_closed: Family<Reason, Counter>, "sessions_closed", "Sessions closed, by reason";
    joins: Counter, "joins", "Accepted CreateConnection calls";
    refusals: Family<Reason, Counter>, "refusals", "Agent calls refused, by reason";
    cache_hits: Counter, "key_cache_hits", "Key verifications answered from the cache";
    cache_misses: Counter, "key_cache_misses", "Key verifications that loaded the key from the store";
    telemetry_exports: Family<Signal, Counter>, "telemetry_exports", "OTLP exports accepted and dropped, by signal";
    telemetry_items: Family<Signal, Counter>, "telemetry_items", "Data points and log records in accepted OTLP exports, by signal";
    store_failures: Counter, "store_failures", "Store calls that failed";
    store_file_bytes: Gauge, "store_file_bytes", "Size of the embedded store's file as of the scrape before; 0 on Redis";
    store_corrupt: Counter, "store_corrupt_records", "Damaged records found in the store";
    applied_revision: Gauge, "applied_revision", "Newest store revision applied on this gateway";
    store_unprotected: Gauge, "store_unprotected", "1 if the store may lose acknowledged changes; /readyz says why";
    store_unwritable: Gauge, "store_unwritable", "1 while the store takes no writes; /readyz says why";
    store_disk_free_bytes: Gauge, "store_disk_free_bytes", "Free space on the disk of the embedded store; 0 on Redis";
    log_lines_lost: Counter, "log_lines_lost", "Log lines that could not be written to standard error";
    panics: Counter, "panics", "Tasks of this process that panicked: a fault of muster";
    keys_unreadable: Gauge, "keys_unreadable", "Keys that this gateway could not read again from the store";
    keys_lost: Gauge, "keys_lost", "Keys known to this gateway that are missing from the store";
    store_foreign: Gauge, "store_foreign", "1 while another store answers than the one this gateway knows";
    reasserted: Counter, "reasserted", "Revokes and deletes that the store had lost, written again by this gateway";
    audit_lost: Counter, "audit_records_lost", "Audit records that could not be written to the store";
    reload_failed: Family<Setting, Gauge>, "reload_failed", "1 while what a setting's file holds now can't be used and the old content is used on";
    revokes_pending: Gauge, "revokes_pending", "Revokes applied on this gateway that the store has not taken yet";
    }
    seconds {
    verify_seconds, "verify", [1e-6, 5e-6, 2.5e-5, 1e-4, 5e-4, 2.5e-3, 1e-2, 0.1, 1.0], "Time to verify a presented key";
    revoke_seconds, "revoke_to_last_close", [0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 2.0, 5.0], "Time from a revoke to the close of the last stream that it ended";
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Also prints the seconds to expiry of the keys that `soonest` returns at
    /// each scrape: keys with live agents, negative once past. Said once; a
    /// second time changes nothing.
    pub fn watch_expiry(&self, soonest: impl Fn() -> Vec<(KeyId, f64)> + Send + Sync + 'static) {
        let named = move || {
            let soonest = soonest().into_iter();
            soonest.map(|(key, at)| (key.to_string(), at)).collect()
        };
        let _ = self.soonest.ask.set(Box::new(named));
    }

    /// Also prints, at each scrape, how many seconds old what this gateway knows
    /// of the store is, and of which epoch. Said once, as above.
    pub fn watch_view(&self, ask: impl Fn() -> (f64, Epoch) + Send + Sync + 'static) {
        let _ = self.view.0.set(Box::new(ask));
    }

    /// Also prints, at each scrape, the seconds until each certificate ends that
    /// `ask` returns, negative once past. Said once, as above.
    pub fn watch_certificates(&self, ask: impl Fn() -> Vec<(String, f64)> + Send + Sync + 'static) {
        let _ = self.certificates.ask.set(Box::new(ask));
    }

    /// The text that a Prometheus server reads (OpenMetrics 1.0).
    ///
    /// # Errors
    /// Never in practice: writing to a string does not fail.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

type AskEnds = dyn Fn() -> Vec<(String, f64)> + Send + Sync;

/// Seconds until things end, asked for at each scrape.
#[derive(Clone)]
struct Ends {
    name: &'static str,
    help: &'static str,
    label: &'static str,
    ask: Arc<OnceLock<Box<AskEnds>>>,
}

impl Ends {
    fn new(name: &'static str, help: &'static str, label: &'static str) -> Self {
        Self {
            name,
            help,
            label,
            ask: Arc::default(),
        }
    }

    fn of_keys() -> Self {
        let help = "Time to expiry of a key with live agents, the 1000 soonest";
        Self::new("key_expires_in", help, "key")
    }

    fn of_certificates() -> Self {
        let help = "Time to the end of a certificate: ca and server are muster's own, tls-cert 1 \
                    the operator's, tls-cert 2 and so on its chain";
        Self::new("certificate_expires_in", help, "certificate")
    }
}

impl Debug for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Collector for Ends {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let kind = EncodeMetric::metric_type(&ConstGauge::new(0.0));
        let mut family =
            encoder.encode_descriptor(self.name, self.help, Some(&Unit::Seconds), kind)?;
        for (which, seconds) in self.ask.get().map_or_else(Vec::new, |ask| ask()) {
            let labels = [(self.label, which)];
            ConstGauge::new(seconds).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

type AskView = dyn Fn() -> (f64, Epoch) + Send + Sync;

/// The age and the epoch of the view, asked for at each scrape.
#[derive(Clone, Default)]
struct ViewAge(Arc<OnceLock<Box<AskView>>>);

impl Debug for ViewAge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ViewAge")
    }
}

impl Collector for ViewAge {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(ask) = self.0.get() else {
            return Ok(());
        };
        let (seconds, epoch) = ask();
        let age = ConstGauge::new(seconds);
        let unit = Unit::Seconds;
        let help = "Age of this gateway's view of its store";
        let kind = EncodeMetric::metric_type(&age);
        age.encode(encoder.encode_descriptor("view_age", help, Some(&unit), kind)?)?;
        let help = "Epoch of the store that this gateway follows; always 1";
        let mut family = encoder.encode_descriptor("view_epoch", help, None, kind)?;
        let labels = [("epoch", epoch.to_string())];
        ConstGauge::new(1_i64).encode(family.encode_family(&labels)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_names_labels_and_expiries() {
        let metrics = Metrics::new();
        let key: KeyId = "key_0123456789ABCDEF".parse().unwrap();
        metrics.watch_expiry(move || vec![(key, 12.5)]);
        metrics.watch_view(|| (3.5, Epoch(0xA)));
        metrics.joins.inc();
        let reason = Reason {
            reason: "KEY_REVOKED",
        };
        metrics.refusals.get_or_create(&reason).inc();
        let text = metrics.encode().unwrap();
        for line in [
            "muster_joins_total 1",
            "muster_refusals_total{reason=\"KEY_REVOKED\"} 1",
            "muster_key_expires_in_seconds{key=\"key_0123456789ABCDEF\"} 12.5",
            "muster_view_age_seconds 3.5",
            "muster_view_epoch{epoch=",
            "\nprocess_cpu_seconds_total ",
            "\nprocess_resident_memory_bytes ",
            "# EOF",
        ] {
            assert!(text.contains(line), "{line} in:\n{text}");
        }
    }
}
