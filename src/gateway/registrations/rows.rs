//! The rows and their indexes, and which of them are not yet written.

mod merge;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

pub(super) use merge::Stored;

use super::report::{AgentReport, InstanceId, MAX_BYTES, MAX_ITEMS, ReportedInstance, fits};
use crate::keys::{KeyId, Timestamp};
use crate::store::{AgentRecord, Health, InstanceBatch, InstanceRecord, Registration};

#[derive(Default)]
pub(super) struct Rows {
    /// Shared with the lists that look at them.
    agents: BTreeMap<Uuid, Arc<AgentRecord>>,
    /// Agents and their instances by the key of their last join.
    current: HashMap<KeyId, Current>,
    /// The agent of each instance.
    agent_of: HashMap<InstanceId, Uuid>,
    registrations: HashMap<KeyId, HashMap<Uuid, Registration>>,
    keys_of: HashMap<Uuid, HashSet<KeyId>>,
    dirty: Dirty,
    /// The last deleted keys: a gateway that was late may write registrations
    /// under one of them.
    deleted: VecDeque<KeyId>,
}

#[derive(Default, Clone, Copy)]
pub(super) struct Current {
    pub agents: usize,
    pub instances: usize,
}

/// Deleted keys that are known.
const DELETED_KEPT: usize = 1000;

/// Names of rows whose content the store does not have.
#[derive(Default)]
struct Dirty {
    registrations: HashSet<(KeyId, Uuid)>,
    agents: HashSet<Uuid>,
    forgotten: HashSet<Uuid>,
}

impl Rows {
    /// Takes over a stored row.
    pub fn put_registration(&mut self, row: Registration) {
        self.keys_of.entry(row.agent).or_default().insert(row.key);
        let of_key = self.registrations.entry(row.key).or_default();
        of_key.insert(row.agent, row);
    }

    /// Takes over a stored row.
    pub fn put_agent(&mut self, row: AgentRecord) {
        self.take_agent(row.agent);
        let count = self.current.entry(row.key).or_default();
        count.agents += 1;
        count.instances += row.instances.len();
        for instance in &row.instances {
            let id = InstanceId::of(row.agent, &instance.reported_id);
            self.agent_of.insert(id, row.agent);
        }
        self.agents.insert(row.agent, Arc::new(row));
    }

    /// Takes an agent's row out, to put it back changed or to drop it.
    fn take_agent(&mut self, agent: Uuid) -> Option<AgentRecord> {
        let row = self.agents.remove(&agent)?;
        for instance in &row.instances {
            self.agent_of
                .remove(&InstanceId::of(agent, &instance.reported_id));
        }
        if let Some(count) = self.current.get_mut(&row.key) {
            count.agents -= 1;
            count.instances -= row.instances.len();
            if count.agents == 0 {
                self.current.remove(&row.key);
            }
        }
        Some(Arc::unwrap_or_clone(row))
    }

    pub fn registration(&self, key: KeyId, agent: Uuid) -> Option<&Registration> {
        self.registrations.get(&key)?.get(&agent)
    }

    /// How many agents ever joined with a key.
    pub fn registered(&self, key: KeyId) -> usize {
        self.registrations.get(&key).map_or(0, HashMap::len)
    }

    /// How many agents' last join was with a key, and their instances.
    pub fn current(&self, key: KeyId) -> Current {
        self.current.get(&key).copied().unwrap_or_default()
    }

    pub fn agent(&self, agent: Uuid) -> Option<&Arc<AgentRecord>> {
        self.agents.get(&agent)
    }

    /// The agent that has an instance.
    pub fn agent_of(&self, instance: InstanceId) -> Option<&Arc<AgentRecord>> {
        self.agents.get(self.agent_of.get(&instance)?)
    }

    pub fn total(&self) -> usize {
        self.agents.len()
    }

    pub fn is_under(&self, agent: &AgentRecord, under: Under) -> bool {
        match under {
            Under::Any => true,
            Under::Now(key) => agent.key == key,
            // The first holds alone once the key is deleted.
            Under::Ever(key) => agent.key == key || self.registration(key, agent.agent).is_some(),
        }
    }

    pub fn agents_after(&self, after: Option<Uuid>) -> impl Iterator<Item = &Arc<AgentRecord>> {
        let start = after.map_or(Unbounded, Excluded);
        self.agents.range((start, Unbounded)).map(|(_, row)| row)
    }

    pub fn registrations_of(&self, agent: Uuid) -> Vec<Registration> {
        let keys = self.keys_of.get(&agent).into_iter().flatten();
        let mut rows: Vec<_> = keys
            .filter_map(|key| self.registration(*key, agent).cloned())
            .collect();
        rows.sort_by_key(|row| (row.first_seen, row.key));
        rows
    }

    pub fn join(
        &mut self,
        key: KeyId,
        agent: Uuid,
        address: IpAddr,
        report: AgentReport,
        now: Timestamp,
    ) {
        let before = self.registration(key, agent);
        let row = Registration {
            key,
            agent,
            first_seen: before.map_or(now, |row| row.first_seen),
            last_seen: now,
            last_address: address,
            joins: before.map_or(0, |row| row.joins) + 1,
        };
        self.put_registration(row);
        let before = self.take_agent(agent);
        let mut record = AgentRecord {
            agent,
            key,
            hostname: String::new(),
            os_version: String::new(),
            agent_version: String::new(),
            in_container: false,
            labels: BTreeMap::new(),
            first_seen: before.as_ref().map_or(now, |row| row.first_seen),
            last_seen: now,
            reported_at: now,
            last_address: address,
            instances: before.map_or_else(Vec::new, |row| row.instances),
        };
        take_over(&mut record, report, now);
        self.put_agent(record);
        self.dirty.registrations.insert((key, agent));
        self.dirty.agents.insert(agent);
        self.dirty.forgotten.remove(&agent);
    }

    pub fn report(&mut self, agent: Uuid, report: AgentReport, now: Timestamp) {
        if let Some(mut record) = self.take_agent(agent) {
            (record.last_seen, record.reported_at) = (now, now);
            take_over(&mut record, report, now);
            self.put_agent(record);
            self.dirty.agents.insert(agent);
        }
    }

    /// Forgets an instance of an agent whose last report is that of `reported_at`;
    /// false: it has reported since, or there is no such instance.
    pub fn forget_instance(&mut self, instance: InstanceId, reported_at: Timestamp) -> bool {
        let Some(agent) = self.agent_of.get(&instance).copied() else {
            return false;
        };
        let Some(mut record) = self.take_agent(agent) else {
            return false;
        };
        let is_the_same = record.reported_at == reported_at;
        if is_the_same {
            let is_it = |id: &str| InstanceId::of(agent, id) == instance;
            record.instances.retain(|i| !is_it(&i.reported_id));
            // A later version than the one that other gateways know, and older
            // than whatever the agent reports anywhere from now on.
            record.reported_at = reported_at.saturating_add(Duration::from_millis(1));
            self.dirty.agents.insert(agent);
        }
        self.put_agent(record);
        is_the_same
    }

    pub fn record_health(
        &mut self,
        agent: Uuid,
        healths: &[(String, Option<Health>)],
        now: Timestamp,
    ) {
        let Some(record) = self.agents.get_mut(&agent).map(Arc::make_mut) else {
            return;
        };
        (record.last_seen, record.reported_at) = (now, now);
        for (id, health) in healths {
            let known = record.instances.iter_mut().find(|i| i.reported_id == *id);
            if let Some(instance) = known {
                instance.health = *health;
                instance.last_reported = now;
            }
        }
        self.dirty.agents.insert(agent);
    }

    /// Notes the sight of an agent, unless the last is younger than `grain`.
    pub fn seen(&mut self, agent: Uuid, now: Timestamp, grain: Duration) {
        if let Some(record) = self.agents.get_mut(&agent)
            && now.saturating_since(record.last_seen) >= grain
        {
            Arc::make_mut(record).last_seen = now;
            self.dirty.agents.insert(agent);
        }
    }

    pub fn forget_unseen(
        &mut self,
        is_connected: impl Fn(&Uuid) -> bool,
        now: Timestamp,
        limit: Duration,
    ) -> Vec<Uuid> {
        let unseen: Vec<Uuid> = self
            .agents
            .values()
            .filter(|row| now.saturating_since(row.last_seen) >= limit)
            .map(|row| row.agent)
            .filter(|agent| !is_connected(agent))
            .collect();
        for agent in &unseen {
            self.drop_agent(*agent);
            self.dirty.forgotten.insert(*agent);
        }
        unseen
    }

    pub fn forget_key(&mut self, key: KeyId) {
        if !self.deleted.contains(&key) {
            self.deleted.push_back(key);
        }
        if self.deleted.len() > DELETED_KEPT {
            self.deleted.pop_front();
        }
        for agent in self
            .registrations
            .remove(&key)
            .unwrap_or_default()
            .into_keys()
        {
            self.dirty.registrations.remove(&(key, agent));
            if let Some(keys) = self.keys_of.get_mut(&agent) {
                keys.remove(&key);
            }
        }
    }

    /// Up to `limit` rows of each kind that the store does not have; they count
    /// as written from now on.
    pub fn take_dirty(&mut self, limit: usize) -> InstanceBatch {
        let registrations = take(&mut self.dirty.registrations, limit);
        let agents = take(&mut self.dirty.agents, limit);
        InstanceBatch {
            registrations: registrations
                .into_iter()
                .filter_map(|(key, agent)| self.registration(key, agent).cloned())
                .collect(),
            agents: agents
                .into_iter()
                .filter_map(|agent| self.agents.get(&agent).map(|row| (**row).clone()))
                .collect(),
            forgotten: take(&mut self.dirty.forgotten, limit),
            uses: Vec::new(),
        }
    }

    /// The batch was not written.
    pub fn put_back(&mut self, batch: &InstanceBatch) {
        let rows = batch.registrations.iter().map(|row| (row.key, row.agent));
        self.dirty.registrations.extend(rows);
        let rows = batch.agents.iter().map(|row| row.agent);
        self.dirty.agents.extend(rows);
        let agents = &self.agents;
        let gone = batch.forgotten.iter().filter(|a| !agents.contains_key(a));
        self.dirty.forgotten.extend(gone);
    }

    /// Drops an agent with all its registrations.
    fn drop_agent(&mut self, agent: Uuid) {
        self.take_agent(agent);
        for key in self.keys_of.remove(&agent).unwrap_or_default() {
            self.drop_registration(key, agent);
        }
        self.dirty.agents.remove(&agent);
    }

    fn drop_registration(&mut self, key: KeyId, agent: Uuid) {
        self.dirty.registrations.remove(&(key, agent));
        if let Some(of_key) = self.registrations.get_mut(&key) {
            of_key.remove(&agent);
            if of_key.is_empty() {
                self.registrations.remove(&key);
            }
        }
    }
}

pub(super) fn take<T: Copy + Eq + std::hash::Hash>(set: &mut HashSet<T>, limit: usize) -> Vec<T> {
    let names: Vec<T> = set.iter().take(limit).copied().collect();
    for name in &names {
        set.remove(name);
    }
    names
}

/// The record says what the report says; an instance that is not in it any more
/// is kept, as not reported.
fn take_over(record: &mut AgentRecord, report: AgentReport, now: Timestamp) {
    record.hostname = report.hostname;
    record.os_version = report.os_version;
    record.agent_version = report.agent_version;
    record.in_container = report.in_container;
    record.labels = report.labels;
    for instance in &mut record.instances {
        instance.reported = false;
    }
    for reported in report.instances {
        let known = record
            .instances
            .iter_mut()
            .find(|known| known.reported_id == reported.reported_id);
        match known {
            Some(known) => *known = instance(reported, known.registered_at, known.health, now),
            None => record.instances.push(instance(reported, now, None, now)),
        }
    }
    // Those not reported any more go when it gets too much, old ones first, so
    // that an agent that makes up ids stays bounded.
    let (reported, gone): (Vec<_>, Vec<_>) = record.instances.drain(..).partition(|i| i.reported);
    let mut places = MAX_ITEMS.saturating_sub(reported.len());
    let mut bytes = MAX_BYTES.saturating_sub(reported.iter().map(words).sum());
    let mut kept: Vec<_> = gone
        .into_iter()
        .rev()
        .take_while(|instance| fits(&mut places, 1) && fits(&mut bytes, words(instance)))
        .collect();
    kept.reverse();
    kept.extend(reported);
    kept.sort_by_key(|instance| instance.registered_at);
    // It is kept for days, and there is one for each agent.
    kept.shrink_to_fit();
    record.instances = kept;
}

/// Bytes of an instance's words.
fn words(instance: &InstanceRecord) -> usize {
    let words = [
        &instance.reported_id,
        &instance.version,
        &instance.plus_release,
        &instance.binary_path,
        &instance.conf_path,
    ];
    words.map(String::len).iter().sum()
}

fn instance(
    reported: ReportedInstance,
    registered_at: Timestamp,
    health: Option<Health>,
    now: Timestamp,
) -> InstanceRecord {
    InstanceRecord {
        reported_id: reported.reported_id,
        version: reported.version,
        plus_release: reported.plus_release,
        binary_path: reported.binary_path,
        conf_path: reported.conf_path,
        health,
        reported: true,
        registered_at,
        last_reported: now,
    }
}

/// By which key agents are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Under {
    /// Any.
    Any,
    /// Their last join was with this one.
    Now(KeyId),
    /// They ever joined with this one.
    Ever(KeyId),
}
