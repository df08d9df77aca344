//! Rules between settings: each is fine by itself, together they are not.
//!
//! Invariant: the fault names a setting that was given.

use std::net::SocketAddr;
use std::time::Duration;

use super::Checker;
use crate::gateway::auth::{StaleMode, Staleness};
use crate::server::config::{Listen, Origin};

impl Checker {
    /// A bound below the one before it would never be met, or always.
    pub(super) fn bounds_rise(&mut self, feed_interval: Duration, staleness: &Staleness) {
        let interval = ("feed-interval", feed_interval);
        let uncached = ("stale-uncached-after", staleness.uncached_after);
        let after = ("stale-after", staleness.stale_after);
        let limit = ("stale-limit", staleness.stale_limit);
        // Between two heartbeats the view is as old as their interval.
        if interval.1 >= uncached.1 {
            self.out_of_order(interval, uncached, "must be longer than");
        }
        if uncached.1 > after.1 {
            self.out_of_order(uncached, after, "must not be shorter than");
        }
        // Strict has no use for the limit.
        if staleness.mode == StaleMode::BestEffort && after.1 > limit.1 {
            self.out_of_order(after, limit, "must not be shorter than");
        }
    }

    fn out_of_order(&mut self, low: (&str, Duration), high: (&str, Duration), rule: &str) {
        // Name the one that was given.
        let blamed = match self.layer.origin(high.0) {
            Origin::Default => low.0,
            _ => high.0,
        };
        let show = humantime::format_duration;
        let fault = format!(
            "{} ({}) {rule} {} ({})",
            high.0,
            show(high.1),
            low.0,
            show(low.1)
        );
        self.fault(blamed, fault);
    }

    /// Two listeners on one port would fail at the second bind, with a message
    /// that blames another process.
    pub(super) fn listeners_differ(&mut self, listen: &Listen) {
        let all = [
            ("agent-listen", listen.agent),
            ("admin-listen", listen.admin),
            ("ops-listen", listen.ops),
        ];
        for (at, (name, address)) in all.iter().enumerate() {
            for (other, taken) in &all[..at] {
                if collide(*address, *taken) {
                    // Name the one that was given.
                    let (blamed, free) = match self.layer.origin(name) {
                        Origin::Default => (other, name),
                        _ => (name, other),
                    };
                    let fault = format!(
                        "{address} and {taken}: {blamed} and {free} would share a port; \
                         give each its own"
                    );
                    self.fault(blamed, fault);
                }
            }
        }
    }
}

fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    a.port() == b.port()
        && a.port() != 0
        && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
}
