//! `muster keys show`: all that is known of a key.

use serde::Serialize;

use super::gateways::{GatewayJson, lines};
use super::list::{details, resolve};
use super::rows::{KeyJson, key_sheet};
use crate::cli::connect::Client;
use crate::cli::error::CliError;
use crate::cli::outcomes::Failures;
use crate::cli::output::{Console, cell, plural, table};
use crate::cli::time::{from_wire, now, relative, rfc3339};
use crate::keys::Timestamp;
use crate::proto::admin::v1::{GetKeyResponse, Key, TelemetrySender};

/// All of a key for programs.
#[derive(Serialize)]
struct SheetJson<'a> {
    #[serde(flatten)]
    key: KeyJson,
    last_used_at: Option<String>,
    live_sessions: u64,
    current_agents: u64,
    registered_agents: u64,
    telemetry_senders_total: u64,
    telemetry_senders: Vec<SenderJson<'a>>,
    revocation: Option<RevocationJson>,
}

#[derive(Serialize)]
struct RevocationJson {
    complete: bool,
    gateways: Vec<GatewayJson>,
}

#[derive(Serialize)]
struct SenderJson<'a> {
    address: &'a str,
    agent_id: &'a str,
    first_export: Option<String>,
    last_export: Option<String>,
    exports: u64,
}

pub(super) async fn run(
    client: &mut Client,
    given: &[String],
    console: &mut Console,
) -> Result<(), CliError> {
    let mut found = Vec::new();
    let mut failures = Failures::default();
    for one in given {
        let answer = match resolve(client, one).await {
            Ok(id) => details(client, id).await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(mut answer) => {
                let key = answer.key.take().unwrap_or_default();
                found.push((key, answer));
            }
            Err(error) => failures.tell(console, one, error)?,
        }
    }
    if console.json_wanted() {
        let rows: Vec<_> = found.iter().map(|(key, rest)| json(key, rest)).collect();
        console.print_json(&rows)?;
    } else {
        let sheets = found.iter().map(|(key, rest)| sheet(key, rest, now()));
        console.print(&sheets.collect::<Vec<_>>().join("\n"))?;
    }
    failures.end()
}

fn json<'a>(key: &Key, rest: &'a GetKeyResponse) -> SheetJson<'a> {
    let sender = |sender: &'a TelemetrySender| SenderJson {
        address: &sender.address,
        agent_id: &sender.agent_id,
        first_export: rfc3339(sender.first_export.as_ref()),
        last_export: rfc3339(sender.last_export.as_ref()),
        exports: sender.exports,
    };
    SheetJson {
        key: KeyJson::from(key),
        last_used_at: rfc3339(key.last_used_at.as_ref()),
        live_sessions: key.live_sessions,
        current_agents: key.current_agents,
        registered_agents: key.registered_agents,
        telemetry_senders_total: rest.telemetry_senders_total,
        telemetry_senders: rest.telemetry_senders.iter().map(sender).collect(),
        revocation: rest.revocation.as_ref().map(|revocation| RevocationJson {
            complete: revocation.complete,
            gateways: revocation.gateways.iter().map(GatewayJson::from).collect(),
        }),
    }
}

fn sheet(key: &Key, rest: &GetKeyResponse, now: Timestamp) -> String {
    let total = rest.telemetry_senders_total;
    let senders = plural(total, "sender");
    let mut text = key_sheet(key, now);
    if let Some(revocation) = &rest.revocation {
        text += match revocation.complete {
            true => "  revoke    complete\n",
            false => {
                "  revoke    NOT COMPLETE: the key is revoked for good, but not every \
                      gateway has closed its sessions\n"
            }
        };
        let lines = lines(&revocation.gateways);
        lines
            .lines()
            .for_each(|line| text += &format!("          {line}\n"));
    }
    text += &format!("  telemetry {senders} in the last 5 minutes\n");
    if rest.telemetry_senders.is_empty() {
        return text;
    }
    let rows = rest.telemetry_senders.iter().map(|sender| {
        vec![
            cell(&sender.address),
            match sender.agent_id.as_str() {
                "" => "-".to_owned(),
                id => cell(id),
            },
            sender.exports.to_string(),
            relative(from_wire(sender.first_export.as_ref()), now),
            relative(from_wire(sender.last_export.as_ref()), now),
        ]
    });
    let header = ["SENDER", "AGENT", "EXPORTS", "FIRST", "LAST"];
    text += "\n";
    text += &table(&header, rows.collect(), &[]);
    let shown = u64::try_from(rest.telemetry_senders.len()).unwrap_or(u64::MAX);
    if total > shown {
        text += &format!("and {} more that exported before\n", total - shown);
    }
    text
}
