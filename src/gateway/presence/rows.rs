//! A session and a group of refusals as a gateway shows them to others.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::gateway::rejections::{Group, Reason, Rejection};
use crate::gateway::sessions::{SessionId, SessionView};
use crate::keys::{KeyId, Timestamp};

/// A session as its gateway shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SessionRow {
    pub key: KeyId,
    pub agent: Uuid,
    peer: SocketAddr,
    user_agent: String,
    opened_at: Timestamp,
}

/// A group of refusals as its gateway shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RejectionRow {
    reason: String,
    key: Option<KeyId>,
    agent: Option<Uuid>,
    address: IpAddr,
    count: u64,
    first_at: Timestamp,
    last_at: Timestamp,
}

impl SessionRow {
    pub fn new(view: SessionView) -> Self {
        Self {
            key: view.key,
            agent: view.agent,
            peer: view.peer,
            user_agent: view.user_agent,
            opened_at: view.opened_at,
        }
    }

    pub fn view(&self, id: SessionId) -> SessionView {
        SessionView {
            id,
            key: self.key,
            agent: self.agent,
            peer: self.peer,
            user_agent: self.user_agent.clone(),
            opened_at: self.opened_at,
        }
    }
}

impl RejectionRow {
    pub fn new(rejection: &Rejection) -> Self {
        let group = rejection.group;
        Self {
            reason: group.reason.as_str().into(),
            key: group.key,
            agent: group.agent,
            address: group.address,
            count: rejection.count,
            first_at: rejection.first_at,
            last_at: rejection.last_at,
        }
    }

    /// `None` where a newer muster gives a reason that this one does not know.
    pub fn rejection(&self, number: u64) -> Option<Rejection> {
        Some(Rejection {
            number,
            group: Group {
                reason: Reason::parse(&self.reason)?,
                key: self.key,
                agent: self.agent,
                address: self.address,
            },
            count: self.count,
            first_at: self.first_at,
            last_at: self.last_at,
        })
    }
}
