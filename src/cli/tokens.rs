//! `muster tokens …`: what can be typed, and tokens as they are shown.
//!
//! Must not know: what a role may do; the gateway refuses in words.

mod create;
mod revoke;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use super::connect::{Client, ConnectArgs};
use super::error::CliError;
use super::expiry::Expiry;
use super::keys::rows::{PAGE, refuse_secret, rfc3339};
use super::output::{Console, cell, clean, status_style, table};
use super::time::{from_wire, now, relative};
use crate::keys::TokenId;
use crate::proto::admin::v1::{ListTokensRequest, Role, Token};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  muster tokens create ci --role viewer --expires-in 90d
  muster tokens list
  muster tokens revoke ci

TOKEN is a token's id (tok_…) or its name, as long as no other token that is
not revoked has that name.")]
pub(super) struct TokensArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(subcommand)]
    command: TokensCommand,
}

#[derive(Debug, Subcommand)]
enum TokensCommand {
    /// Make an admin token; it is shown this once
    #[command(after_help = "Examples:
  muster tokens create ci --role viewer
  muster tokens create anna --role operator --expires-in 90d --token-out anna.token
  muster tokens create bob --role admin -o json

Without an expiry it lives until it is revoked. Without -o json the token alone
goes to stdout, all else to stderr:
  muster tokens create ci --role viewer > ci.token")]
    Create(CreateArgs),
    /// List tokens, revoked and expired ones too
    #[command(after_help = "Examples:
  muster tokens list
  muster tokens list -o json")]
    List,
    /// End tokens: the next call with one is refused
    #[command(after_help = "Examples:
  muster tokens revoke ci                   asks
  muster tokens revoke ci anna --yes        does not ask
  muster tokens revoke ci --yes -o json

A revoke can't be undone. The last valid token of the role admin can't be
revoked: make another first.")]
    Revoke(RevokeArgs),
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// Whose it is, 1 to 128 characters; it is in the audit log
    name: String,
    /// What it may be used for
    #[arg(long)]
    role: RoleWord,
    #[command(flatten)]
    expiry: Expiry,
    /// Write the token to this new file (mode 0600), not to stdout
    #[arg(long, value_name = "FILE")]
    token_out: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct RevokeArgs {
    /// Ids (tok_…) or unambiguous names
    #[arg(value_name = "TOKEN", required = true)]
    tokens: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RoleWord {
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

/// A token for programs.
#[derive(Debug, Serialize)]
struct TokenJson<'a> {
    object_id: &'a str,
    name: &'a str,
    role: &'static str,
    status: &'a str,
    yours: bool,
    created_at: Option<String>,
    /// `null`: it does not expire.
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<String>,
}

impl<'a> From<&'a Token> for TokenJson<'a> {
    fn from(token: &'a Token) -> Self {
        Self {
            object_id: &token.object_id,
            name: &token.name,
            role: role_word(token),
            status: &token.status,
            yours: token.yours,
            created_at: rfc3339(token.created_at.as_ref()),
            expires_at: rfc3339(token.expires_at.as_ref()),
            revoked_at: rfc3339(token.revoked_at.as_ref()),
        }
    }
}

pub(super) async fn run(args: TokensArgs, console: &mut Console) -> Result<(), CliError> {
    if let TokensCommand::Revoke(revoke) = &args.command {
        console.check_sure(revoke.yes)?;
        for given in &revoke.tokens {
            refuse_secret(given)?;
        }
    }
    let mut client = args.connect.connect().await?;
    let client = &mut client;
    match args.command {
        TokensCommand::Create(args) => create::run(client, args, console).await,
        TokensCommand::List => {
            let tokens = all(client).await?;
            show(&tokens, console)
        }
        TokensCommand::Revoke(args) => revoke::run(client, &args, console).await,
    }
}

/// All pages of the list.
async fn all(client: &mut Client) -> Result<Vec<Token>, CliError> {
    let mut request = ListTokensRequest {
        page_size: PAGE,
        ..ListTokensRequest::default()
    };
    let mut tokens = Vec::new();
    loop {
        let answer = client.tokens.list_tokens(request.clone()).await;
        let page = answer
            .map_err(|status| client.refusal(&status))?
            .into_inner();
        tokens.extend(page.tokens);
        if page.next_page_token.is_empty() {
            return Ok(tokens);
        }
        request.page_token = page.next_page_token;
    }
}

fn show(tokens: &[Token], console: &mut Console) -> Result<(), CliError> {
    if console.json_wanted() {
        let rows: Vec<TokenJson> = tokens.iter().map(TokenJson::from).collect();
        return console.print_json(&rows);
    }
    let now = now();
    let rows = tokens
        .iter()
        .map(|token| {
            let name = cell(&token.name);
            vec![
                cell(&token.object_id),
                cell(&token.status),
                role_word(token).to_owned(),
                match from_wire(token.expires_at.as_ref()) {
                    None => "never".to_owned(),
                    some => relative(some, now),
                },
                if token.yours {
                    format!("{name} (yours)")
                } else {
                    name
                },
            ]
        })
        .collect();
    let styles: Vec<_> = tokens.iter().map(|t| status_style(&t.status)).collect();
    let header = ["ID", "STATUS", "ROLE", "EXPIRES", "NAME"];
    console.print(&table(&header, rows, &styles))
}

fn role_word(token: &Token) -> &'static str {
    match token.role() {
        Role::Viewer => "viewer",
        Role::Operator => "operator",
        Role::Admin => "admin",
        Role::Unspecified => "unknown",
    }
}

/// The token that a TOKEN argument names: by its id, or the one of that name.
/// A revoked token keeps its name for ever, so it stands back for one that is
/// not: a token can be replaced under its name.
fn find<'a>(tokens: &'a [Token], given: &str) -> Result<&'a Token, CliError> {
    let given = given.trim();
    if given.parse::<TokenId>().is_ok() {
        let found = tokens.iter().find(|token| token.object_id == given);
        return found.ok_or_else(|| {
            CliError::Refused(
                "there is no such token\n  `muster tokens list` shows all tokens".to_owned(),
            )
        });
    }
    let named: Vec<&Token> = tokens.iter().filter(|token| token.name == given).collect();
    let standing = named.iter().filter(|token| token.revoked_at.is_none());
    let mut standing: Vec<&Token> = standing.copied().collect();
    if standing.is_empty() {
        standing = named;
    }
    match standing.as_slice() {
        [only] => Ok(only),
        [] => Err(CliError::Refused(format!(
            "no token has the name \"{}\", and it is no id (tok_ and 16 letters or digits)\n  \
             `muster tokens list` shows all tokens",
            clean(given)
        ))),
        several => {
            let ids: Vec<String> = several
                .iter()
                .map(|token| format!("\n  {}  {}", clean(&token.object_id), role_word(token)))
                .collect();
            Err(CliError::Refused(format!(
                "{} tokens have the name \"{}\"; name one by its id:{}",
                several.len(),
                clean(given),
                ids.concat()
            )))
        }
    }
}
