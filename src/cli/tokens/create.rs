//! `muster tokens create`: the only time that a token is shown.
//!
//! Invariant: it goes to one place, stdout or a new file of its owner alone; if
//! it can't be written there, that is said, with the token's id.

use std::fmt::Display;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::list::role_word;
use crate::cli::connect::Client;
use crate::cli::error::CliError;
use crate::cli::expiry::Expiry;
use crate::cli::output::{Console, title};
use crate::cli::secret_file::SecretFile;
use crate::cli::time::{absolute, from_wire, now, rfc3339};
use crate::proto::admin::v1::{CreateTokenRequest, Role};

/// The answer to a create, for programs. Has no `Debug`: it holds the secret.
#[derive(Serialize)]
struct CreatedJson<'a> {
    name: &'a str,
    object_id: &'a str,
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_file: Option<String>,
    expires_at: Option<String>,
}

pub(super) async fn run(
    client: &mut Client,
    args: CreateArgs,
    console: &mut Console,
) -> Result<(), CliError> {
    let path = args.token_out.as_deref();
    let file = path
        .map(|path| SecretFile::open(path, "token"))
        .transpose()?;
    let answer = client
        .tokens
        .create_token(CreateTokenRequest {
            expires_at: args.expiry.wire(),
            role: Role::from(args.role).into(),
            name: args.name,
        })
        .await
        .map_err(|status| client.refusal(&status))?
        .into_inner();
    let token = answer.token.unwrap_or_default();
    let lost = |why: &dyn Display| SecretFile::lost("tokens", &token.object_id, &token.name, why);
    let path = match file {
        Some(file) => Some(file.keep(&answer.secret).map_err(|e| lost(&e))?),
        None => None,
    };
    let in_words = path.is_none().then_some(answer.secret.as_str());
    if console.json_wanted() {
        return console
            .print_json(&CreatedJson {
                name: &token.name,
                object_id: &token.object_id,
                role: role_word(&token),
                token: in_words,
                token_file: path.map(|path| path.display().to_string()),
                expires_at: rfc3339(token.expires_at.as_ref()),
            })
            .map_err(|error| lost(&error));
    }
    let expires = match from_wire(token.expires_at.as_ref()) {
        None => "it does not expire".to_owned(),
        some => format!("it expires {}", absolute(some, now())),
    };
    console.note(&format!(
        "Created {}, role {}; {expires}.",
        title(&token.object_id, &token.name),
        role_word(&token)
    ));
    if let Some(secret) = in_words {
        console.note("This is the token. It is shown this once and can't be had again:");
        console
            .print(&format!("{secret}\n"))
            .map_err(|error| lost(&error))?;
    }
    let from = match &path {
        Some(path) => format!(
            "The token is in {}; it can't be had again.\nNext: its owner",
            path.display()
        ),
        None => "Next: its owner keeps it in a file (mode 0600) and".to_owned(),
    };
    console.note(&format!(
        "{from} names the file with --token-file (or MUSTER_TOKEN_FILE), for example\n  \
         muster keys list --token-file FILE"
    ));
    Ok(())
}

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// Name of its owner, 1 to 128 characters, as the audit log shows it
    name: String,
    /// Role
    #[arg(long)]
    role: RoleWord,
    #[command(flatten)]
    expiry: Expiry,
    /// Write the token to this new file (mode 0600), not to stdout
    #[arg(long, value_name = "FILE")]
    token_out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum RoleWord {
    /// Reads everything but tokens
    Viewer,
    /// Viewer, and edits and revokes keys, disconnects sessions
    Operator,
    /// Everything
    Admin,
}

impl From<RoleWord> for Role {
    fn from(word: RoleWord) -> Self {
        match word {
            RoleWord::Viewer => Self::Viewer,
            RoleWord::Operator => Self::Operator,
            RoleWord::Admin => Self::Admin,
        }
    }
}
