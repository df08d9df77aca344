//! What the listeners report, as metrics.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::listener::{CloseReason, Observer, RefuseReason, Unobserved};
use crate::telemetry::{Metrics, Reason};

/// Counts an agent listener's connections.
pub(super) struct ConnectionMetrics(Arc<Metrics>);

impl ConnectionMetrics {
    pub fn counted(metrics: Arc<Metrics>) -> Arc<dyn Observer> {
        Arc::new(Self(metrics))
    }

    /// For the admin listener: the metrics speak of agents alone.
    pub fn ignored() -> Arc<dyn Observer> {
        Arc::new(Unobserved)
    }
}

impl Observer for ConnectionMetrics {
    fn opened(&self) {
        self.0.connections_open.inc();
    }

    fn closed(&self, reason: CloseReason) {
        self.0.connections_open.dec();
        let reason = Reason {
            reason: reason.as_str(),
        };
        self.0.connections_closed.get_or_create(&reason).inc();
    }

    fn refused(&self, peer: SocketAddr, reason: RefuseReason) {
        tracing::debug!(%peer, reason = reason.as_str(), "connection refused");
        let reason = Reason {
            reason: reason.as_str(),
        };
        self.0.connections_refused.get_or_create(&reason).inc();
    }
}
