//! Lists and counts of sessions. Changes nothing.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use uuid::Uuid;

use super::gate::{KeyEnd, State};
use super::registry::Registry;
use super::session::{Session, SessionView};
use crate::keys::{KeyId, Timestamp};

impl Registry {
    /// At most `limit` live sessions with a number above `after`, of one key or
    /// of all, in order of their number.
    pub fn list(&self, key: Option<KeyId>, after: u64, limit: usize) -> Vec<SessionView> {
        self.live
            .lock()
            .after(after)
            .filter(|session| key.is_none_or(|key| key == session.key))
            .take(limit)
            .map(|session| self.viewed(session))
            .collect()
    }

    /// A live session by its number.
    pub fn view(&self, number: u64) -> Option<SessionView> {
        let live = self.live.lock();
        live.get(number).map(|session| self.viewed(session))
    }

    fn viewed(&self, session: &Session) -> SessionView {
        SessionView {
            id: self.session_id(session.number),
            key: session.key,
            agent: session.info.agent,
            peer: session.info.peer,
            user_agent: session.info.user_agent.clone(),
            opened_at: session.opened_at,
        }
    }

    /// How many sessions of a key are live.
    pub fn live_sessions(&self, key: KeyId) -> usize {
        self.gates.get(&key).map_or(0, |gate| gate.live.len())
    }

    /// The agents that have a live session, whatever their key.
    pub fn connected(&self) -> HashSet<Uuid> {
        self.live
            .lock()
            .after(0)
            .map(|session| session.info.agent)
            .collect()
    }

    /// How many live sessions each agent has, whatever their keys.
    pub fn live_by_agent(&self) -> HashMap<Uuid, usize> {
        let mut counts = HashMap::new();
        for session in self.live.lock().after(0) {
            *counts.entry(session.info.agent).or_default() += 1;
        }
        counts
    }

    /// Whether an agent has a live session under a key.
    pub fn has_session(&self, key: KeyId, agent: Uuid) -> bool {
        let under = |session: &Arc<Session>| session.key == key;
        self.live.lock().of_agent(agent).any(under)
    }

    /// Whether the agent, or where it is not known, an agent at the address,
    /// has a live session under another key than `except`.
    pub fn has_session_elsewhere(
        &self,
        agent: Option<Uuid>,
        address: IpAddr,
        except: Option<KeyId>,
    ) -> bool {
        let live = self.live.lock();
        let other = |session: &Arc<Session>| Some(session.key) != except;
        match agent {
            Some(agent) => live.of_agent(agent).any(other),
            None => live.of_address(address).any(other),
        }
    }

    /// The numbers of all live sessions, oldest first.
    pub fn live_numbers(&self) -> Vec<u64> {
        let live = self.live.lock();
        live.after(0).map(|session| session.number).collect()
    }

    /// How many sessions are live.
    pub fn live_total(&self) -> usize {
        self.live.lock().len()
    }

    /// Whether there is a gate of a key that was not deleted and has not
    /// expired: then the store must have the key, or it lost data.
    pub fn vouches_for(&self, key: KeyId) -> bool {
        let now = self.clock().now();
        self.gates.get(&key).is_some_and(|gate| match gate.state {
            State::Open { expires_at, .. } => expires_at > now || !gate.live.is_empty(),
            State::Ended {
                how, expires_at, ..
            } => how != KeyEnd::Deleted && expires_at > now,
        })
    }

    /// When a key that has a gate expires, or would have.
    pub fn expiry_of(&self, key: KeyId) -> Option<Timestamp> {
        self.gates.get(&key).map(|gate| match gate.state {
            State::Open { expires_at, .. } | State::Ended { expires_at, .. } => expires_at,
        })
    }

    /// How a key ended for good, and when it would have expired.
    pub fn end_of(&self, key: KeyId) -> Option<(KeyEnd, Timestamp)> {
        self.gates.get(&key).and_then(|gate| match gate.state {
            State::Open { .. } => None,
            State::Ended {
                how, expires_at, ..
            } => Some((how, expires_at)),
        })
    }

    /// The keys that have a gate, for a resync.
    pub fn keys(&self) -> Vec<KeyId> {
        self.gates.iter().map(|gate| *gate.key()).collect()
    }

    /// The keys that have live sessions.
    pub fn keys_in_use(&self) -> Vec<KeyId> {
        let live = self.gates.iter().filter(|gate| !gate.live.is_empty());
        live.map(|gate| *gate.key()).collect()
    }

    /// The `limit` keys with live sessions that expire soonest.
    pub fn expiring(&self, limit: usize) -> Vec<(KeyId, Timestamp)> {
        let mut keys: Vec<_> = self
            .gates
            .iter()
            .filter(|gate| !gate.live.is_empty())
            .filter_map(|gate| match gate.state {
                State::Open { expires_at, .. } => Some((expires_at, *gate.key())),
                State::Ended { .. } => None,
            })
            .collect();
        keys.sort_unstable();
        keys.truncate(limit);
        keys.into_iter().map(|(at, key)| (key, at)).collect()
    }
}
