//! Taking over what other gateways wrote.
//!
//! Invariant: all gateways end with the same rows, in whichever order each of
//! them reads which version. Of an agent the later report counts; of a
//! registration, what both know. Where the store says less than that, the row is
//! written again.

use std::collections::HashSet;
use std::hash::Hash;

use uuid::Uuid;

use super::Rows;
use crate::keys::KeyId;
use crate::store::{AgentNews, AgentRecord, Registration};

/// Names of rows that the store has.
#[derive(Default)]
pub(in crate::gateway::registrations) struct Stored {
    pub agents: HashSet<Uuid>,
    pub registrations: HashSet<(KeyId, Uuid)>,
}

impl Rows {
    /// Takes over all that the store has of an agent. `connected` are those
    /// with a live session here. Returns deleted keys that the store still has
    /// registrations of.
    pub fn merge(&mut self, news: AgentNews, connected: &HashSet<Uuid>) -> Vec<KeyId> {
        let agent = news.agent;
        if news.record.is_none() {
            self.lose(agent, connected);
        }
        let told: HashSet<_> = news.registrations.iter().map(|row| row.key).collect();
        let own = self.keys_of.get(&agent).into_iter().flatten().copied();
        let untold: Vec<_> = own.filter(|key| !told.contains(key)).collect();
        for key in untold {
            self.lose_registration(key, agent);
        }
        if let Some(record) = news.record {
            self.merge_agent(record);
        }
        let rows = news.registrations.into_iter();
        rows.filter_map(|row| self.merge_registration(row))
            .collect()
    }

    pub fn merge_agent(&mut self, stored: AgentRecord) {
        let agent = stored.agent;
        // Another gateway has seen it later.
        self.dirty.forgotten.remove(&agent);
        let mut merged = stored.clone();
        if let Some(own) = self.agents.get(&agent) {
            let is_dirty = self.dirty.agents.contains(&agent);
            // Of two at the same time, the one that is written last.
            if (own.reported_at, is_dirty) > (stored.reported_at, false) {
                merged = (**own).clone();
            }
            merged.first_seen = own.first_seen.min(stored.first_seen);
            merged.last_seen = own.last_seen.max(stored.last_seen);
        }
        mark(&mut self.dirty.agents, agent, merged != stored);
        self.put_agent(merged);
    }

    /// Returns the key if it is known as deleted: then the row is left out.
    pub fn merge_registration(&mut self, stored: Registration) -> Option<KeyId> {
        let (key, agent) = (stored.key, stored.agent);
        if self.deleted.contains(&key) {
            return Some(key);
        }
        let mut merged = stored.clone();
        if let Some(own) = self.registration(key, agent) {
            merged.first_seen = own.first_seen.min(stored.first_seen);
            merged.joins = own.joins.max(stored.joins);
            if own.last_seen > stored.last_seen {
                (merged.last_seen, merged.last_address) = (own.last_seen, own.last_address);
            }
        }
        mark(
            &mut self.dirty.registrations,
            (key, agent),
            merged != stored,
        );
        self.put_registration(merged);
        None
    }

    /// Drops what the store does not have, unless it is about to get it.
    pub fn keep_only(&mut self, stored: &Stored, connected: &HashSet<Uuid>) {
        let own = self.agents.keys();
        let lost: Vec<_> = own
            .filter(|a| !stored.agents.contains(a))
            .copied()
            .collect();
        for agent in lost {
            self.lose(agent, connected);
        }
        let own = self.keys_of.iter();
        let own = own.flat_map(|(agent, keys)| keys.iter().map(|key| (*key, *agent)));
        let lost: Vec<_> = own
            .filter(|name| !stored.registrations.contains(name))
            .collect();
        for (key, agent) in lost {
            self.lose_registration(key, agent);
        }
    }

    /// The store has no row of this agent: others forgot it. One that has come
    /// back here is written again, with its registrations.
    fn lose(&mut self, agent: Uuid, connected: &HashSet<Uuid>) {
        if !self.agents.contains_key(&agent) {
            return;
        }
        if connected.contains(&agent) || self.dirty.agents.contains(&agent) {
            self.dirty.agents.insert(agent);
            let keys = self.keys_of.get(&agent).into_iter().flatten();
            self.dirty
                .registrations
                .extend(keys.map(|key| (*key, agent)));
        } else {
            self.drop_agent(agent);
        }
    }

    /// The store has no such row.
    fn lose_registration(&mut self, key: KeyId, agent: Uuid) {
        if self.dirty.registrations.contains(&(key, agent)) {
            return;
        }
        self.drop_registration(key, agent);
        if let Some(keys) = self.keys_of.get_mut(&agent) {
            keys.remove(&key);
        }
    }
}

fn mark<T: Eq + Hash>(set: &mut HashSet<T>, name: T, is_dirty: bool) {
    if is_dirty {
        set.insert(name);
    } else {
        set.remove(&name);
    }
}
