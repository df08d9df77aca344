//! The record of refused calls.
//!
//! Must not know: codes and texts. Invariant: what is counted is noted, too.

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;
use uuid::Uuid;

use crate::gateway::rejections::{Group, Reason, Rejections};
use crate::keys::KeyId;
use crate::metrics::registry;
use crate::metrics::registry::Metrics;
use crate::net::listener::Call;

/// What is known of a caller before anything is proven, and its key once that
/// is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caller {
    /// None when the call did not come over our listener.
    pub address: Option<IpAddr>,
    /// The resource id of the metadata, if it is one. Self-declared.
    pub agent: Option<Uuid>,
    /// The key that was presented with its secret.
    pub key: Option<KeyId>,
}

impl Caller {
    /// From what a request came with.
    pub fn of(headers: &HeaderMap, call: Option<&Arc<Call>>) -> Self {
        let agent = headers.get("uuid");
        Self {
            address: call.map(|call| call.peer().ip()),
            agent: agent.and_then(|value| Uuid::try_parse_ascii(value.as_bytes()).ok()),
            key: None,
        }
    }
}

/// Counts refusals and notes them for an operator.
#[derive(Clone)]
pub(super) struct Refusals {
    metrics: Arc<Metrics>,
    rejections: Arc<Rejections>,
}

impl Refusals {
    pub fn new(metrics: Arc<Metrics>, rejections: Arc<Rejections>) -> Self {
        // At zero from the start: an alert sees the first refusal as a change.
        for reason in Reason::ALL.into_iter().filter(|r| r.ends_calls()) {
            let _ = metrics.refusals.get_or_create(&label(reason));
        }
        Self {
            metrics,
            rejections,
        }
    }

    /// Counts one; `key` is one that the store knows.
    pub fn note(&self, reason: Reason, key: Option<KeyId>, caller: &Caller) {
        self.metrics.refusals.get_or_create(&label(reason)).inc();
        if let Some(address) = caller.address {
            self.rejections.record(Group {
                reason,
                key,
                agent: caller.agent,
                address,
            });
        }
    }
}

fn label(reason: Reason) -> registry::Reason {
    registry::Reason {
        reason: reason.as_str(),
    }
}
