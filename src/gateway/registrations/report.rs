//! What an agent says of itself, bounded, and what follows from it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::store::{Health, InstanceRecord};

/// Labels and the like: texts of an agent by name.
pub type Words = BTreeMap<String, String>;

/// Characters kept of each of an agent's words.
const MAX_WORD: usize = 256;
/// Instances kept of one agent, and labels.
pub(super) const MAX_ITEMS: usize = 128;
/// Bytes kept of the texts of one agent's instances, and of its labels: some
/// 400 bytes an instance are usual. A key has up to 50,000 agents, so what all
/// of them may say has to fit into memory.
pub(super) const MAX_BYTES: usize = 16 << 10;

/// An agent's report on itself. Its words are an agent's own: [`Self::bounded`]
/// bounds them in number and length.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgentReport {
    /// Its host's name.
    pub hostname: String,
    /// The release's id and codename, `ubuntu_jammy`.
    pub os_version: String,
    /// Its own version.
    pub agent_version: String,
    /// It runs in a container.
    pub in_container: bool,
    /// As its operator labelled it.
    pub labels: Words,
    /// The NGINX instances that it found.
    pub instances: Vec<ReportedInstance>,
}

/// An NGINX instance as an agent reports it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReportedInstance {
    /// The same on every host of that layout.
    pub reported_id: String,
    pub version: String,
    /// NGINX Plus's release; empty for NGINX.
    pub plus_release: String,
    pub binary_path: String,
    pub conf_path: String,
}

impl AgentReport {
    /// The report with its words cut to 256 characters and its lists to 128
    /// entries and 16 KiB: what an agent says must not make our memory grow at
    /// its will.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        let words = [
            &mut self.hostname,
            &mut self.os_version,
            &mut self.agent_version,
        ];
        words.into_iter().for_each(cut);
        self.instances.truncate(MAX_ITEMS);
        for instance in &mut self.instances {
            let words = [
                &mut instance.reported_id,
                &mut instance.version,
                &mut instance.plus_release,
                &mut instance.binary_path,
                &mut instance.conf_path,
            ];
            words.into_iter().for_each(cut);
        }
        let mut left = MAX_BYTES;
        self.instances.retain(|instance| {
            let words = [
                &instance.reported_id,
                &instance.version,
                &instance.plus_release,
                &instance.binary_path,
                &instance.conf_path,
            ];
            fits(&mut left, words.map(String::len).iter().sum())
        });
        let mut left = MAX_BYTES;
        self.labels = std::mem::take(&mut self.labels)
            .into_iter()
            .take(MAX_ITEMS)
            .map(|(mut name, mut value)| {
                cut(&mut name);
                cut(&mut value);
                (name, value)
            })
            .filter(|(name, value)| fits(&mut left, name.len() + value.len()))
            .collect();
        self
    }
}

/// Takes `size` out of what is left, if it is there.
pub(super) fn fits(left: &mut usize, size: usize) -> bool {
    let rest = left.checked_sub(size);
    *left = rest.unwrap_or(*left);
    rest.is_some()
}

fn cut(word: &mut String) {
    if let Some((end, _)) = word.char_indices().nth(MAX_WORD) {
        word.truncate(end);
        // A text of a megabyte must not keep its allocation.
        word.shrink_to_fit();
    }
}

/// An instance's id: `inst_` and 16 Base62 characters, derived from its agent
/// and its reported id, since the latter repeats across hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId([u8; 16]);

impl InstanceId {
    /// The id of an agent's instance.
    pub fn of(agent: Uuid, reported_id: &str) -> Self {
        const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let mut hash = Sha256::new();
        hash.update(agent.as_bytes());
        hash.update(reported_id.as_bytes());
        let mut id = [0; 16];
        for (character, byte) in id.iter_mut().zip(hash.finalize()) {
            *character = BASE62[usize::from(byte % 62)];
        }
        Self(id)
    }
}

/// Not the id of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an instance id: it is inst_ and 16 letters and digits")]
pub struct NoInstanceId;

impl FromStr for InstanceId {
    type Err = NoInstanceId;

    fn from_str(text: &str) -> Result<Self, NoInstanceId> {
        let id = text.strip_prefix("inst_").ok_or(NoInstanceId)?;
        let id: [u8; 16] = id.as_bytes().try_into().map_err(|_| NoInstanceId)?;
        match id.iter().all(u8::is_ascii_alphanumeric) {
            true => Ok(Self(id)),
            false => Err(NoInstanceId),
        }
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "inst_{}",
            std::str::from_utf8(&self.0).unwrap_or_default()
        )
    }
}

/// An instance's state, computed and never stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InstanceStatus {
    /// Its agent is connected and has not reported its health yet.
    Unknown,
    /// Its agent is connected, NGINX runs.
    Online,
    /// Its agent is connected, NGINX does not run.
    Offline,
    /// Its agent is not connected.
    Unavailable,
}

impl InstanceStatus {
    /// The state of an instance whose agent is or is not connected.
    pub fn of(instance: &InstanceRecord, connected: bool) -> Self {
        match instance.health {
            _ if !connected => Self::Unavailable,
            _ if !instance.reported => Self::Offline,
            Some(Health::Healthy | Health::Degraded) => Self::Online,
            Some(Health::Unhealthy) => Self::Offline,
            None => Self::Unknown,
        }
    }
}
