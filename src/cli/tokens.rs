//! `muster tokens …`: what can be typed, and tokens as they are shown.
//!
//! Must not know: what a role may do; the gateway refuses in words.

mod create;
mod list;
mod revoke;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::arguments::refuse_secret;
use super::connect::ConnectArgs;
use super::error::CliError;
use super::output::{Console, cell, status_style, table};
use super::time::{from_wire, now, relative, rfc3339};
use crate::cli::tokens::create::CreateArgs;
use crate::cli::tokens::list::{all, role_word};
use crate::cli::tokens::revoke::RevokeArgs;
use crate::proto::admin::v1::Token;

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
    /// Create an admin token; it is shown only once
    #[command(after_help = "Examples:
  muster tokens create ci --role viewer
  muster tokens create anna --role operator --expires-in 90d --token-out anna.token
  muster tokens create bob --role admin -o json

Without an expiry it lives until it is revoked. Without -o json only the token
goes to stdout, everything else to stderr:
  muster tokens create ci --role viewer > ci.token")]
    Create(CreateArgs),
    /// List tokens, including revoked and expired ones
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
