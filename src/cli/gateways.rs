//! `muster gateways …`.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::connect::{Client, ConnectArgs};
use super::error::CliError;
use super::output::{Console, cell, table};
use super::time::{from_wire, now, relative, rfc3339};
use crate::cli::pages::PAGE;
use crate::proto::admin::v1::{ForgetGatewayRequest, Gateway, ListGatewaysRequest};

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  muster gateways list\n  muster gateways forget 5HbhWtXRhyItT8eu"
)]
pub(super) struct GatewaysArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(subcommand)]
    command: GatewaysCommand,
}

#[derive(Debug, Subcommand)]
enum GatewaysCommand {
    /// List the gateways that share the store
    #[command(after_help = "Examples:
  muster gateways list
  muster gateways list -o json

BEHIND: changes of keys that the gateway has yet to apply.
VIEW AGE: how long ago what it knows of the store was true, at most.
AGENTS AT: where its agent listener is bound.
unreachable: no heartbeat came for 3 s; it may still hold sessions.")]
    List,
    /// Forget a gateway that died, so that no revoke waits for it
    #[command(after_help = "Examples:
  muster gateways forget 5HbhWtXRhyItT8eu

A gateway that still reports is refused: stop it instead, and it signs off by itself.")]
    Forget {
        /// The id, as `muster gateways list` shows it
        #[arg(value_name = "ID")]
        gateway: String,
    },
}

/// A gateway for programs.
#[derive(Debug, Serialize)]
struct GatewayJson<'a> {
    gateway_id: &'a str,
    name: &'a str,
    version: &'a str,
    enrolled_at: Option<String>,
    last_heartbeat: Option<String>,
    applied_revision: u64,
    live_sessions: u64,
    answering: bool,
    agent_address: &'a str,
    admin_address: &'a str,
    view_age_milliseconds: u64,
    unreachable: bool,
}

pub(super) async fn run(args: GatewaysArgs, console: &mut Console) -> Result<(), CliError> {
    let mut client = args.connect.connect().await?;
    match args.command {
        GatewaysCommand::List => list(&mut client, console).await,
        GatewaysCommand::Forget { gateway } => forget(&mut client, gateway, console).await,
    }
}

async fn forget(
    client: &mut Client,
    gateway_id: String,
    console: &mut Console,
) -> Result<(), CliError> {
    let request = ForgetGatewayRequest {
        gateway_id: gateway_id.clone(),
    };
    let answer = client.gateways.forget_gateway(request).await;
    answer.map_err(|status| client.refusal(&status))?;
    if console.json_wanted() {
        return console.print_json(&serde_json::json!({ "forgotten": gateway_id }));
    }
    console.print(&format!("Forgot the gateway {}.\n", cell(&gateway_id)))
}

async fn list(client: &mut Client, console: &mut Console) -> Result<(), CliError> {
    let mut request = ListGatewaysRequest {
        page_size: PAGE,
        ..ListGatewaysRequest::default()
    };
    let mut gateways: Vec<Gateway> = Vec::new();
    let revision = loop {
        let answer = client.gateways.list_gateways(request.clone()).await;
        let page = answer
            .map_err(|status| client.refusal(&status))?
            .into_inner();
        gateways.extend(page.gateways);
        if page.next_page_token.is_empty() {
            break page.revision;
        }
        request.page_token = page.next_page_token;
    };
    if console.json_wanted() {
        let rows: Vec<GatewayJson> = gateways.iter().map(row).collect();
        return console.print_json(&rows);
    }
    if gateways.is_empty() {
        console.note("No gateway is enrolled.");
        return Ok(());
    }
    let now = now();
    let rows = gateways
        .iter()
        .map(|gateway| {
            let name = cell(&gateway.name);
            vec![
                cell(&gateway.gateway_id),
                match gateway.version.as_str() {
                    "" => "-".to_owned(),
                    version => cell(version),
                },
                relative(from_wire(gateway.enrolled_at.as_ref()), now),
                relative(from_wire(gateway.last_heartbeat.as_ref()), now),
                revision
                    .saturating_sub(gateway.applied_revision)
                    .to_string(),
                match gateway.last_heartbeat {
                    Some(_) => seconds(gateway.view_age_milliseconds),
                    None => "-".to_owned(),
                },
                gateway.live_sessions.to_string(),
                match gateway.agent_address.as_str() {
                    "" => "-".to_owned(),
                    address => cell(address),
                },
                match (gateway.answering, gateway.unreachable) {
                    (true, _) => format!("{name} (answering)"),
                    (false, true) => format!("{name} (unreachable)"),
                    (false, false) => name,
                },
            ]
        })
        .collect();
    let header = [
        "ID",
        "VERSION",
        "ENROLLED",
        "HEARTBEAT",
        "BEHIND",
        "VIEW AGE",
        "SESSIONS",
        "AGENTS AT",
        "NAME",
    ];
    console.print(&table(&header, rows, &[]))
}

fn row(gateway: &Gateway) -> GatewayJson<'_> {
    GatewayJson {
        gateway_id: &gateway.gateway_id,
        name: &gateway.name,
        version: &gateway.version,
        enrolled_at: rfc3339(gateway.enrolled_at.as_ref()),
        last_heartbeat: rfc3339(gateway.last_heartbeat.as_ref()),
        applied_revision: gateway.applied_revision,
        live_sessions: gateway.live_sessions,
        answering: gateway.answering,
        agent_address: &gateway.agent_address,
        admin_address: &gateway.admin_address,
        view_age_milliseconds: gateway.view_age_milliseconds,
        unreachable: gateway.unreachable,
    }
}

/// `0.9 s`.
fn seconds(milliseconds: u64) -> String {
    format!("{}.{} s", milliseconds / 1000, milliseconds % 1000 / 100)
}
