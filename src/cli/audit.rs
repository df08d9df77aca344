//! `muster audit …`.

use clap::{Args, Subcommand, ValueEnum};
use humantime::Duration;
use serde::Serialize;

use super::connect::{Client, ConnectArgs};
use super::error::CliError;
use super::output::{Console, cell, table};
use super::time::{from_wire, now, relative, rfc3339};
use crate::cli::pages::PAGE;
use crate::proto::admin::v1::{AuditRecord, ListAuditRequest};

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  muster audit list\n  muster audit list --action key.revoke")]
pub(super) struct AuditArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// List changes, newest first
    #[command(after_help = "Examples:
  muster audit list
  muster audit list --action key --since 7d      all that was done to keys this week
  muster audit list --target key_4pqH1cWm8yTzR0nB
  muster audit list --result refused --all
  muster audit list --all -o json

Changes made or refused by any door (command line, REST, console) of any gateway
of the store are there, for as long as --audit-keep of `muster serve` says.")]
    List(ListArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Part of the actor: a token's name or id
    #[arg(long, value_name = "TEXT")]
    actor: Option<String>,
    /// The action, or what it is of: key, key.revoke
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// The id of what it was done to
    #[arg(long, value_name = "ID")]
    target: Option<String>,
    /// Not longer ago than this, for example 7d
    #[arg(long, value_name = "TIME")]
    since: Option<Duration>,
    /// How it went
    #[arg(long, value_enum)]
    result: Option<Went>,
    /// Records to show
    #[arg(
        short = 'n',
        long,
        default_value_t = 100,
        value_name = "N",
        conflicts_with = "all"
    )]
    limit: usize,
    /// All there are
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Went {
    Ok,
    Refused,
    /// A fault of the gateway or its store: it was not done
    Failed,
    /// Such a fault, and it may have been done all the same
    Unknown,
}

impl Went {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// A record for programs.
#[derive(Debug, Serialize)]
struct RecordJson<'a> {
    id: u64,
    at: Option<String>,
    actor: &'a str,
    action: &'a str,
    target: &'a str,
    detail: &'a str,
    from: &'a str,
    door: &'a str,
    gateway_name: &'a str,
    result: &'a str,
    reason: &'a str,
}

pub(super) async fn run(args: AuditArgs, console: &mut Console) -> Result<(), CliError> {
    let mut client = args.connect.connect().await?;
    match args.command {
        AuditCommand::List(list) => show(&mut client, list, console).await,
    }
}

async fn show(client: &mut Client, args: ListArgs, console: &mut Console) -> Result<(), CliError> {
    let limit = if args.all { usize::MAX } else { args.limit };
    let mut request = ListAuditRequest {
        page_size: PAGE.min(u32::try_from(limit).unwrap_or(PAGE).max(1)),
        actor: args.actor.unwrap_or_default(),
        action: args.action.unwrap_or_default(),
        target: args.target.unwrap_or_default(),
        since: args.since.map(|ago| now().saturating_sub(*ago).into()),
        result: args.result.map_or("", Went::word).to_owned(),
        ..ListAuditRequest::default()
    };
    let mut records: Vec<AuditRecord> = Vec::new();
    let more = loop {
        let answer = client.audit.list_audit(request.clone()).await;
        let page = answer
            .map_err(|status| client.refusal(&status))?
            .into_inner();
        records.extend(page.records);
        if page.next_page_token.is_empty() || records.len() >= limit {
            break records.len() > limit || !page.next_page_token.is_empty();
        }
        request.page_token = page.next_page_token;
    };
    records.truncate(limit);
    if console.json_wanted() {
        let rows: Vec<_> = records.iter().map(json).collect();
        return console.print_json(&rows);
    }
    if records.is_empty() {
        console.note("No record.");
        return Ok(());
    }
    let now = now();
    let rows = records.iter().map(|record| {
        let what = match record.reason.as_str() {
            "" => cell(&record.detail),
            reason => cell(reason),
        };
        vec![
            relative(from_wire(record.at.as_ref()), now),
            record.result.clone(),
            cell(&record.action),
            cell(&record.target),
            cell(&record.actor),
            cell(&record.from),
            what,
        ]
    });
    let head = [
        "WHEN", "RESULT", "ACTION", "TARGET", "WHO", "FROM", "DETAIL",
    ];
    console.print(&table(&head, rows.collect(), &[]))?;
    if more {
        console.note("There are older ones: --all shows them, --limit more of them.");
    }
    Ok(())
}

fn json(record: &AuditRecord) -> RecordJson<'_> {
    RecordJson {
        id: record.id,
        at: rfc3339(record.at.as_ref()),
        actor: &record.actor,
        action: &record.action,
        target: &record.target,
        detail: &record.detail,
        from: &record.from,
        door: &record.door,
        gateway_name: &record.gateway_name,
        result: &record.result,
        reason: &record.reason,
    }
}
