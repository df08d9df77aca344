//! Rows of agents, registrations and last uses of keys as they lie in any backend.
//!
//! Owns: their fields, and what becomes of a damaged one. Must not know: where
//! a backend puts them.

use std::net::IpAddr;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::codec::{decode, encode};
use super::error::StoreError;
use super::registrations::{AgentRecord, Registration};
use crate::keys::{KeyId, Timestamp};

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct RegistrationRow {
    first_seen: Timestamp,
    last_seen: Timestamp,
    last_address: IpAddr,
    joins: u64,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

/// What lies under an agent's id; read as an [`AgentRecord`].
#[derive(Serialize)]
struct AgentRow<'a> {
    #[serde(flatten)]
    record: &'a AgentRecord,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

/// The fields of [`AgentRecord`] passed over, so that what is left is a newer
/// muster's. Each report of an agent rewrites its row, and to build the record
/// that is replaced would cost more than all the rest of the write.
#[derive(Default, Deserialize)]
#[serde(default)]
struct PassedOver {
    agent: IgnoredAny,
    key: IgnoredAny,
    hostname: IgnoredAny,
    os_version: IgnoredAny,
    agent_version: IgnoredAny,
    in_container: IgnoredAny,
    labels: IgnoredAny,
    first_seen: IgnoredAny,
    last_seen: IgnoredAny,
    reported_at: IgnoredAny,
    last_address: IgnoredAny,
    instances: IgnoredAny,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

/// The row that replaces `before`: with the fields of a newer muster that it
/// had, unless it is damaged.
pub(in crate::store) fn agent_row(
    record: &AgentRecord,
    before: Option<&[u8]>,
) -> Result<Vec<u8>, StoreError> {
    let before = before.and_then(|row| decode::<PassedOver>(row, String::new).ok());
    let unknown = before.map(|row| row.unknown).unwrap_or_default();
    encode(&AgentRow { record, unknown })
}

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct UseRow {
    pub last_used: Timestamp,
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// The row that replaces `before`, as [`agent_row`] makes it.
pub(in crate::store) fn registration_row(
    registration: &Registration,
    before: Option<&[u8]>,
) -> Result<Vec<u8>, StoreError> {
    let before = before.and_then(|row| decode::<RegistrationRow>(row, String::new).ok());
    encode(&RegistrationRow {
        first_seen: registration.first_seen,
        last_seen: registration.last_seen,
        last_address: registration.last_address,
        joins: registration.joins,
        unknown: before.map(|row| row.unknown).unwrap_or_default(),
    })
}

impl RegistrationRow {
    pub fn to_registration(&self, key: KeyId, agent: Uuid) -> Registration {
        Registration {
            key,
            agent,
            first_seen: self.first_seen,
            last_seen: self.last_seen,
            last_address: self.last_address,
            joins: self.joins,
        }
    }
}

/// A row, unless it is damaged: that is reported, and its agent comes again.
pub(in crate::store) fn sound<T: DeserializeOwned>(
    bytes: &[u8],
    what: impl Fn() -> String,
) -> Option<T> {
    decode(bytes, what)
        .inspect_err(
            |error| tracing::error!(%error, "it is left out until its agent reports again"),
        )
        .ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::store::registrations::InstanceRecord;

    fn record(hostname: &str) -> AgentRecord {
        let at = Timestamp::from_millis(1_000);
        AgentRecord {
            agent: Uuid::from_u128(7),
            key: "key_aaaaaaaaaaaaaaaa".parse().unwrap(),
            hostname: hostname.into(),
            os_version: "ubuntu_jammy".into(),
            agent_version: "3.11.3".into(),
            in_container: true,
            labels: BTreeMap::from([("site".into(), "north".into())]),
            first_seen: at,
            last_seen: at,
            reported_at: at,
            last_address: "192.0.2.1".parse().unwrap(),
            instances: vec![InstanceRecord {
                reported_id: "an id".into(),
                version: "1.27.4".into(),
                plus_release: String::new(),
                binary_path: "/usr/sbin/nginx".into(),
                conf_path: "/etc/nginx/nginx.conf".into(),
                health: None,
                reported: true,
                registered_at: at,
                last_reported: at,
            }],
        }
    }

    #[test]
    fn no_field_of_ours_is_taken_for_a_newer_musters() {
        let row = agent_row(&record("before"), None).unwrap();
        let passed: PassedOver = decode(&row, String::new).unwrap();
        assert_eq!(passed.unknown, Map::new());
    }

    #[test]
    fn a_newer_musters_fields_outlive_a_report() {
        let mut newer = serde_json::to_value(record("before")).unwrap();
        newer["shape"] = json!({"of": ["things", "to", "come"]});
        let before = encode(&newer).unwrap();
        let row = agent_row(&record("after"), Some(&before)).unwrap();
        let after: Value = decode(&row, String::new).unwrap();
        assert_eq!(after["shape"], newer["shape"]);
        let record: AgentRecord = decode(&row, String::new).unwrap();
        assert_eq!(record, self::record("after"));
    }

    #[test]
    fn a_damaged_row_is_replaced() {
        let mut before = agent_row(&record("before"), None).unwrap();
        before[9] ^= 1;
        let row = agent_row(&record("after"), Some(&before)).unwrap();
        assert_eq!(row, agent_row(&record("after"), None).unwrap());
    }
}
