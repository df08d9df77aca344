//! `muster events`: what happened.

use clap::Args;
use serde::Serialize;

use super::arguments::refuse_secret;
use super::connect::ConnectArgs;
use super::error::CliError;
use super::output::{Console, cell, clean};
use super::time::rfc3339;
use crate::cli::keys::list::resolve;
use crate::proto::admin::v1::{Event, StreamEventsRequest};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  muster events                             the last 10,000 events, oldest first
  muster events --key web | tail            what happened to a key lately
  muster events --since 4711 --follow       from there on, and what is to come
  muster events -o json                     one array; with --follow one object a line")]
pub(super) struct EventsArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// Keep printing new events until interrupted
    #[arg(short, long)]
    follow: bool,
    /// Only events of this key: its id (key_…) or unambiguous name
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Only events after the one of this id
    #[arg(
        long,
        value_name = "ID",
        default_value_t = 0,
        hide_default_value = true
    )]
    since: u64,
}

/// An event for programs.
#[derive(Serialize)]
struct EventJson<'a> {
    id: u64,
    at: Option<String>,
    kind: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    key_object_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    agent_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    gateway_name: &'a str,
    detail: &'a str,
}

pub(super) async fn run(args: EventsArgs, console: &mut Console) -> Result<(), CliError> {
    args.key.as_deref().map_or(Ok(()), refuse_secret)?;
    let mut client = args.connect.connect().await?;
    let key_object_id = match &args.key {
        Some(key) => resolve(&mut client, key).await?,
        None => String::new(),
    };
    let request = StreamEventsRequest {
        since_id: args.since,
        key_object_id,
        follow: args.follow,
    };
    let answer = client.events.stream_events(request).await;
    let mut stream = answer
        .map_err(|status| client.refusal(&status))?
        .into_inner();
    let mut kept = Vec::new();
    let mut told = false;
    loop {
        let next = stream.message().await;
        let Some(batch) = next.map_err(|status| client.refusal(&status))? else {
            break;
        };
        if batch.missed > 0 {
            console.note(&format!("{} events are not kept any more.", batch.missed));
        }
        told |= !batch.events.is_empty();
        match (console.json_wanted(), args.follow) {
            (true, true) => {
                for event in &batch.events {
                    console.print_json_line(&json(event))?;
                }
            }
            (true, false) => kept.extend(batch.events),
            (false, _) => {
                let lines: String = batch.events.iter().map(line).collect();
                console.print(&lines)?;
            }
        }
    }
    if console.json_wanted() {
        return console.print_json(&kept.iter().map(json).collect::<Vec<_>>());
    }
    if !told {
        console.note("No such event.");
    }
    Ok(())
}

fn json(event: &Event) -> EventJson<'_> {
    EventJson {
        id: event.id,
        at: rfc3339(event.at.as_ref()),
        kind: &event.kind,
        key_object_id: &event.key_object_id,
        agent_id: &event.agent_id,
        gateway_name: &event.gateway_name,
        detail: &event.detail,
    }
}

/// Columns of fixed width: with --follow the coming rows are unknown.
fn line(event: &Event) -> String {
    let or_dash = |text: &str| {
        if text.is_empty() {
            "-".to_owned()
        } else {
            cell(text)
        }
    };
    format!(
        "{:>7}  {:<24}  {:<18}  {:<20}  {:<36}  {:<12}  {}\n",
        event.id,
        rfc3339(event.at.as_ref()).unwrap_or_default(),
        cell(&event.kind),
        or_dash(&event.key_object_id),
        or_dash(&event.agent_id),
        or_dash(&event.gateway_name),
        clean(&event.detail)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_aligned_and_harmless() {
        let event = Event {
            id: 7,
            at: Some(prost_types::Timestamp::default()),
            kind: "agent_joined".into(),
            detail: "\u{1b}[2J".into(),
            gateway_name: "edge-1".into(),
            ..Event::default()
        };
        let told = line(&event);
        assert!(told.contains("  edge-1        \\u{1b}"), "{told:?}");
        assert!(told.starts_with("      7  1970-01-01T00:00:00Z      agent_joined "));
        assert!(told.ends_with("  \\u{1b}[2J\n"), "{told:?}");
    }
}
