//! `muster agent-config`: what connects an agent, for people and programs.
//!
//! Must not know: the admin API; files of the data directory are enough, and
//! with `--agent-address` not even those, where no CA has to go along.

use std::path::PathBuf;

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::connect::DEFAULT_DATA_DIR;
use super::error::CliError;
use super::output::Console;
use crate::control::agent_config::{AgentConfigError, MOUNT, Target, Wanted};
use crate::net::address::AgentAddress;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  muster agent-config
  muster agent-config --agent-address muster.example.com:7443
  muster agent-config --key-file /run/secrets/muster.key >> /etc/nginx-agent/nginx-agent.conf
  muster agent-config --for host | ssh root@web1 sh
  muster agent-config --for docker
  muster agent-config --for kubernetes > muster-agent.yaml

The key file holds the key alone, as `muster keys create NAME --key-out FILE`
writes it; an agent notices within seconds when it changes.
On a gateway with --tls-cert, `ca:` is left out: the agent then trusts what its
system trusts. Where that is not the CA of the certificate, add `ca:` by hand.")]
pub(super) struct AgentConfigArgs {
    /// The gateway's data directory [default: ./muster-data]
    #[arg(
        long,
        env = "MUSTER_DATA_DIR",
        hide_env_values = true,
        value_name = "DIR"
    )]
    data_dir: Option<PathBuf>,
    /// Set up an agent there, instead of the bare block
    #[arg(long = "for", value_name = "WHERE")]
    target: Option<Target>,
    /// Where the key is on the agent's host [default: /etc/nginx-agent/muster.key]
    #[arg(long, value_name = "PATH")]
    key_file: Option<PathBuf>,
    /// The agent's system trusts the gateway's certificate: leave `ca:` out
    #[arg(long)]
    trusted: bool,
    /// Where agents dial; left out: what the gateway was started with
    #[arg(
        long,
        env = "MUSTER_AGENT_ADDRESS",
        hide_env_values = true,
        value_name = "HOST:PORT"
    )]
    agent_address: Option<AgentAddress>,
}

/// What `--for` prints for programs.
#[derive(Debug, Serialize)]
struct Printed<'a> {
    r#for: Target,
    text: &'a str,
}

impl ValueEnum for Target {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Host, Self::Docker, Self::Kubernetes]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self {
            Self::Host => "A shell script that sets this up, to be run as root on the agent's host",
            Self::Docker => "A `docker run` with the variables and mounts",
            Self::Kubernetes => "A patch for a Deployment, with key and CA in a volume",
        };
        Some(PossibleValue::new(self.as_str()).help(help))
    }
}

impl From<AgentConfigError> for CliError {
    fn from(error: AgentConfigError) -> Self {
        match error {
            AgentConfigError::WorkingDirectory(error) => Self::Runtime(error),
            other => Self::Usage(other.to_string()),
        }
    }
}

pub(super) fn run(args: &AgentConfigArgs, console: &mut Console) -> Result<(), CliError> {
    if let Some(file) = &args.key_file {
        if file.to_string_lossy().trim_start().starts_with("dpk_") {
            return Err(CliError::Usage(
                "--key-file takes the path of a file that holds the key, not the key itself"
                    .to_owned(),
            ));
        }
        if matches!(args.target, Some(Target::Docker | Target::Kubernetes)) {
            return Err(CliError::Usage(format!(
                "in a container the key is {MOUNT}/key; leave --key-file out"
            )));
        }
    }
    let dir = args.data_dir.clone();
    let wanted = Wanted {
        data_dir: dir.unwrap_or_else(|| PathBuf::from(DEFAULT_DATA_DIR)),
        address: args.agent_address.clone(),
        key_file: args.key_file.clone(),
        trusted: args.trusted,
    };
    let Some(place) = args.target else {
        let block = wanted.block()?;
        return match console.json_wanted() {
            true => console.print_json(&block),
            false => console.print(&block.yaml()),
        };
    };
    let text = wanted.text(place)?;
    match console.json_wanted() {
        true => console.print_json(&Printed {
            r#for: place,
            text: &text,
        }),
        false => console.print(&text),
    }
}
