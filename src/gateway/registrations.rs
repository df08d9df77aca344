//! Registrations: agents, their NGINX instances, which agents ever joined
//! under which key, and when each key was last used.
//!
//! Owns: the live rows and the set of those not yet written. Must not know:
//! sessions (its caller says which agents are connected), gRPC.
//! Invariant: a slow or failing store delays no join; what waits to be written
//! is a set of names whose content is read when it is written, so it is bounded
//! by the number of agents and keys, and no queue can lose or resurrect a row.
//! What other gateways of the store write is taken over within seconds.

mod last_used;
mod replication;
mod report;
mod rows;
mod writer;

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use uuid::Uuid;

pub use report::{AgentReport, InstanceStatus};
pub(crate) use report::{InstanceId, ReportedInstance};
pub use rows::Under;
pub(crate) use writer::Cleanup;

use crate::gateway::registrations::last_used::SIGHT;
use crate::keys::{KeyId, Timestamp};
use crate::store::{AgentRecord, Health, InstanceCursor, InstanceStore, Registration, StoreError};
use last_used::LastUses;
use rows::Rows;

/// Rows read or written in one step.
pub(super) const BATCH: usize = 1000;

/// Limits on what agents may make grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InstanceLimits {
    /// Agents registered under one key; a new one more is refused.
    pub max_agents_per_key: usize,
    /// An agent that was not connected for this time is forgotten, unless the store
    /// has a setting for all gateways; zero: never.
    pub forget_unavailable_after: Duration,
}

impl Default for InstanceLimits {
    fn default() -> Self {
        Self {
            max_agents_per_key: 50_000,
            forget_unavailable_after: Duration::from_secs(24 * 3600),
        }
    }
}

/// A key has as many agents as it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{key} has {limit} agents, which is its limit")]
pub struct TooManyAgents {
    /// Which key.
    pub key: KeyId,
    /// How many it may have.
    pub limit: usize,
}

/// What a join changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Joined {
    /// The agent's last join was with this other key.
    pub key_before: Option<KeyId>,
    /// The key now has 80 % of the agents it may have: their number.
    pub nearly_full: Option<usize>,
}

/// Connected agents, and the keys of live sessions.
#[derive(Debug)]
pub struct Connected {
    /// The agents with a live session here.
    pub agents: HashSet<Uuid>,
    /// The keys of live sessions here.
    pub keys: Vec<KeyId>,
}

/// How many agents a key has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AgentCounts {
    /// Agents whose last join was with it.
    pub now: usize,
    /// Agents that ever joined with it.
    pub ever: usize,
    /// NGINX instances of the agents whose last join was with it.
    pub instances: usize,
}

/// The agents and registrations of a store, as this gateway knows them.
pub struct Instances {
    store: Arc<dyn InstanceStore>,
    limits: InstanceLimits,
    rows: Mutex<Rows>,
    /// Apart from the rows: noted with every call of an agent, which must not
    /// wait for a list.
    uses: Mutex<LastUses>,
    /// Held while rows go to the store or come from it: a flush and a forget
    /// that crossed could write a forgotten row. How far others are followed;
    /// `None` where no other gateway writes.
    storing: tokio::sync::Mutex<Option<InstanceCursor>>,
    /// Others may write to the store.
    is_shared: bool,
}

impl Instances {
    /// All that the store has.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn load(
        store: Arc<dyn InstanceStore>,
        limits: InstanceLimits,
    ) -> Result<Self, StoreError> {
        // First: what is written while we read is then in the feed.
        let cursor = store.news(None).await?.map(|news| news.cursor);
        let instances = Self {
            store,
            limits,
            rows: Mutex::default(),
            uses: Mutex::default(),
            is_shared: cursor.is_some(),
            storing: tokio::sync::Mutex::new(cursor),
        };
        instances.read_all().await?;
        Ok(instances)
    }

    /// Notes a join and what the agent reports with it. Does not wait for the
    /// store.
    ///
    /// # Errors
    /// [`TooManyAgents`] for an agent that is new to a full key; nothing is
    /// noted then.
    pub fn joined(
        &self,
        key: KeyId,
        agent: Uuid,
        address: IpAddr,
        report: AgentReport,
        now: Timestamp,
    ) -> Result<Joined, TooManyAgents> {
        let mut rows = self.rows.lock();
        let limit = self.limits.max_agents_per_key;
        let known = rows.registration(key, agent).is_some();
        let count = rows.registered(key);
        if !known && count >= limit {
            return Err(TooManyAgents { key, limit });
        }
        let before = rows.agent(agent).map(|agent| agent.key);
        rows.join(key, agent, address, report, now);
        drop(rows);
        // As the row will have it after a restart.
        self.uses.lock().note(key, now);
        Ok(Joined {
            key_before: before.filter(|before| *before != key),
            nearly_full: (!known && (count + 1) * 5 == limit * 4).then_some(count + 1),
        })
    }

    /// Notes what an agent reports later on. An agent that never joined is
    /// left out: it has no key here.
    pub fn record_report(&self, agent: Uuid, report: AgentReport, now: Timestamp) {
        self.rows.lock().report(agent, report, now);
    }

    /// Notes an agent's judgement of some of its instances, by reported id.
    pub fn record_health(&self, agent: Uuid, healths: &[(String, Option<Health>)], now: Timestamp) {
        self.rows.lock().record_health(agent, healths, now);
    }

    /// Notes that a key is in use. Does not wait for the store.
    pub fn used(&self, key: KeyId, now: Timestamp) {
        self.uses.lock().note(key, now);
    }

    /// When a key was last in use, if ever.
    pub fn last_used(&self, key: KeyId) -> Option<Timestamp> {
        self.uses.lock().last(key)
    }

    /// How many agents a key has.
    pub fn counts(&self, key: KeyId) -> AgentCounts {
        let rows = self.rows.lock();
        let current = rows.current(key);
        AgentCounts {
            now: current.agents,
            ever: rows.registered(key),
            instances: current.instances,
        }
    }

    /// All agents as they are now, in order of their ids: for lists, which take
    /// too long for the lock that joins wait for.
    pub fn all(&self) -> Vec<Arc<AgentRecord>> {
        self.rows.lock().agents_after(None).cloned().collect()
    }

    /// The agent that has an instance, which is one of its instances.
    pub fn agent_of(&self, instance: InstanceId) -> Option<Arc<AgentRecord>> {
        self.rows.lock().agent_of(instance).cloned()
    }

    /// Forgets an instance of an agent whose last report is that of `reported_at`,
    /// and writes that. False: the agent has reported since, or there is no such
    /// instance.
    ///
    /// # Errors
    /// [`StoreError`]; it is gone here, and written as soon as the store answers.
    pub async fn forget_instance(
        &self,
        instance: InstanceId,
        reported_at: Timestamp,
    ) -> Result<bool, StoreError> {
        let is_forgotten = self.rows.lock().forget_instance(instance, reported_at);
        if is_forgotten {
            self.flush().await?;
        }
        Ok(is_forgotten)
    }

    /// How many agents there are.
    pub fn total(&self) -> usize {
        self.rows.lock().total()
    }

    /// What `see` makes of all agents that are under that key, in order of their
    /// ids. It is asked under the lock: it must be quick, and not ask back.
    pub fn look<T>(&self, under: Under, see: impl Fn(&Arc<AgentRecord>) -> Option<T>) -> Vec<T> {
        let rows = self.rows.lock();
        let found = rows
            .agents_after(None)
            .filter(|agent| rows.is_under(agent, under));
        found.filter_map(see).collect()
    }

    /// At most `limit` agents after `after` that are under that key and that
    /// `wanted` takes, in order of their ids. `wanted` is asked under the lock:
    /// it must not ask back.
    pub fn agents(
        &self,
        under: Under,
        after: Option<Uuid>,
        limit: usize,
        wanted: impl Fn(&AgentRecord) -> bool,
    ) -> Vec<AgentRecord> {
        let rows = self.rows.lock();
        rows.agents_after(after)
            .filter(|agent| rows.is_under(agent, under))
            .filter(|agent| wanted(agent))
            .take(limit)
            .map(|agent| (**agent).clone())
            .collect()
    }

    /// One agent and its registrations.
    pub fn agent(&self, agent: Uuid) -> Option<(AgentRecord, Vec<Registration>)> {
        let rows = self.rows.lock();
        let record = (**rows.agent(agent)?).clone();
        Some((record, rows.registrations_of(agent)))
    }

    /// What an agent calls its host; nothing where it is not known.
    pub fn hostname(&self, agent: Uuid) -> String {
        let rows = self.rows.lock();
        let known = rows.agent(agent);
        known.map_or_else(String::new, |agent| agent.hostname.clone())
    }

    /// Whether an agent ever joined with a key.
    pub fn ever_joined(&self, key: KeyId, agent: Uuid) -> bool {
        self.rows.lock().registration(key, agent).is_some()
    }

    /// Forgets the registrations and the last use of a deleted key.
    ///
    /// # Errors
    /// [`StoreError`]; the rows are then gone here, and again after the next
    /// delete or load.
    pub async fn forget_key(&self, key: KeyId) -> Result<(), StoreError> {
        let _storing = self.storing.lock().await;
        self.rows.lock().forget_key(key);
        self.uses.lock().forget(key);
        self.store.forget_registrations(key).await
    }

    /// Notes that these agents are connected now, and forgets those that were
    /// neither among them nor `elsewhere` for `limit`; none if that is zero, or
    /// where others write to the store and `elsewhere` is not known. Returns the
    /// forgotten.
    pub fn age(
        &self,
        connected: &HashSet<Uuid>,
        elsewhere: Option<&HashSet<Uuid>>,
        limit: Duration,
        now: Timestamp,
    ) -> Vec<Uuid> {
        let sight = at_most_a_tenth(SIGHT, limit);
        let mut rows = self.rows.lock();
        for agent in connected {
            rows.seen(*agent, now, sight);
        }
        if limit.is_zero() || (self.is_shared && elsewhere.is_none()) {
            return Vec::new();
        }
        let is_connected = |agent: &Uuid| {
            connected.contains(agent) || elsewhere.is_some_and(|others| others.contains(agent))
        };
        rows.forget_unseen(is_connected, now, limit)
    }
}

/// `usual`, but small against how long an agent may be gone (zero: for ever): one
/// that leaves is judged by its last sight, and must not have been gone long by then.
fn at_most_a_tenth(usual: Duration, limit: Duration) -> Duration {
    if limit.is_zero() {
        return usual;
    }
    usual.min(limit / 10)
}

#[cfg(test)]
mod tests;
