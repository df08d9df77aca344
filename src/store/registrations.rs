//! The contract for agents and registrations: agents, their instances, who ever joined
//! under which key, and when each key was last used.

use std::collections::BTreeMap;
use std::net::IpAddr;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::error::StoreError;
use crate::keys::{Epoch, KeyId, Timestamp};

/// An agent under a key: made by its first join, kept until the agent is
/// forgotten or the key is deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The key it joined with.
    pub key: KeyId,
    /// The agent's resource id. Self-declared.
    pub agent: Uuid,
    /// Its first join.
    pub first_seen: Timestamp,
    /// Its last join.
    pub last_seen: Timestamp,
    /// Where its last join came from.
    pub last_address: IpAddr,
    /// How often it joined.
    pub joins: u64,
}

/// An agent as it reported itself last. Its words are bounded in number and
/// length where they were taken in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentRecord {
    /// The resource id. Self-declared.
    pub agent: Uuid,
    /// The key of its last join: its current registration.
    pub key: KeyId,
    /// Its host's name.
    pub hostname: String,
    /// The release's id and codename, `ubuntu_jammy`; empty when not reported.
    pub os_version: String,
    /// Its own version; empty when not reported.
    pub agent_version: String,
    /// It runs in a container.
    pub in_container: bool,
    /// As its operator labelled it.
    pub labels: BTreeMap<String, String>,
    /// Its first join.
    pub first_seen: Timestamp,
    /// Its last join or report; while it is connected, at most minutes old.
    pub last_seen: Timestamp,
    /// Its last join or report alone: of what two gateways know of an agent, the
    /// later counts. 1970 in rows from before it was noted.
    #[serde(default = "long_ago")]
    pub reported_at: Timestamp,
    /// Where its last join came from.
    pub last_address: IpAddr,
    /// The NGINX instances that it ever reported since its first join.
    pub instances: Vec<InstanceRecord>,
}

fn long_ago() -> Timestamp {
    Timestamp::from_millis(0)
}

/// An NGINX instance of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceRecord {
    /// As the agent reports it; the same on every host of that layout.
    pub reported_id: String,
    /// NGINX's version.
    pub version: String,
    /// NGINX Plus's release; empty for NGINX.
    pub plus_release: String,
    /// The executable.
    pub binary_path: String,
    /// The configuration.
    pub conf_path: String,
    /// What the agent last said of its health.
    pub health: Option<Health>,
    /// It was in the agent's last report.
    pub reported: bool,
    /// When it was first reported.
    pub registered_at: Timestamp,
    /// When it was last reported.
    pub last_reported: Timestamp,
}

/// An agent's judgement of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// It runs.
    Healthy,
    /// It runs, not all well.
    Degraded,
    /// It does not run.
    Unhealthy,
}

/// What is written or forgotten in one step.
#[derive(Debug, Clone, Default)]
pub struct InstanceBatch {
    /// Each replaces the row of its key and agent.
    pub registrations: Vec<Registration>,
    /// Each replaces the row of its agent.
    pub agents: Vec<AgentRecord>,
    /// Agents whose row goes, with all their registrations.
    pub forgotten: Vec<Uuid>,
    /// When keys were last used; the later of what is stored and this stays.
    pub uses: Vec<(KeyId, Timestamp)>,
}

impl InstanceBatch {
    /// There is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.registrations.is_empty()
            && self.agents.is_empty()
            && self.forgotten.is_empty()
            && self.uses.is_empty()
    }
}

/// How far a gateway has followed what others write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceCursor {
    pub(in crate::store) epoch: Epoch,
    pub(in crate::store) entry: String,
}

/// What other gateways wrote. A row that is named may be newer than what was
/// written at that time.
#[derive(Debug, Clone)]
pub struct InstanceNews {
    /// Where to go on.
    pub cursor: InstanceCursor,
    /// The feed does not reach back so far: all has to be read again.
    pub whole: bool,
    /// Nothing more is known by now.
    pub is_last: bool,
    /// Agents that were written or forgotten.
    pub agents: Vec<AgentNews>,
    /// Keys that were used.
    pub uses: Vec<(KeyId, Timestamp)>,
    /// Keys that were deleted.
    pub forgotten_keys: Vec<KeyId>,
}

/// All that the store has of an agent.
#[derive(Debug, Clone)]
pub struct AgentNews {
    pub agent: Uuid,
    /// Its row; `None`: it was forgotten.
    pub record: Option<AgentRecord>,
    pub registrations: Vec<Registration>,
}

/// Keeps agents and registrations.
#[async_trait]
pub trait InstanceStore: Send + Sync + 'static {
    /// At most `limit` registrations after the one of `after`, in order of key
    /// and agent.
    ///
    /// # Errors
    /// [`StoreError`]. A damaged row is left out: its agent registers again.
    async fn registrations(
        &self,
        after: Option<(KeyId, Uuid)>,
        limit: usize,
    ) -> Result<Vec<Registration>, StoreError>;

    /// At most `limit` agents after `after`, in order of their ids.
    ///
    /// # Errors
    /// [`StoreError`]. A damaged row is left out: its agent reports again.
    async fn agents(
        &self,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<AgentRecord>, StoreError>;

    /// When keys were last used: at most `limit` after `after`, in order of
    /// their ids. A key that was never used has none.
    ///
    /// # Errors
    /// [`StoreError`]. A damaged row is left out until the key is used again.
    async fn key_uses(
        &self,
        after: Option<KeyId>,
        limit: usize,
    ) -> Result<Vec<(KeyId, Timestamp)>, StoreError>;

    /// Writes and forgets, in one step. Returns the agents whose row went by it:
    /// of several gateways that forget one at the same time, one gets it.
    ///
    /// # Errors
    /// [`StoreError`]; send the same again.
    async fn save_instances(&self, batch: InstanceBatch) -> Result<Vec<Uuid>, StoreError>;

    /// Removes the registrations of a key, and when it was last used.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn forget_registrations(&self, key: KeyId) -> Result<(), StoreError>;

    /// What others wrote after `after`; `None` to begin: the answer is whole
    /// then, and to be asked for before the rows are read. No answer: nobody
    /// else writes to this store.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn news(&self, after: Option<InstanceCursor>)
    -> Result<Option<InstanceNews>, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_from_before_reports_were_dated_is_read() {
        let old = r#"{"agent":"00000000-0000-0000-0000-000000000001","key":"key_0123456789ABCDEF",
            "hostname":"h","os_version":"","agent_version":"","in_container":false,"labels":{},
            "first_seen":1,"last_seen":2,"last_address":"::1","instances":[]}"#;
        let row: AgentRecord = serde_json::from_str(old).unwrap();
        assert_eq!(
            (row.last_seen, row.reported_at),
            (Timestamp::from_millis(2), long_ago())
        );
    }
}
