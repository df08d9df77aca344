//! Metrics: every name, label and bucket, declared here and nowhere else.
//!
//! Owns: the registry that `/metrics` prints. Must not know: who counts.
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

/// A telemetry signal: `metrics` or `logs`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Signal {
    /// The word for it.
    pub signal: &'static str,
}

/// The metrics of one gateway. Cheap to share; all updates are atomic.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    soonest: Soonest,
    view: ViewAge,
    /// Connections open on the agent listener.
    pub connections_open: Gauge,
    /// Connections closed, by reason.
    pub connections_closed: Family<Reason, Counter>,
    /// Connections refused before HTTP/2, by reason.
    pub connections_refused: Family<Reason, Counter>,
    /// Sessions live on this gateway.
    pub sessions_live: Gauge,
    /// Sessions opened.
    pub sessions_opened: Counter,
    /// Sessions closed, by reason.
    pub sessions_closed: Family<Reason, Counter>,
    /// Accepted CreateConnection calls.
    pub joins: Counter,
    /// Calls of agents refused, by reason.
    pub refusals: Family<Reason, Counter>,
    /// Time to verify a presented key, seconds.
    pub verify_seconds: Histogram,
    /// Verifications answered from the cache.
    pub cache_hits: Counter,
    /// Verifications that had to load the key.
    pub cache_misses: Counter,
    /// From a revoke's start to the close of the last stream it ended, seconds.
    pub revoke_seconds: Histogram,
    /// Telemetry exports accepted, by signal.
    pub telemetry_exports: Family<Signal, Counter>,
    /// Data points and log records in them, by signal.
    pub telemetry_items: Family<Signal, Counter>,
    /// Store calls that failed.
    pub store_failures: Counter,
    /// Damaged records met: each is an alarm.
    pub store_corrupt: Counter,
    /// The newest store revision whose changes are applied here.
    pub applied_revision: Gauge,
    /// 1: the store is set up so that it may lose changes without need.
    pub store_unprotected: Gauge,
    /// Keys that are known here and missing in the store.
    pub keys_lost: Gauge,
    /// 1 while another store answers than the one that is known.
    pub store_foreign: Gauge,
    /// Revokes and deletes that the store had lost, written again from here.
    pub reasserted: Counter,
    /// Records of the audit trail that could not be written.
    pub audit_lost: Counter,
    /// Revokes that are applied here and not yet written.
    pub revokes_pending: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All metrics at zero.
    pub fn new() -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(crate::metrics::process::ProcessUsage));
        let r = registry.sub_registry_with_prefix("muster");
        let soonest = Soonest::default();
        r.register_collector(Box::new(soonest.clone()));
        let view = ViewAge::default();
        r.register_collector(Box::new(view.clone()));
        let verify_seconds =
            Histogram::new([1e-6, 5e-6, 2.5e-5, 1e-4, 5e-4, 2.5e-3, 1e-2, 0.1, 1.0]);
        let revoke_seconds = Histogram::new([0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 2.0, 5.0]);
        r.register_with_unit(
            "verify",
            "Time to verify a key",
            Unit::Seconds,
            verify_seconds.clone(),
        );
        r.register_with_unit(
            "revoke_to_last_close",
            "From a revoke to the close of the last stream it ended",
            Unit::Seconds,
            revoke_seconds.clone(),
        );
        Self {
            connections_open: add(r, "connections_open", "Agent connections open"),
            connections_closed: add(r, "connections_closed", "Agent connections closed"),
            connections_refused: add(
                r,
                "connections_refused",
                "Agent connections refused before HTTP/2",
            ),
            sessions_live: add(r, "sessions_live", "Sessions live on this gateway"),
            sessions_opened: add(r, "sessions_opened", "Sessions opened"),
            sessions_closed: add(r, "sessions_closed", "Sessions closed"),
            joins: add(r, "joins", "Accepted CreateConnection calls"),
            refusals: add(r, "refusals", "Agent calls refused"),
            cache_hits: add(r, "key_cache_hits", "Verifications answered from the cache"),
            cache_misses: add(r, "key_cache_misses", "Verifications that loaded the key"),
            telemetry_exports: add(r, "telemetry_exports", "OTLP exports accepted and dropped"),
            telemetry_items: add(
                r,
                "telemetry_items",
                "Data points and log records in accepted OTLP exports",
            ),
            store_failures: add(r, "store_failures", "Store calls that failed"),
            store_unprotected: add(
                r,
                "store_unprotected",
                "1: the store may lose acknowledged changes without need, see /readyz",
            ),
            store_corrupt: add(r, "store_corrupt_records", "Damaged records met"),
            applied_revision: add(r, "applied_revision", "Newest store revision applied here"),
            keys_lost: add(r, "keys_lost", "Known keys that the store lacks"),
            store_foreign: add(
                r,
                "store_foreign",
                "1: another store answers than the known one",
            ),
            reasserted: add(r, "reasserted", "Lost revokes and deletes written again"),
            audit_lost: add(
                r,
                "audit_records_lost",
                "Audit records that are in the log alone",
            ),
            revokes_pending: add(
                r,
                "revokes_pending",
                "Revokes applied here, not yet written",
            ),
            verify_seconds,
            revoke_seconds,
            registry,
            soonest,
            view,
        }
    }

    /// Also prints the seconds to expiry of the keys that `soonest` returns at
    /// each scrape: keys with live agents, negative once past. Said once; a
    /// second time changes nothing.
    pub fn watch_expiry(&self, soonest: impl Fn() -> Vec<(KeyId, f64)> + Send + Sync + 'static) {
        let _ = self.soonest.0.set(Box::new(soonest));
    }

    /// Also prints, at each scrape, how many seconds old what this gateway knows
    /// of the store is, and of which epoch. Said once, as above.
    pub fn watch_view(&self, ask: impl Fn() -> (f64, Epoch) + Send + Sync + 'static) {
        let _ = self.view.0.set(Box::new(ask));
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

fn add<M>(registry: &mut Registry, name: &str, help: &str) -> M
where
    M: prometheus_client::registry::Metric + Default + Clone,
{
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

type AskSoonest = dyn Fn() -> Vec<(KeyId, f64)> + Send + Sync;

/// The keys that expire soonest, asked for at each scrape.
#[derive(Clone, Default)]
struct Soonest(Arc<OnceLock<Box<AskSoonest>>>);

impl Debug for Soonest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Soonest")
    }
}

impl Collector for Soonest {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let unit = Unit::Seconds;
        let sample = ConstGauge::new(0.0);
        let mut family = encoder.encode_descriptor(
            "key_expires_in",
            "Time to expiry of a key with live agents, the 1000 soonest",
            Some(&unit),
            EncodeMetric::metric_type(&sample),
        )?;
        let soonest = self.0.get().map_or_else(Vec::new, |ask| ask());
        for (key, seconds) in soonest {
            let labels = [("key", key.to_string())];
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
        let help = "How old what this gateway knows of its store is";
        let kind = EncodeMetric::metric_type(&age);
        age.encode(encoder.encode_descriptor("view_age", help, Some(&unit), kind)?)?;
        let help = "The history of the store that counts here; always 1";
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
