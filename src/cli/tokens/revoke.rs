//! `muster tokens revoke`.
//!
//! Invariant: nothing is revoked before it was confirmed, or `--yes` was given.

use clap::Args;
use serde::Serialize;

use super::list::{all, find, role_word};
use crate::cli::connect::Client;
use crate::cli::error::CliError;
use crate::cli::outcomes::Outcomes;
use crate::cli::output::{Console, title};
use crate::cli::time::{absolute, from_wire, now, rfc3339};
use crate::proto::admin::v1::{RevokeTokenRequest, Token};

/// What a revoke did, for programs.
#[derive(Debug, Serialize)]
struct DoneJson {
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<String>,
}

pub(super) async fn run(
    client: &mut Client,
    args: &RevokeArgs,
    console: &mut Console,
) -> Result<(), CliError> {
    let known = all(client).await?;
    let mut outcomes = Outcomes::default();
    let mut tokens: Vec<&Token> = Vec::new();
    for given in &args.tokens {
        match find(&known, given) {
            // The same token twice is one wish.
            Ok(token) if tokens.iter().any(|t| t.object_id == token.object_id) => {}
            Ok(token) => tokens.push(token),
            Err(error) => outcomes.unnamed(console, given, "failed", error)?,
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
                outcomes.refused(console, &token.object_id, &token.name, error)?;
                continue;
            }
        };
        if !console.json_wanted() {
            let who = title(&token.object_id, &token.name);
            console.print(&format!("{who}: revoked\n"))?;
        }
        let done = DoneJson {
            revoked_at: rfc3339(revoked.revoked_at.as_ref()),
        };
        outcomes.done(&token.object_id, &token.name, "revoked", done);
    }
    outcomes.end(console)
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

#[derive(Debug, Args)]
pub(super) struct RevokeArgs {
    /// Ids (tok_…) or unambiguous names
    #[arg(value_name = "TOKEN", required = true)]
    pub(super) tokens: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    pub(super) yes: bool,
}
