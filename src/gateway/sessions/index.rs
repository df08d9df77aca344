//! Every session that was not ended, for lists and questions.
//!
//! Must not know: gates; it decides nothing. Invariant: the three views hold
//! the same sessions.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use uuid::Uuid;

use super::session::Session;

/// Sessions by number, by agent and by address.
#[derive(Default)]
pub(super) struct SessionIndex {
    by_number: BTreeMap<u64, Arc<Session>>,
    by_agent: BTreeSet<(Uuid, u64)>,
    by_address: BTreeSet<(IpAddr, u64)>,
}

impl SessionIndex {
    pub fn insert(&mut self, session: Arc<Session>) {
        let number = session.number;
        self.by_agent.insert((session.info.agent, number));
        self.by_address.insert((address(&session), number));
        self.by_number.insert(number, session);
    }

    pub fn remove(&mut self, session: &Session) {
        self.by_agent.remove(&(session.info.agent, session.number));
        self.by_address.remove(&(address(session), session.number));
        self.by_number.remove(&session.number);
    }

    pub fn get(&self, number: u64) -> Option<&Arc<Session>> {
        self.by_number.get(&number)
    }

    /// Those with a number above `after`, in its order.
    pub fn after(&self, after: u64) -> impl Iterator<Item = &Arc<Session>> {
        let from = after.saturating_add(1);
        self.by_number.range(from..).map(|(_, session)| session)
    }

    pub fn of_agent(&self, agent: Uuid) -> impl Iterator<Item = &Arc<Session>> {
        self.by_agent
            .range((agent, 0)..=(agent, u64::MAX))
            .filter_map(|(_, number)| self.by_number.get(number))
    }

    pub fn of_address(&self, address: IpAddr) -> impl Iterator<Item = &Arc<Session>> {
        let address = address.to_canonical();
        self.by_address
            .range((address, 0)..=(address, u64::MAX))
            .filter_map(|(_, number)| self.by_number.get(number))
    }

    pub fn len(&self) -> usize {
        self.by_number.len()
    }
}

fn address(session: &Session) -> IpAddr {
    session.info.peer.ip().to_canonical()
}
