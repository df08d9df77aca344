//! Every session that was not ended, for lists and questions.
//!
//! Must not know: gates; it decides nothing. Invariant: the three views hold
//! the same sessions.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use uuid::Uuid;

use super::session::Slot;

/// Sessions by number, by agent and by address.
#[derive(Default)]
pub(super) struct Live {
    by_number: BTreeMap<u64, Arc<Slot>>,
    by_agent: BTreeSet<(Uuid, u64)>,
    by_address: BTreeSet<(IpAddr, u64)>,
}

impl Live {
    pub fn insert(&mut self, slot: Arc<Slot>) {
        let number = slot.number;
        self.by_agent.insert((slot.info.agent, number));
        self.by_address.insert((address(&slot), number));
        self.by_number.insert(number, slot);
    }

    pub fn remove(&mut self, slot: &Slot) {
        self.by_agent.remove(&(slot.info.agent, slot.number));
        self.by_address.remove(&(address(slot), slot.number));
        self.by_number.remove(&slot.number);
    }

    pub fn get(&self, number: u64) -> Option<&Arc<Slot>> {
        self.by_number.get(&number)
    }

    /// Those with a number above `after`, in its order.
    pub fn after(&self, after: u64) -> impl Iterator<Item = &Arc<Slot>> {
        let from = after.saturating_add(1);
        self.by_number.range(from..).map(|(_, slot)| slot)
    }

    pub fn of_agent(&self, agent: Uuid) -> impl Iterator<Item = &Arc<Slot>> {
        self.by_agent
            .range((agent, 0)..=(agent, u64::MAX))
            .filter_map(|(_, number)| self.by_number.get(number))
    }

    pub fn of_address(&self, address: IpAddr) -> impl Iterator<Item = &Arc<Slot>> {
        let address = address.to_canonical();
        self.by_address
            .range((address, 0)..=(address, u64::MAX))
            .filter_map(|(_, number)| self.by_number.get(number))
    }

    pub fn len(&self) -> usize {
        self.by_number.len()
    }
}

fn address(slot: &Slot) -> IpAddr {
    slot.info.peer.ip().to_canonical()
}
