//! Rows of agents, registrations and last uses of keys as they lie in any backend.
//!
//! Owns: their fields, and what becomes of a damaged one. Must not know: where
//! a backend puts them.

use std::net::IpAddr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::codec::decode;
use super::instance_store::{AgentRecord, Registration};
use crate::keys::{KeyId, Timestamp};

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct RegistrationRow {
    first_seen: Timestamp,
    last_seen: Timestamp,
    last_address: IpAddr,
    joins: u64,
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct AgentRow {
    #[serde(flatten)]
    pub record: AgentRecord,
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct UseRow {
    pub last_used: Timestamp,
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

impl RegistrationRow {
    /// `unknown`: the fields of a newer muster that the row had.
    pub fn new(registration: &Registration, unknown: Map<String, Value>) -> Self {
        Self {
            first_seen: registration.first_seen,
            last_seen: registration.last_seen,
            last_address: registration.last_address,
            joins: registration.joins,
            unknown,
        }
    }

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
