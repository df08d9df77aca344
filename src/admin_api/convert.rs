//! Between our types and the admin API's messages.

use prost_types::Timestamp as WireTime;
use tonic::Status;

use super::status::invalid;
use crate::keys::{KeyId, KeyRecord, KeyStatus, Timestamp};
use crate::proto::admin::v1 as pb;
use crate::sessions::SessionView;

pub(super) fn to_wire(time: Timestamp) -> WireTime {
    let millis = time.as_millis();
    WireTime {
        seconds: millis.div_euclid(1000),
        // Below 1,000,000,000 by construction.
        nanos: i32::try_from(millis.rem_euclid(1000) * 1_000_000).unwrap_or(0),
    }
}

/// An optional time of a request; `field` names it in the error.
pub(super) fn from_wire(field: &str, time: Option<WireTime>) -> Result<Option<Timestamp>, Status> {
    time.map(|time| Timestamp::from_unix(time.seconds, time.nanos))
        .transpose()
        .map_err(|error| invalid(field, error))
}

/// A key's id in a request.
pub(super) fn key_id(field: &str, text: &str) -> Result<KeyId, Status> {
    text.parse().map_err(|error| invalid(field, error))
}

pub(super) fn status(status: KeyStatus) -> pb::KeyStatus {
    match status {
        KeyStatus::Valid => pb::KeyStatus::Valid,
        KeyStatus::Expired => pb::KeyStatus::Expired,
        KeyStatus::Revoked => pb::KeyStatus::Revoked,
    }
}

pub(super) fn key(record: &KeyRecord, now: Timestamp, live_sessions: usize) -> pb::Key {
    pb::Key {
        object_id: record.id.to_string(),
        namespace: record.namespace.clone(),
        name: record.name.clone(),
        created_at: Some(to_wire(record.created_at)),
        modified_at: Some(to_wire(record.modified_at)),
        expires_at: Some(to_wire(record.expires_at)),
        revoked_at: record.revoked_at.map(to_wire),
        status: status(record.status(now)).into(),
        live_sessions: live_sessions as u64,
    }
}

pub(super) fn session(view: SessionView) -> pb::Session {
    pb::Session {
        session_id: view.id.to_string(),
        gateway_id: view.id.gateway.to_string(),
        key_object_id: view.key.to_string(),
        agent_id: view.agent.to_string(),
        peer: view.peer.to_string(),
        user_agent: view.user_agent,
        opened_at: Some(to_wire(view.opened_at)),
    }
}

/// A span of time in whole milliseconds.
pub(super) fn millis(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
