//! `muster keys …`: what can be typed, and the commands that only look or edit.
//!
//! Must not know: the rules of a key's life; the gateway refuses in words.

mod create;
mod delete;
mod durability;
mod gateways;
pub(super) mod list;
mod revoke;
pub(super) mod rows;
mod show;

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use super::arguments::refuse_secret;
use super::connect::{Client, ConnectArgs};
use super::error::CliError;
use super::expiry::Expiry;
use super::output::{Console, clean, plural};
use super::time::{now, parse_span};
use crate::cli::keys::list::{list, resolve};
use crate::proto::admin::v1 as proto;
use durability::{DurabilityJson, EditedJson};
use revoke::RevokeArgs;
use rows::{KeyJson, key_sheet, key_table};

const EXAMPLES: &str = "\
Examples:
  muster keys create web --expires-in 90d
  muster keys list --expiring 30d
  muster keys revoke web

KEY is a key's id (key_…) or its name, as long as no other key has that name.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct KeysArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Create a key; its secret is shown only once
    #[command(after_help = "Examples:
  muster keys create web
  muster keys create web --expires-in 90d --key-out web.key
  muster keys create web --expires-at 2027-01-31T00:00:00Z -o json

A key lives one year, which is also the maximum, unless you give less.
Without -o json only the key goes to stdout, everything else to stderr:
  muster keys create web > web.key")]
    Create(CreateArgs),
    /// List keys, including revoked and expired ones
    #[command(after_help = "Examples:
  muster keys list
  muster keys list --status valid -o json
  muster keys list --expiring 30d           valid keys that expire within 30 days")]
    List(ListArgs),
    /// Change a key's name or expiry
    #[command(after_help = "Examples:
  muster keys edit web --name web-eu
  muster keys edit key_0123456789ABCDEF --expires-in 90d
  muster keys edit web --name web-eu --if-revision 12

A key can't live longer than a year from now. A revoked or expired key gets no
new expiry; its name can always be changed.")]
    Edit(EditArgs),
    /// Show everything about a key
    #[command(after_help = "Examples:
  muster keys show web
  muster keys show web db -o json           one array, also for one key

Telemetry senders are those whose last export was accepted by this gateway no
more than 5 minutes ago; after its restart they come back with their next one.")]
    Show(KeysNamed),
    /// End a key and every live session of it, for good
    #[command(after_help = "Examples:
  muster keys revoke web                    shows what it cuts, and asks
  muster keys revoke web db --yes           does not ask
  muster keys revoke web --yes -o json

A revoke can't be undone. Revoking a revoked key changes nothing and shows how far
the revoke is.")]
    Revoke(RevokeArgs),
    /// Delete keys that are revoked or expired
    #[command(after_help = "Examples:
  muster keys delete web
  muster keys delete key_0123456789ABCDEF db -o json

A key that still works is not deleted: revoke it first.")]
    Delete(KeysNamed),
}

#[derive(Debug, Args)]
pub(super) struct KeysNamed {
    /// Ids (key_…) or unambiguous names
    #[arg(value_name = "KEY", required = true)]
    keys: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// Display name, 1 to 128 characters
    name: String,
    #[command(flatten)]
    expiry: Expiry,
    /// Write the key to this new file (mode 0600), not to stdout
    #[arg(long, value_name = "FILE")]
    key_out: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Only keys of this status
    #[arg(long)]
    status: Option<Status>,
    /// Only valid keys that expire within this time, for example 30d
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    expiring: Option<Duration>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Status {
    Valid,
    Revoked,
    Expired,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("change").required(true).multiple(true)
    .args(["name", "expires_in", "expires_at"])))]
struct EditArgs {
    /// Its id (key_…) or unambiguous name
    #[arg(value_name = "KEY")]
    key: String,
    /// The new name, 1 to 128 characters
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    expiry: Expiry,
    /// Only if the key is still at this revision, as `keys show` prints it
    #[arg(long, value_name = "N")]
    if_revision: Option<u64>,
}

impl KeysCommand {
    /// The KEY arguments.
    fn named(&self) -> &[String] {
        match self {
            Self::Create(_) | Self::List(_) => &[],
            Self::Edit(args) => std::slice::from_ref(&args.key),
            Self::Show(args) | Self::Delete(args) => &args.keys,
            Self::Revoke(args) => &args.keys,
        }
    }
}

pub(super) async fn run(args: KeysArgs, console: &mut Console) -> Result<(), CliError> {
    if let KeysCommand::Revoke(revoke) = &args.command {
        console.check_sure(revoke.yes)?;
    }
    for given in args.command.named() {
        refuse_secret(given)?;
    }
    let mut client = args.connect.connect().await?;
    let client = &mut client;
    match args.command {
        KeysCommand::Create(args) => create::run(client, args, console).await,
        KeysCommand::List(args) => list_keys(client, &args, console).await,
        KeysCommand::Edit(args) => edit(client, args, console).await,
        KeysCommand::Show(args) => show::run(client, &args.keys, console).await,
        KeysCommand::Revoke(args) => revoke::run(client, &args, console).await,
        KeysCommand::Delete(args) => delete::run(client, &args.keys, console).await,
    }
}

async fn list_keys(
    client: &mut Client,
    args: &ListArgs,
    console: &mut Console,
) -> Result<(), CliError> {
    let status = match args.status {
        None => proto::KeyStatus::Unspecified,
        Some(Status::Valid) => proto::KeyStatus::Valid,
        Some(Status::Revoked) => proto::KeyStatus::Revoked,
        Some(Status::Expired) => proto::KeyStatus::Expired,
    };
    let listed = list(
        client,
        proto::ListKeysRequest {
            status: status.into(),
            // Zero would mean all; less than a second is the next second.
            expiring_within_seconds: args.expiring.map_or(0, |span| span.as_secs().max(1)),
            ..proto::ListKeysRequest::default()
        },
    )
    .await?;
    if !listed.unreadable.is_empty() {
        let ids: Vec<String> = listed.unreadable.iter().map(|id| clean(id)).collect();
        console.note(&format!(
            "warning: the stored record of {} is damaged; agents with it are kept out: {}",
            plural(u64::try_from(ids.len()).unwrap_or(u64::MAX), "key"),
            ids.join(", ")
        ));
    }
    if console.json_wanted() {
        let rows: Vec<KeyJson> = listed.keys.iter().map(KeyJson::from).collect();
        return console.print_json(&rows);
    }
    if listed.keys.is_empty() {
        let filtered = args.status.is_some() || args.expiring.is_some();
        console.note(if filtered {
            "No key matches."
        } else {
            "There are no keys yet. Make one: muster keys create NAME"
        });
        return Ok(());
    }
    console.print(&key_table(&listed.keys, now()))
}

async fn edit(client: &mut Client, args: EditArgs, console: &mut Console) -> Result<(), CliError> {
    let object_id = resolve(client, &args.key).await?;
    let answer = client
        .keys
        .edit_key(proto::EditKeyRequest {
            object_id,
            name: args.name,
            expires_at: args.expiry.wire(),
            if_revision: args.if_revision,
        })
        .await
        .map_err(|status| client.refusal(&status))?;
    let answer = answer.into_inner();
    let key = answer.key.unwrap_or_default();
    let durability = DurabilityJson::new(answer.durable, answer.replicas_acknowledged);
    durability.warn(console);
    if console.json_wanted() {
        return console.print_json(&EditedJson {
            key: KeyJson::from(&key),
            durability,
        });
    }
    console.print(&key_sheet(&key, now()))
}
