//! What the agent listener reports, as metrics and rejections.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::gateway::rejections::{Group, Reason as Refused, Rejections};
use crate::metrics::registry::{Metrics, Reason};
use crate::net::listener::{CloseReason, Observer, RefuseReason, Unobserved};

/// Counts an agent listener's connections, and notes those refused.
pub(super) struct Connections {
    metrics: Arc<Metrics>,
    rejections: Arc<Rejections>,
}

impl Connections {
    pub fn observed(metrics: Arc<Metrics>, rejections: Arc<Rejections>) -> Arc<dyn Observer> {
        // At zero from the start: an alert sees the first refusal as a change.
        for reason in Refused::ALL.into_iter().filter(|r| r.ends_connections()) {
            let _ = metrics.connections_refused.get_or_create(&label(reason));
        }
        Arc::new(Self {
            metrics,
            rejections,
        })
    }

    /// For the admin listener: both speak of agents alone.
    pub fn ignored() -> Arc<dyn Observer> {
        Arc::new(Unobserved)
    }
}

impl Observer for Connections {
    fn opened(&self) {
        self.metrics.connections_open.inc();
    }

    fn closed(&self, reason: CloseReason) {
        self.metrics.connections_open.dec();
        let reason = Reason {
            reason: reason.as_str(),
        };
        let closed = &self.metrics.connections_closed;
        closed.get_or_create(&reason).inc();
    }

    fn refused(&self, peer: SocketAddr, reason: RefuseReason) {
        let why = why(reason);
        tracing::debug!(%peer, reason = why.as_str(), "connection refused");
        self.rejections.record(Group {
            reason: why,
            key: None,
            agent: None,
            address: peer.ip(),
        });
        let refused = &self.metrics.connections_refused;
        refused.get_or_create(&label(why)).inc();
    }
}

fn label(reason: Refused) -> Reason {
    Reason {
        reason: reason.as_str(),
    }
}

fn why(reason: RefuseReason) -> Refused {
    match reason {
        RefuseReason::TooMany => Refused::TooManyConnections,
        RefuseReason::TooManyFromAddress => Refused::TooManyConnectionsFromAddress,
        RefuseReason::CertificateRefused => Refused::TlsCertificateRefused,
        RefuseReason::NotTls => Refused::NotTls,
        RefuseReason::TlsFailed => Refused::TlsFailed,
        RefuseReason::TlsDeadline => Refused::TlsTimeout,
        RefuseReason::ShuttingDown => Refused::Draining,
    }
}
