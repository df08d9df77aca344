//! `muster sessions …`.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::arguments::refuse_secret;
use super::connect::ConnectArgs;
use super::error::CliError;
use super::output::{Console, cell, clean, table};
use super::time::{from_wire, now, relative, rfc3339};
use crate::cli::keys::list::resolve;
use crate::cli::pages::{PAGE, pages};
use crate::proto::admin::v1::{DisconnectSessionRequest, ListSessionsRequest, Session};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  muster sessions list --key web
  muster sessions disconnect 3f9a1c2b-17")]
pub(super) struct SessionsArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(subcommand)]
    command: SessionsCommand,
}

#[derive(Debug, Subcommand)]
enum SessionsCommand {
    /// List the live sessions of all gateways
    #[command(after_help = "Examples:
  muster sessions list
  muster sessions list --key web
  muster sessions list -o json")]
    List {
        /// Only sessions under this key: its id (key_…) or unambiguous name
        #[arg(long, value_name = "KEY")]
        key: Option<String>,
    },
    /// End one session; its agent may come back at once
    #[command(after_help = "Examples:
  muster sessions disconnect 3f9a1c2b-17

To keep an agent out, revoke its key: muster keys revoke KEY")]
    Disconnect {
        /// The session's id, from `muster sessions list`
        #[arg(value_name = "ID")]
        session: String,
    },
}

/// A session for programs.
#[derive(Debug, Serialize)]
struct SessionJson<'a> {
    session_id: &'a str,
    gateway_id: &'a str,
    gateway_name: &'a str,
    key_object_id: &'a str,
    agent_id: &'a str,
    peer: &'a str,
    user_agent: &'a str,
    opened_at: Option<String>,
}

/// The end of a session, for programs.
#[derive(Debug, Serialize)]
struct DisconnectedJson<'a> {
    session_id: &'a str,
    closed: bool,
    milliseconds: u64,
}

pub(super) async fn run(args: SessionsArgs, console: &mut Console) -> Result<(), CliError> {
    match args.command {
        SessionsCommand::List { key } => list(&args.connect, key, console).await,
        SessionsCommand::Disconnect { session } => {
            disconnect(&args.connect, session, console).await
        }
    }
}

async fn list(
    connect: &ConnectArgs,
    key: Option<String>,
    console: &mut Console,
) -> Result<(), CliError> {
    key.as_deref().map_or(Ok(()), refuse_secret)?;
    let mut client = connect.connect().await?;
    let mut request = ListSessionsRequest {
        page_size: PAGE,
        ..ListSessionsRequest::default()
    };
    if let Some(key) = key {
        request.key_object_id = resolve(&mut client, &key).await?;
    }
    let sessions = pages(async |page_token| {
        request.page_token = page_token;
        let answer = client.sessions.list_sessions(request.clone()).await;
        let page = answer
            .map_err(|status| client.refusal(&status))?
            .into_inner();
        Ok((page.sessions, page.next_page_token))
    })
    .await?;
    if console.json_wanted() {
        let rows: Vec<SessionJson> = sessions.iter().map(row).collect();
        return console.print_json(&rows);
    }
    if sessions.is_empty() {
        console.note(if request.key_object_id.is_empty() {
            "No agent is connected. `muster agent-config` prints what connects one."
        } else {
            "No agent is connected under this key."
        });
        return Ok(());
    }
    let now = now();
    let rows = sessions
        .iter()
        .map(|session| {
            vec![
                cell(&session.session_id),
                cell(&session.key_object_id),
                cell(&session.agent_id),
                cell(&session.peer),
                relative(from_wire(session.opened_at.as_ref()), now),
                cell(&session.gateway_name),
                cell(&session.user_agent),
            ]
        })
        .collect();
    let header = [
        "ID",
        "KEY",
        "AGENT",
        "ADDRESS",
        "OPENED",
        "GATEWAY",
        "USER AGENT",
    ];
    console.print(&table(&header, rows, &[]))
}

fn row(session: &Session) -> SessionJson<'_> {
    SessionJson {
        session_id: &session.session_id,
        gateway_id: &session.gateway_id,
        gateway_name: &session.gateway_name,
        key_object_id: &session.key_object_id,
        agent_id: &session.agent_id,
        peer: &session.peer,
        user_agent: &session.user_agent,
        opened_at: rfc3339(session.opened_at.as_ref()),
    }
}

async fn disconnect(
    connect: &ConnectArgs,
    session_id: String,
    console: &mut Console,
) -> Result<(), CliError> {
    refuse_secret(&session_id)?;
    let mut client = connect.connect().await?;
    let request = DisconnectSessionRequest {
        session_id: session_id.clone(),
    };
    let answer = client.sessions.disconnect_session(request).await;
    let done = answer
        .map_err(|status| client.refusal(&status))?
        .into_inner();
    if console.json_wanted() {
        return console.print_json(&DisconnectedJson {
            session_id: &session_id,
            closed: done.closed,
            milliseconds: done.milliseconds,
        });
    }
    let how = if done.closed {
        "closed in"
    } else {
        "ended, but its stream still stood after"
    };
    console.print(&format!(
        "{}: {how} {} ms\n",
        clean(&session_id),
        done.milliseconds
    ))?;
    console.note("Its agent may come back at once; to keep it out, revoke its key.");
    Ok(())
}
