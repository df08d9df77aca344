//! Between our types and the admin API's messages.

use std::time::Duration;

use prost_types::Timestamp as WireTime;
use tonic::Status;

use crate::admin_api::error::invalid;
use crate::control::keys::Usage;
use crate::gateway::presence::{GatewaySession, RejectionThere};
use crate::gateway::telemetry_senders::Sender;
use crate::keys::{KeyId, KeyRecord, KeyStatus, Timestamp};
use crate::proto::admin::v1 as pb;

/// Keys or instances deleted in one call at most (NGINX One's contract).
const MAX_DELETES: usize = 50;

/// An optional time of a request; `field` names it in the error.
pub(super) fn from_wire(field: &str, time: Option<WireTime>) -> Result<Option<Timestamp>, Status> {
    time.map(Timestamp::try_from)
        .transpose()
        .map_err(|error| invalid(field, error))
}

/// A key's id in a request.
pub(super) fn key_id(field: &str, text: &str) -> Result<KeyId, Status> {
    text.parse().map_err(|error| invalid(field, error))
}

/// The ids of what is to be deleted: one at least, and not too many.
pub(super) fn ids_to_delete(ids: Vec<String>) -> Result<Vec<String>, Status> {
    if !(1..=MAX_DELETES).contains(&ids.len()) {
        let fault = format_args!("{} ids given; 1 to {MAX_DELETES} at a time", ids.len());
        return Err(invalid("object_ids", fault));
    }
    Ok(ids)
}

pub(super) fn status(status: KeyStatus) -> pb::KeyStatus {
    match status {
        KeyStatus::Valid => pb::KeyStatus::Valid,
        KeyStatus::Expired => pb::KeyStatus::Expired,
        KeyStatus::Revoked => pb::KeyStatus::Revoked,
    }
}

pub(super) fn key(record: &KeyRecord, now: Timestamp, usage: Usage) -> pb::Key {
    pb::Key {
        object_id: record.id.to_string(),
        namespace: record.namespace.clone(),
        name: record.name.clone(),
        created_at: Some(record.created_at.into()),
        modified_at: Some(record.modified_at.into()),
        expires_at: Some(record.expires_at.into()),
        revoked_at: record.revoked_at.map(Into::into),
        status: status(record.status(now)).into(),
        live_sessions: usage.live_sessions as u64,
        registered_agents: usage.agents.ever as u64,
        current_agents: usage.agents.now as u64,
        last_used_at: usage.last_used.map(Into::into),
        revision: record.revision.0,
    }
}

pub(super) fn sender(sender: &Sender) -> pb::TelemetrySender {
    pb::TelemetrySender {
        address: sender.address.to_string(),
        agent_id: sender.agent.map_or_else(String::new, |id| id.to_string()),
        first_export: Some(sender.first_export.into()),
        last_export: Some(sender.last_export.into()),
        exports: sender.exports,
    }
}

pub(super) fn session(there: GatewaySession) -> pb::Session {
    let view = there.view;
    pb::Session {
        session_id: view.id.to_string(),
        gateway_id: view.id.gateway.to_string(),
        key_object_id: view.key.to_string(),
        agent_id: view.agent.to_string(),
        peer: view.peer.to_string(),
        user_agent: view.user_agent,
        opened_at: Some(view.opened_at.into()),
        gateway_name: there.gateway,
    }
}

pub(super) fn rejection(there: RejectionThere) -> pb::Rejection {
    let rejection = there.rejection;
    let group = rejection.group;
    pb::Rejection {
        reason: group.reason.as_str().into(),
        meaning: group.reason.meaning().into(),
        cure: group.reason.cure().into(),
        key_object_id: group.key.map_or_else(String::new, |key| key.to_string()),
        agent_id: group.agent.map_or_else(String::new, |id| id.to_string()),
        address: group.address.to_string(),
        count: rejection.count,
        first_at: Some(rejection.first_at.into()),
        last_at: Some(rejection.last_at.into()),
        gateway_id: there.gateway_id.to_string(),
        gateway_name: there.gateway,
    }
}

/// A span of time in whole milliseconds.
pub(super) fn millis(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// The longest time that a caller may wait, as the longest `revoke-wait`.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How long a caller wants to wait at most; `None`: it does not say.
pub(super) fn wait(
    field: &str,
    asked: Option<&prost_types::Duration>,
) -> Result<Option<Duration>, Status> {
    let Some(asked) = asked else {
        return Ok(None);
    };
    match Duration::try_from(*asked) {
        Ok(wait) if wait <= LONGEST_WAIT => Ok(Some(wait)),
        _ => Err(invalid(
            field,
            format_args!("must be 0 to {} seconds", LONGEST_WAIT.as_secs()),
        )),
    }
}
