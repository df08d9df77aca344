//! `muster agents …`: agents and their NGINX instances.

mod delete;
mod rows;

use clap::{Args, Subcommand, ValueEnum};

use super::arguments::refuse_secret;
use super::connect::{Client, ConnectArgs};
use super::error::CliError;
use super::output::{Console, table};
use super::time::now;
use crate::cli::keys::list::resolve;
use crate::cli::pages::{PAGE, pages};
use crate::proto::admin::v1::{
    GetAgentRequest, Instance, InstanceStatus, ListAgentsRequest, ListInstancesRequest,
};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  muster agents list --key web
  muster agents list --status unavailable
  muster agents show 6ba7b810-9dad-11d1-80b4-00c04fd430c8")]
pub(super) struct AgentsArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(subcommand)]
    command: AgentsCommand,
}

#[derive(Debug, Subcommand)]
enum AgentsCommand {
    /// List agents, connected or not
    #[command(after_help = "Examples:
  muster agents list
  muster agents list --key web --ever
  muster agents list --status connected -o json")]
    List {
        /// Only agents whose last join was with this key: its id (key_…) or unambiguous name
        #[arg(long, value_name = "KEY")]
        key: Option<String>,
        /// Also agents that joined with that key once, and with another since
        #[arg(long, requires = "key")]
        ever: bool,
        /// Only agents of this status
        #[arg(long, value_enum, value_name = "STATUS")]
        status: Option<Connection>,
    },
    /// Show everything about an agent
    #[command(after_help = "Examples:
  muster agents show 6ba7b810-9dad-11d1-80b4-00c04fd430c8")]
    Show {
        /// The agent's id, from `muster agents list`
        #[arg(value_name = "ID")]
        agent: String,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Connection {
    Connected,
    Unavailable,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  muster instances list
  muster instances list --key web --status offline
  muster instances delete inst_0123456789ABCDEF")]
pub(super) struct InstancesArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(subcommand)]
    command: InstancesCommand,
}

#[derive(Debug, Subcommand)]
enum InstancesCommand {
    /// List the NGINX instances that agents report
    #[command(after_help = "Examples:
  muster instances list
  muster instances list --key web
  muster instances list --status offline -o json")]
    List {
        /// Only instances under this key: its id (key_…) or unambiguous name
        #[arg(long, value_name = "KEY")]
        key: Option<String>,
        /// Only instances of this status
        #[arg(long, value_enum, value_name = "STATUS")]
        status: Option<Status>,
    },
    /// Delete instances that are gone
    #[command(after_help = "Examples:
  muster instances delete inst_0123456789ABCDEF
  muster instances delete inst_0123456789ABCDEF inst_FEDCBA9876543210 -o json

One that its connected agent reports is not deleted: it would come back. Its agent
stays, also without any instance.")]
    Delete {
        /// Ids, from `muster instances list`
        #[arg(value_name = "ID", required = true)]
        instances: Vec<String>,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Status {
    Online,
    Offline,
    Unavailable,
    Unknown,
}

pub(super) async fn run(args: AgentsArgs, console: &mut Console) -> Result<(), CliError> {
    match args.command {
        AgentsCommand::List { key, ever, status } => {
            let request = ListAgentsRequest {
                ever,
                connection: match status {
                    None => 0,
                    Some(Connection::Connected) => 1,
                    Some(Connection::Unavailable) => 2,
                },
                page_size: PAGE,
                ..ListAgentsRequest::default()
            };
            list(&args.connect, key, request, console).await
        }
        AgentsCommand::Show { agent } => show(&args.connect, agent, console).await,
    }
}

pub(super) async fn run_instances(
    args: InstancesArgs,
    console: &mut Console,
) -> Result<(), CliError> {
    let (key, status) = match args.command {
        InstancesCommand::List { key, status } => (key, status),
        InstancesCommand::Delete { instances } => {
            return delete::run(&args.connect, instances, console).await;
        }
    };
    let request = ListInstancesRequest {
        status: match status {
            None => InstanceStatus::Unspecified,
            Some(Status::Online) => InstanceStatus::Online,
            Some(Status::Offline) => InstanceStatus::Offline,
            Some(Status::Unavailable) => InstanceStatus::Unavailable,
            Some(Status::Unknown) => InstanceStatus::Unknown,
        }
        .into(),
        page_size: PAGE,
        ..ListInstancesRequest::default()
    };
    let (mut client, key) = connect(&args.connect, key).await?;
    let request = ListInstancesRequest {
        key_object_id: key,
        ..request
    };
    let instances = all_instances(&mut client, request).await?;
    if console.json_wanted() {
        return console.print_json(
            &instances
                .iter()
                .map(rows::instance_json)
                .collect::<Vec<_>>(),
        );
    }
    if instances.is_empty() {
        console.note("No NGINX instance is reported. `muster agents list` shows the agents.");
        return Ok(());
    }
    console.print(&rows::instance_table(&instances, now()))
}

/// A connected client and the id of the key that was named; empty for none.
async fn connect(connect: &ConnectArgs, key: Option<String>) -> Result<(Client, String), CliError> {
    key.as_deref().map_or(Ok(()), refuse_secret)?;
    let mut client = connect.connect().await?;
    let key = match key {
        Some(key) => resolve(&mut client, &key).await?,
        None => String::new(),
    };
    Ok((client, key))
}

async fn list(
    args: &ConnectArgs,
    key: Option<String>,
    mut request: ListAgentsRequest,
    console: &mut Console,
) -> Result<(), CliError> {
    let (mut client, key) = connect(args, key).await?;
    request.key_object_id = key;
    let agents = pages(async |page_token| {
        request.page_token = page_token;
        let answer = client.agents.list_agents(request.clone()).await;
        let page = answer
            .map_err(|status| client.refusal(&status))?
            .into_inner();
        Ok((page.agents, page.next_page_token))
    })
    .await?;
    if console.json_wanted() {
        return console.print_json(&agents.iter().map(rows::agent_json).collect::<Vec<_>>());
    }
    if agents.is_empty() {
        console.note("No such agent. `muster agent-config` prints what connects one.");
        return Ok(());
    }
    console.print(&rows::agent_table(&agents, now()))?;
    for agent in agents.iter().filter(|agent| !agent.remark.is_empty()) {
        console.note(&rows::remark(agent));
    }
    Ok(())
}

async fn all_instances(
    client: &mut Client,
    mut request: ListInstancesRequest,
) -> Result<Vec<Instance>, CliError> {
    pages(async |page_token| {
        request.page_token = page_token;
        let answer = client.agents.list_instances(request.clone()).await;
        let page = answer
            .map_err(|status| client.refusal(&status))?
            .into_inner();
        Ok((page.instances, page.next_page_token))
    })
    .await
}

async fn show(args: &ConnectArgs, agent: String, console: &mut Console) -> Result<(), CliError> {
    refuse_secret(&agent)?;
    let mut client = args.connect().await?;
    let request = GetAgentRequest { agent_id: agent };
    let answer = client.agents.get_agent(request).await;
    let answer = answer
        .map_err(|status| client.refusal(&status))?
        .into_inner();
    let agent = answer.agent.unwrap_or_default();
    if console.json_wanted() {
        return console.print_json(&rows::agent_sheet_json(
            &agent,
            &answer.instances,
            &answer.registrations,
        ));
    }
    console.print(&rows::agent_sheet(&agent, now()))?;
    if !answer.instances.is_empty() {
        console.print("\n")?;
        console.print(&rows::instance_table(&answer.instances, now()))?;
    }
    console.print("\n")?;
    let (header, registrations) = rows::registration_rows(&answer.registrations, now());
    console.print(&table(&header, registrations, &[]))
}
