//! Keys as the command line shows them, and how one is named on it.
//!
//! Invariant: a secret that was pasted where an id belongs is not echoed.

use serde::Serialize;

use crate::cli::output::{cell, clean, status_style, table};
use crate::cli::time::{absolute, from_wire, relative, rfc3339};
use crate::keys::Timestamp;
use crate::proto::admin::v1::{Key, KeyStatus};

/// A key for programs: the fields of the REST contract's `DataPlaneKey`, and
/// the status in a word.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct KeyJson {
    object_id: String,
    name: String,
    status: &'static str,
    revoked: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<String>,
    expires_at: Option<String>,
    created_at: Option<String>,
    modified_at: Option<String>,
    revision: u64,
}

impl From<&Key> for KeyJson {
    fn from(key: &Key) -> Self {
        Self {
            object_id: key.object_id.clone(),
            name: key.name.clone(),
            status: status_word(key),
            revoked: key.revoked_at.is_some(),
            revoked_at: rfc3339(key.revoked_at.as_ref()),
            expires_at: rfc3339(key.expires_at.as_ref()),
            created_at: rfc3339(key.created_at.as_ref()),
            modified_at: rfc3339(key.modified_at.as_ref()),
            revision: key.revision,
        }
    }
}

/// The status in a word.
pub(in crate::cli) fn status_word(key: &Key) -> &'static str {
    match key.status() {
        KeyStatus::Valid => "valid",
        KeyStatus::Expired => "expired",
        KeyStatus::Revoked => "revoked",
        KeyStatus::Unspecified => "unknown",
    }
}

/// Keys as a table. The name comes last: it is the widest and people chose it.
pub(in crate::cli) fn key_table(keys: &[Key], now: Timestamp) -> String {
    let rows = keys
        .iter()
        .map(|key| {
            vec![
                cell(&key.object_id),
                status_word(key).to_owned(),
                relative(from_wire(key.expires_at.as_ref()), now),
                key.live_sessions.to_string(),
                cell(&key.name),
            ]
        })
        .collect();
    let styles: Vec<_> = keys
        .iter()
        .map(|key| status_style(status_word(key)))
        .collect();
    table(
        &["ID", "STATUS", "EXPIRES", "SESSIONS", "NAME"],
        rows,
        &styles,
    )
}

/// All that is known of one key.
pub(in crate::cli) fn key_sheet(key: &Key, now: Timestamp) -> String {
    let status = status_word(key);
    let style = status_style(status);
    let when = |wire: &Option<prost_types::Timestamp>| absolute(from_wire(wire.as_ref()), now);
    let expires = if status == "expired" {
        "expired"
    } else {
        "expires"
    };
    let mut lines = vec![
        clean(&key.object_id),
        format!("  name      {}", clean(&key.name)),
        format!("  status    {style}{status}{style:#}"),
        format!("  {expires}   {}", when(&key.expires_at)),
    ];
    if key.revoked_at.is_some() {
        lines.push(format!("  revoked   {}", when(&key.revoked_at)));
    }
    lines.push(format!("  created   {}", when(&key.created_at)));
    lines.push(format!("  modified  {}", when(&key.modified_at)));
    lines.push(format!("  revision  {}", key.revision));
    lines.push(format!("  last used {}", last_use(key, now)));
    lines.push(format!(
        "  sessions  {} live on all gateways",
        key.live_sessions
    ));
    lines.push(format!(
        "  agents    {} registered with it, {} ever",
        key.current_agents, key.registered_agents
    ));
    lines.join("\n") + "\n"
}

fn last_use(key: &Key, now: Timestamp) -> String {
    if key.live_sessions > 0 {
        return "now".to_owned();
    }
    match from_wire(key.last_used_at.as_ref()) {
        None => "never".to_owned(),
        time => absolute(time, now),
    }
}
