//! `muster agent-config`: the block for nginx-agent.conf.
//!
//! Must not know: the admin API; files of the data directory are enough, and
//! with `--agent-address` not even those.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::connect::DEFAULT_DATA_DIR;
use super::error::CliError;
use super::output::{Console, clean};
use crate::config::AgentAddress;

/// Where the CA goes on the agent's host.
const CA_THERE: &str = "/etc/nginx-agent/muster-ca.pem";

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  muster agent-config
  muster agent-config --agent-address muster.example.com:7443
  muster agent-config --key-file /run/secrets/muster.key >> /etc/nginx-agent/nginx-agent.conf

The key file holds the key alone, as `muster keys create NAME --key-out FILE`
writes it; an agent notices within seconds when it changes.
On a gateway with --tls-cert, `ca:` must be the CA of that certificate.")]
pub(super) struct AgentConfigArgs {
    /// The gateway's data directory [default: ./muster-data]
    #[arg(
        long,
        env = "MUSTER_DATA_DIR",
        hide_env_values = true,
        value_name = "DIR"
    )]
    data_dir: Option<PathBuf>,
    /// Where the key is on the agent's host
    #[arg(
        long,
        value_name = "PATH",
        default_value = "/etc/nginx-agent/muster.key"
    )]
    key_file: PathBuf,
    /// Where agents dial; left out: what the gateway was started with
    #[arg(
        long,
        env = "MUSTER_AGENT_ADDRESS",
        hide_env_values = true,
        value_name = "HOST:PORT"
    )]
    agent_address: Option<AgentAddress>,
}

/// The block as the agent reads it.
#[derive(Debug, Serialize)]
struct Block {
    command: CommandBlock,
}

#[derive(Debug, Serialize)]
struct CommandBlock {
    server: ServerBlock,
    auth: AuthBlock,
    tls: TlsBlock,
}

#[derive(Debug, Serialize)]
struct ServerBlock {
    host: String,
    port: u16,
    r#type: &'static str,
}

#[derive(Debug, Serialize)]
struct AuthBlock {
    tokenpath: String,
}

#[derive(Debug, Serialize)]
struct TlsBlock {
    ca: String,
    skip_verify: bool,
    server_name: String,
}

pub(super) fn run(args: &AgentConfigArgs, console: &mut Console) -> Result<(), CliError> {
    if args
        .key_file
        .to_string_lossy()
        .trim_start()
        .starts_with("dpk_")
    {
        return Err(CliError::Usage(
            "--key-file takes the path of a file that holds the key, not the key itself".to_owned(),
        ));
    }
    let dir = args
        .data_dir
        .clone()
        .unwrap_or_else(|| PathBuf::from(DEFAULT_DATA_DIR));
    let address = match &args.agent_address {
        Some(address) => address.clone(),
        None => address_from(&dir)?,
    };
    let block = block(&address, &args.key_file, &dir)?;
    if console.json_wanted() {
        return console.print_json(&block);
    }
    console.print(&yaml(&block, &dir)?)
}

/// The address that the gateway left in its data directory.
fn address_from(dir: &Path) -> Result<AgentAddress, CliError> {
    let file = dir.join("agent.address");
    let cure = "say where agents dial: --agent-address HOST:PORT (or MUSTER_AGENT_ADDRESS), or \
                name the data directory of a gateway: --data-dir DIR";
    let text = fs::read_to_string(&file).map_err(|error| {
        CliError::Usage(format!("can't read {}: {error}\n  {cure}", file.display()))
    })?;
    let address: AgentAddress = text.trim().parse().map_err(|error| {
        CliError::Usage(format!(
            "{}: {:?}: {error}\n  {cure}",
            file.display(),
            clean(text.trim())
        ))
    })?;
    if address
        .host
        .parse()
        .is_ok_and(|ip: IpAddr| ip.is_unspecified())
    {
        return Err(CliError::Usage(format!(
            "the gateway listens on {address}, all addresses of its host, and nobody can dial \
             that\n  say by which name or address agents reach it: --agent-address HOST:{}",
            address.port
        )));
    }
    Ok(address)
}

fn block(address: &AgentAddress, key_file: &Path, dir: &Path) -> Result<Block, CliError> {
    let here = address.is_loopback();
    let absolute = |path: &Path| {
        std::path::absolute(path)
            .map(|path| path.to_string_lossy().into_owned())
            .map_err(CliError::Runtime)
    };
    Ok(Block {
        command: CommandBlock {
            server: ServerBlock {
                host: address.host.clone(),
                port: address.port,
                r#type: "grpc",
            },
            auth: AuthBlock {
                // The agent's working directory is not ours.
                tokenpath: absolute(key_file)?,
            },
            tls: TlsBlock {
                // An agent on this host can read it where it is.
                ca: if here {
                    absolute(&dir.join("ca.pem"))?
                } else {
                    CA_THERE.to_owned()
                },
                skip_verify: false,
                server_name: if here {
                    "localhost".to_owned()
                } else {
                    address.host.clone()
                },
            },
        },
    })
}

/// Strings in JSON's quotes, which YAML reads too: a host such as `::1` or a
/// path with a colon in it needs them.
fn yaml(block: &Block, dir: &Path) -> Result<String, CliError> {
    let quoted = |text: &str| {
        serde_json::to_string(text).map_err(|error| CliError::Output(std::io::Error::other(error)))
    };
    let Block { command } = block;
    let copy = if command.tls.ca == CA_THERE {
        format!(
            "    # copy {} there from the gateway's host\n",
            clean(&dir.join("ca.pem").display().to_string())
        )
    } else {
        String::new()
    };
    Ok(format!(
        "# for /etc/nginx-agent/nginx-agent.conf\n\
         command:\n  \
           server:\n    \
             host: {host}\n    \
             port: {port}\n    \
             type: {kind}\n  \
           auth:\n    \
             tokenpath: {key}\n  \
           tls:\n\
         {copy}    \
             ca: {ca}\n    \
             skip_verify: {skip}\n    \
             server_name: {name}\n",
        host = quoted(&command.server.host)?,
        port = command.server.port,
        kind = command.server.r#type,
        key = quoted(&command.auth.tokenpath)?,
        ca = quoted(&command.tls.ca)?,
        skip = command.tls.skip_verify,
        name = quoted(&command.tls.server_name)?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(address: &str, dir: &Path) -> String {
        let address = address.parse().unwrap();
        let block = block(&address, Path::new("/etc/nginx-agent/muster.key"), dir).unwrap();
        yaml(&block, dir).unwrap()
    }

    #[test]
    fn on_this_host_the_block_works_as_it_is() {
        assert_eq!(
            printed("127.0.0.1:7443", Path::new("/var/lib/muster")),
            r#"# for /etc/nginx-agent/nginx-agent.conf
command:
  server:
    host: "127.0.0.1"
    port: 7443
    type: grpc
  auth:
    tokenpath: "/etc/nginx-agent/muster.key"
  tls:
    ca: "/var/lib/muster/ca.pem"
    skip_verify: false
    server_name: "localhost"
"#
        );
    }

    #[test]
    fn elsewhere_it_says_what_to_copy() {
        assert_eq!(
            printed("[2001:db8::7]:7443", Path::new("./muster-data")),
            r#"# for /etc/nginx-agent/nginx-agent.conf
command:
  server:
    host: "2001:db8::7"
    port: 7443
    type: grpc
  auth:
    tokenpath: "/etc/nginx-agent/muster.key"
  tls:
    # copy ./muster-data/ca.pem there from the gateway's host
    ca: "/etc/nginx-agent/muster-ca.pem"
    skip_verify: false
    server_name: "2001:db8::7"
"#
        );
    }

    #[test]
    fn the_gateways_own_address_is_used_if_it_can_be_dialled() {
        let dir = tempfile::tempdir().unwrap();
        let told = address_from(dir.path()).unwrap_err();
        assert!(told.to_string().contains("--agent-address HOST:PORT"));
        let file = dir.path().join("agent.address");
        fs::write(&file, "muster.example.com:7443\n").unwrap();
        let address = address_from(dir.path()).unwrap();
        assert_eq!(address.to_string(), "muster.example.com:7443");
        fs::write(&file, "0.0.0.0:7443").unwrap();
        let told = address_from(dir.path()).unwrap_err();
        assert!(told.to_string().contains("--agent-address HOST:7443"));
        assert_eq!(told.exit_code(), 2);
    }
}
