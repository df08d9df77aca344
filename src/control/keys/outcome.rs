//! What a revoke did, gateway by gateway.

use std::time::Duration;

use crate::gateway::sessions::EndedSessions;
use crate::keys::{KeyRecord, Revision, Timestamp};
use crate::store::{Durability, Enrolled, GatewayId};

/// What a revoke did, on every enrolled gateway.
#[derive(Debug, Clone)]
pub struct RevokeOutcome {
    /// The key as it is now; `None` where a pending revoke is of a key that
    /// this gateway does not know.
    pub record: Option<KeyRecord>,
    /// The store's revision of its last change; 0 while it is pending.
    pub revision: Revision,
    /// The store did not take it: it is applied here.
    pub pending: bool,
    /// A pending one is kept on this gateway's disk; otherwise it is lost if this
    /// gateway stops before the store answers.
    pub kept: bool,
    /// Applied everywhere, and all streams it ended have closed.
    pub complete: bool,
    pub gateways: Vec<GatewayOutcome>,
    /// How many of the store's replicas have it.
    pub durability: Durability,
}

/// What one gateway did about a revoke.
#[derive(Debug, Clone)]
pub struct GatewayOutcome {
    pub id: GatewayId,
    pub name: String,
    /// It has applied the revoke.
    pub applied: bool,
    /// It is enrolled; if not, it has signed off since or was forgotten.
    pub enrolled: bool,
    /// Its last heartbeat, if none came for [`Enrolled::LAPSES`].
    pub unreachable_since: Option<Timestamp>,
    /// Where it has not applied the revoke: by then it has ended all its sessions
    /// by itself (strict); `None`: it keeps them until it hears of the revoke.
    pub ends_by: Option<Timestamp>,
    /// Sessions ended there whose stream has closed.
    pub closed: usize,
    /// Sessions ended there whose stream still stands.
    pub closing: usize,
    /// From the revoke's start to the last close, or to the answer.
    pub elapsed: Duration,
}

impl GatewayOutcome {
    /// Applied, and all streams that it ended have closed.
    pub fn is_done(&self) -> bool {
        self.applied && self.closing == 0
    }
}

/// A gateway that can't be asked about: it counts as not applied.
pub(super) fn unheard(gateway: &Enrolled) -> GatewayOutcome {
    GatewayOutcome {
        id: gateway.info.id,
        name: gateway.info.name.clone(),
        applied: false,
        enrolled: true,
        unreachable_since: None,
        ends_by: None,
        closed: 0,
        closing: 0,
        elapsed: Duration::ZERO,
    }
}

/// What the revoke did here.
pub(super) fn own_outcome(
    id: GatewayId,
    name: String,
    closing: &EndedSessions,
    elapsed: Duration,
) -> GatewayOutcome {
    let standing = closing.open();
    GatewayOutcome {
        id,
        name,
        applied: true,
        enrolled: true,
        unreachable_since: None,
        ends_by: None,
        closed: closing.total() - standing,
        closing: standing,
        elapsed,
    }
}
