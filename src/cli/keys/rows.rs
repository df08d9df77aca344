//! Keys as the command line shows them, and how one is named on it.
//!
//! Invariant: a secret that was pasted where an id belongs is not echoed.

use serde::Serialize;

use crate::cli::connect::Client;
use crate::cli::error::CliError;
use crate::cli::output::{cell, clean, status_style, table};
use crate::cli::time::{absolute, from_wire, relative};
use crate::keys::{KeyId, PresentedKey, PresentedToken, Timestamp};
use crate::proto::admin::v1::{Key, KeyStatus, ListKeysRequest};

/// The most that one page can hold.
pub(in crate::cli) const PAGE: u32 = 1000;

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

/// A wire time as RFC 3339.
pub(in crate::cli) fn rfc3339(wire: Option<&prost_types::Timestamp>) -> Option<String> {
    from_wire(wire).map(|time| time.to_string())
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

/// `key_… "name"`.
pub(in crate::cli) fn title(object_id: &str, name: &str) -> String {
    if name.is_empty() {
        clean(object_id)
    } else {
        format!("{} \"{}\"", clean(object_id), clean(name))
    }
}

/// A KEY argument in a form that can be shown again.
pub(in crate::cli) fn shown(given: &str) -> String {
    match secret_in(given) {
        Some(kind) => format!("{kind}…"),
        None => clean(given),
    }
}

fn secret_in(given: &str) -> Option<&'static str> {
    let bare = given.trim_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\''));
    // Also behind a pasted "Bearer " or "token: ".
    let word = bare.rsplit(char::is_whitespace).next().unwrap_or(bare);
    ["dpk_", "mat_"]
        .into_iter()
        .find(|kind| word.starts_with(kind))
}

/// The id that a KEY argument names: itself, or the one key of that name.
pub(in crate::cli) async fn resolve(client: &mut Client, given: &str) -> Result<String, CliError> {
    refuse_secret(given)?;
    let given = given.trim();
    if given.parse::<KeyId>().is_ok() {
        return Ok(given.to_owned());
    }
    let found = list(
        client,
        ListKeysRequest {
            name: given.to_owned(),
            ..ListKeysRequest::default()
        },
    )
    .await?
    .keys;
    match found.as_slice() {
        [only] => Ok(only.object_id.clone()),
        [] => Err(CliError::Refused(format!(
            "no key has the name \"{}\", and it is no id (key_ and 16 letters or digits)\n  \
             `muster keys list` shows all keys",
            clean(given)
        ))),
        several => {
            let ids: Vec<String> = several
                .iter()
                .map(|key| format!("\n  {}  {}", clean(&key.object_id), status_word(key)))
                .collect();
            Err(CliError::Refused(format!(
                "{} keys have the name \"{}\"; name one by its id:{}",
                several.len(),
                clean(given),
                ids.concat()
            )))
        }
    }
}

/// Refuses a KEY argument that is a secret, before anything is done: what is
/// typed wrongly in one place is best typed again as a whole.
pub(in crate::cli) fn refuse_secret(given: &str) -> Result<(), CliError> {
    match secret_in(given) {
        Some(kind) => Err(CliError::Usage(pasted_secret(kind, given))),
        None => Ok(()),
    }
}

fn pasted_secret(kind: &str, given: &str) -> String {
    if kind == "mat_" {
        let id = match PresentedToken::parse(given.as_bytes()) {
            Ok(token) => format!(" Its id is {}.", token.id),
            Err(_) => " `muster tokens list` shows the ids.".to_owned(),
        };
        return format!(
            "that is an admin token itself, the secret (mat_…), not an id.{id} It has now been on \
             a command line, so see to it that nobody can read it there"
        );
    }
    let id = match PresentedKey::parse(given.as_bytes()) {
        Ok(key) => format!(" Its id is {}.", key.id),
        Err(_) => " `muster keys list` shows the ids.".to_owned(),
    };
    format!(
        "that is a data plane key itself, the secret (dpk_…), not its id (key_…).{id} It has now \
         been on a command line, so see to it that nobody can read it there"
    )
}

/// What a list call found, all pages together.
#[derive(Debug, Default)]
pub(in crate::cli) struct Listed {
    pub keys: Vec<Key>,
    pub unreadable: Vec<String>,
}

/// All pages of a list.
pub(in crate::cli) async fn list(
    client: &mut Client,
    mut request: ListKeysRequest,
) -> Result<Listed, CliError> {
    request.page_size = PAGE;
    let mut all = Listed::default();
    loop {
        let answer = client.keys.list_keys(request.clone()).await;
        let page = answer
            .map_err(|status| client.refusal(&status))?
            .into_inner();
        all.keys.extend(page.keys);
        all.unreadable.extend(page.unreadable);
        if page.next_page_token.is_empty() {
            return Ok(all);
        }
        request.page_token = page.next_page_token;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Kind, mint};

    #[test]
    fn a_pasted_secret_is_recognised_and_not_echoed() {
        let key = mint(Kind::DataPlaneKey).unwrap();
        let token = mint(Kind::AdminToken).unwrap();
        let quoted = format!(" \"{}\"", key.expose());
        let bearer = format!("Bearer {}", key.expose());
        for given in [key.expose(), &quoted, &bearer, token.expose()] {
            let kind = secret_in(given).unwrap();
            let told = pasted_secret(kind, given) + &shown(given);
            assert!(!told.contains(&key.expose()[21..40]), "{told}");
            assert!(!told.contains(&token.expose()[4..40]), "{told}");
        }
        let told = pasted_secret("dpk_", &quoted);
        assert!(
            told.contains(&format!("Its id is key_{}", key.id)),
            "{told}"
        );
        assert_eq!(secret_in("web"), None);
        assert_eq!(secret_in("key_0123456789ABCDEF"), None);
    }
}
