//! `muster tokens revoke`.
//!
//! Invariant: nothing is revoked before somebody said yes or `--yes` was given.

use serde::Serialize;

use super::{RevokeArgs, all, find, role_word};
use crate::cli::connect::Client;
use crate::cli::error::CliError;
use crate::cli::keys::Failures;
use crate::cli::keys::rows::{rfc3339, shown, title};
use crate::cli::output::Console;
use crate::cli::time::{absolute, from_wire, now};
use crate::proto::admin::v1::{RevokeTokenRequest, Token};

/// What became of one token, for programs.
#[derive(Debug, Serialize)]
struct RevokedJson {
    #[serde(skip_serializing_if = "Option::is_none")]
    object_id: Option<String>,
    name: String,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<String>,
}

pub(super) async fn run(
    client: &mut Client,
    args: &RevokeArgs,
    console: &mut Console,
) -> Result<(), CliError> {
    let known = all(client).await?;
    let mut failures = Failures::default();
    let mut rows = Vec::new();
    let mut tokens: Vec<&Token> = Vec::new();
    for given in &args.tokens {
        match find(&known, given) {
            // The same token twice is one wish.
            Ok(token) if tokens.iter().any(|t| t.object_id == token.object_id) => {}
            Ok(token) => tokens.push(token),
            Err(error) => {
                rows.push(failed(None, shown(given), &error));
                failures.tell(console, given, error)?;
            }
        }
    }
    // The own one last: with it gone, the others could not be revoked.
    tokens.sort_by_key(|token| token.yours);
    if !announce(&tokens, args.yes, console) {
        return Err(CliError::Refused("nothing was revoked".to_owned()));
    }
    for token in tokens {
        let request = RevokeTokenRequest {
            object_id: token.object_id.clone(),
        };
        let revoked = match client.tokens.revoke_token(request).await {
            Ok(answer) => answer.into_inner().token.unwrap_or_default(),
            Err(status) => {
                let error = client.refusal(&status);
                let id = Some(token.object_id.clone());
                rows.push(failed(id, token.name.clone(), &error));
                failures.tell(console, &token.object_id, error)?;
                continue;
            }
        };
        if !console.json_wanted() {
            let who = title(&token.object_id, &token.name);
            console.print(&format!("{who}: revoked\n"))?;
        }
        rows.push(RevokedJson {
            object_id: Some(token.object_id.clone()),
            name: token.name.clone(),
            outcome: "revoked",
            failure_reason: None,
            revoked_at: rfc3339(revoked.revoked_at.as_ref()),
        });
    }
    if console.json_wanted() {
        console.print_json(&rows)?;
    }
    failures.end()
}

/// Says what is about to end and asks, if there is something to ask about;
/// false: better not.
fn announce(tokens: &[&Token], yes: bool, console: &mut Console) -> bool {
    let (revoked, to_end): (Vec<&Token>, Vec<&Token>) =
        tokens.iter().partition(|token| token.revoked_at.is_some());
    for token in revoked {
        console.note(&format!(
            "{} has been revoked already, at {}.",
            title(&token.object_id, &token.name),
            absolute(from_wire(token.revoked_at.as_ref()), now())
        ));
    }
    for token in &to_end {
        console.note(&format!(
            "{}, role {}: its holder is refused from the next call on{}.",
            title(&token.object_id, &token.name),
            role_word(token),
            if token.yours {
                ", and that is you: this command uses it"
            } else {
                ""
            }
        ));
    }
    let question = match to_end.len() {
        0 => return true,
        1 => "Revoke it?".to_owned(),
        several => format!("Revoke these {several} tokens?"),
    };
    console.note("It can't be undone.");
    yes || console.confirm(&question)
}

fn failed(object_id: Option<String>, name: String, error: &CliError) -> RevokedJson {
    RevokedJson {
        object_id,
        name,
        outcome: "failed",
        failure_reason: Some(error.to_string()),
        revoked_at: None,
    }
}
