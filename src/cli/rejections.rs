//! `muster rejections …`.

use clap::{Args, Subcommand};
use serde::Serialize;
use uuid::Uuid;

use super::arguments::refuse_secret;
use super::connect::ConnectArgs;
use super::error::CliError;
use super::output::{Console, cell, clean, table};
use super::time::{from_wire, now, relative, rfc3339};
use crate::cli::keys::list::resolve;
use crate::cli::pages::{PAGE, pages};
use crate::keys::Timestamp;
use crate::proto::admin::v1::{ListRejectionsRequest, Rejection};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  muster rejections list
  muster rejections list --key web")]
pub(super) struct RejectionsArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(subcommand)]
    command: RejectionsCommand,
}

#[derive(Debug, Subcommand)]
enum RejectionsCommand {
    /// List the last refusals of all gateways, newest first, and what to do
    #[command(after_help = "Examples:
  muster rejections list
  muster rejections list --key web
  muster rejections list --agent 7f0c2f5e-0f43-3d2b-8b7e-1a3f5c9d2e60
  muster rejections list -o json

What is alike in reason, key, agent, address and gateway is one row. An agent's id is
what it calls itself; failed TLS handshakes are known by their address alone.")]
    List {
        /// Only refusals that name this key: its id (key_…) or unambiguous name
        #[arg(long, value_name = "KEY")]
        key: Option<String>,
        /// Only refusals of this agent: its resource id, a UUID
        #[arg(long, value_name = "ID")]
        agent: Option<String>,
    },
}

/// Refusals alike, for programs.
#[derive(Debug, Serialize)]
struct RejectionJson<'a> {
    reason: &'a str,
    meaning: &'a str,
    cure: &'a str,
    key_object_id: &'a str,
    agent_id: &'a str,
    address: &'a str,
    gateway_id: &'a str,
    gateway_name: &'a str,
    count: u64,
    first_at: Option<String>,
    last_at: Option<String>,
}

pub(super) async fn run(args: RejectionsArgs, console: &mut Console) -> Result<(), CliError> {
    let RejectionsCommand::List { key, agent } = args.command;
    list(&args.connect, key, agent, console).await
}

async fn list(
    connect: &ConnectArgs,
    key: Option<String>,
    agent: Option<String>,
    console: &mut Console,
) -> Result<(), CliError> {
    for given in [&key, &agent].into_iter().flatten() {
        refuse_secret(given)?;
    }
    let agent = agent.as_deref().map(agent_id).transpose()?;
    let mut client = connect.connect().await?;
    let mut request = ListRejectionsRequest {
        page_size: PAGE,
        agent_id: agent.unwrap_or_default(),
        ..ListRejectionsRequest::default()
    };
    if let Some(key) = key {
        request.key_object_id = resolve(&mut client, &key).await?;
    }
    let rejections = pages(async |page_token| {
        request.page_token = page_token;
        let answer = client.rejections.list_rejections(request.clone()).await;
        let page = answer
            .map_err(|status| client.refusal(&status))?
            .into_inner();
        Ok((page.rejections, page.next_page_token))
    })
    .await?;
    if console.json_wanted() {
        let rows: Vec<RejectionJson> = rejections.iter().map(row).collect();
        return console.print_json(&rows);
    }
    if rejections.is_empty() {
        let all = request.key_object_id.is_empty() && request.agent_id.is_empty();
        console.note(if all {
            "Nothing was refused since the gateway started. An agent that is missing in `muster \
             sessions list`, too, did not reach it: look at its log, the address, the firewalls."
        } else {
            "Nothing of that kind was refused since the gateway started; without --key and \
             --agent all is shown (a credential that is no key names none)."
        });
        return Ok(());
    }
    console.print(&sheet(&rejections, now()))
}

fn agent_id(given: &str) -> Result<String, CliError> {
    match Uuid::try_parse(given.trim()) {
        Ok(id) => Ok(id.to_string()),
        Err(_) => Err(CliError::Usage(format!(
            "--agent {:?} is no agent's id, which is a UUID; `muster sessions list` and `muster \
             rejections list` show them",
            clean(given)
        ))),
    }
}

/// The table, and each reason in it in words.
fn sheet(rejections: &[Rejection], now: Timestamp) -> String {
    let rows = rejections
        .iter()
        .map(|rejection| {
            vec![
                relative(from_wire(rejection.last_at.as_ref()), now),
                rejection.count.to_string(),
                cell(&rejection.reason),
                or_dash(&rejection.key_object_id),
                or_dash(&rejection.agent_id),
                or_dash(&rejection.address),
                cell(&rejection.gateway_name),
            ]
        })
        .collect();
    let header = [
        "LAST", "COUNT", "REASON", "KEY", "AGENT", "ADDRESS", "GATEWAY",
    ];
    let mut text = table(&header, rows, &[]);
    let mut told: Vec<&str> = Vec::new();
    for rejection in rejections {
        if told.contains(&rejection.reason.as_str()) {
            continue;
        }
        told.push(&rejection.reason);
        text.push_str(&format!(
            "\n{}: {} {}\n",
            clean(&rejection.reason),
            clean(&rejection.meaning),
            clean(&rejection.cure)
        ));
    }
    text
}

fn or_dash(text: &str) -> String {
    if text.is_empty() {
        "-".to_owned()
    } else {
        cell(text)
    }
}

fn row(rejection: &Rejection) -> RejectionJson<'_> {
    RejectionJson {
        reason: &rejection.reason,
        meaning: &rejection.meaning,
        cure: &rejection.cure,
        key_object_id: &rejection.key_object_id,
        agent_id: &rejection.agent_id,
        address: &rejection.address,
        gateway_id: &rejection.gateway_id,
        gateway_name: &rejection.gateway_name,
        count: rejection.count,
        first_at: rfc3339(rejection.first_at.as_ref()),
        last_at: rfc3339(rejection.last_at.as_ref()),
    }
}
