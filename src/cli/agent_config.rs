//! `muster agent-config`: the block for nginx-agent.conf, and ways to get it there.
//!
//! Must not know: the admin API; files of the data directory are enough, and
//! with `--agent-address` not even those, where no CA has to go along.

mod target;

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::connect::DEFAULT_DATA_DIR;
use super::error::CliError;
use super::output::{Console, clean};
use crate::config::AgentAddress;
use target::Target;

/// Where the CA goes on the agent's host.
const CA_THERE: &str = "/etc/nginx-agent/muster-ca.pem";
/// Where the key goes there.
const KEY_THERE: &str = "/etc/nginx-agent/muster.key";

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
    #[serde(skip_serializing_if = "Option::is_none")]
    ca: Option<String>,
    skip_verify: bool,
    server_name: String,
}

/// Whose CA the agent has to be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// muster's own.
    Muster,
    /// None: the operator says that the system has it.
    System,
    /// Somebody else's, by the gateway's --tls-cert; perhaps the system has it.
    Operator,
}

/// What `--for` prints for programs.
#[derive(Debug, Serialize)]
struct Printed<'a> {
    r#for: Target,
    text: &'a str,
}

pub(super) fn run(args: &AgentConfigArgs, console: &mut Console) -> Result<(), CliError> {
    let contained = matches!(args.target, Some(Target::Docker | Target::Kubernetes));
    if let Some(file) = &args.key_file {
        if file.to_string_lossy().trim_start().starts_with("dpk_") {
            return Err(CliError::Usage(
                "--key-file takes the path of a file that holds the key, not the key itself"
                    .to_owned(),
            ));
        }
        if contained {
            return Err(CliError::Usage(format!(
                "in a container the key is {}/key; leave --key-file out",
                target::MOUNT
            )));
        }
    }
    let dir = args
        .data_dir
        .clone()
        .unwrap_or_else(|| PathBuf::from(DEFAULT_DATA_DIR));
    let address = match &args.agent_address {
        Some(address) => address.clone(),
        None => address_from(&dir)?,
    };
    if args.target == Some(Target::Kubernetes) && address.is_loopback() {
        return Err(CliError::Usage(format!(
            "a pod can't reach {address}: that is itself\n  let others in: muster serve \
             --agent-listen 0.0.0.0:{port} --agent-address HOST:{port}, or say where agents dial: \
             --agent-address HOST:{port}",
            port = address.port
        )));
    }
    let trust = if args.trusted {
        Trust::System
    } else {
        trust_from(&dir)
    };
    let key_file = match &args.key_file {
        Some(file) => file.clone(),
        None if contained => Path::new(target::MOUNT).join("key"),
        None => PathBuf::from(KEY_THERE),
    };
    let mut block = block(&address, &key_file, &dir, trust)?;
    if let (Some(place), Some(ca)) = (args.target, &mut block.command.tls.ca) {
        *ca = match place {
            Target::Host => CA_THERE.to_owned(),
            Target::Docker | Target::Kubernetes => format!("{}/ca.pem", target::MOUNT),
        };
    }
    let Some(place) = args.target else {
        if console.json_wanted() {
            return console.print_json(&block);
        }
        return console.print(&yaml(&block, Some(&dir), trust)?);
    };
    let ca_here = dir.join("ca.pem");
    let ca_shown = ca_here.to_string_lossy();
    let text = match place {
        Target::Host => {
            let ca = match trust {
                Trust::Muster => read_ca(&ca_here)?,
                Trust::System | Trust::Operator => String::new(),
            };
            let yaml = yaml(&block, None, trust)?;
            target::host(&address.to_string(), &block.command, &yaml, &ca)
        }
        Target::Docker => target::docker(&block.command, &ca_shown, address.is_loopback()),
        Target::Kubernetes => target::kubernetes(&block.command, &ca_shown),
    };
    if console.json_wanted() {
        let r#for = place;
        return console.print_json(&Printed { r#for, text: &text });
    }
    console.print(&text)
}

/// What the gateway noted about its certificate; without a note it is muster's.
fn trust_from(dir: &Path) -> Trust {
    match fs::read_to_string(dir.join("agent.tls")) {
        Ok(note) if note.trim() == "own" => Trust::Operator,
        Ok(_) | Err(_) => Trust::Muster,
    }
}

/// The CA that the script carries.
fn read_ca(file: &Path) -> Result<String, CliError> {
    let cure = "name the gateway's data directory: --data-dir DIR; or say --trusted if the \
                agent's system trusts the gateway's certificate";
    let wrong = |why: String| CliError::Usage(format!("{}: {why}\n  {cure}", file.display()));
    let text = fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    // It goes into a script that root runs: nothing but a certificate may.
    let is_pem = |line: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "+/=- ".contains(c);
        line.chars().all(plain)
    };
    if text.starts_with("-----BEGIN CERTIFICATE-----") && text.lines().all(is_pem) {
        Ok(text)
    } else {
        Err(wrong("this is no certificate in PEM".to_owned()))
    }
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

fn block(
    address: &AgentAddress,
    key_file: &Path,
    dir: &Path,
    trust: Trust,
) -> Result<Block, CliError> {
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
                ca: match trust {
                    Trust::System | Trust::Operator => None,
                    Trust::Muster if here => Some(absolute(&dir.join("ca.pem"))?),
                    Trust::Muster => Some(CA_THERE.to_owned()),
                },
                skip_verify: false,
                // muster's own certificate is for localhost, too.
                server_name: if here && trust == Trust::Muster {
                    "localhost".to_owned()
                } else {
                    address.host.clone()
                },
            },
        },
    })
}

/// Strings in JSON's quotes, which YAML reads too: a host such as `::1` or a
/// path with a colon in it needs them. With `copy_from`, the CA has yet to be
/// copied from that data directory.
fn yaml(block: &Block, copy_from: Option<&Path>, trust: Trust) -> Result<String, CliError> {
    let quoted = |text: &str| {
        serde_json::to_string(text).map_err(|error| CliError::Output(std::io::Error::other(error)))
    };
    let Block { command } = block;
    let ca = match (&command.tls.ca, copy_from) {
        (Some(ca), Some(dir)) if ca == CA_THERE => format!(
            "    # copy {} there from the gateway's host\n    ca: {}\n",
            clean(&dir.join("ca.pem").display().to_string()),
            quoted(ca)?
        ),
        (Some(ca), _) => format!("    ca: {}\n", quoted(ca)?),
        (None, _) if trust == Trust::Operator => {
            "    # the gateway's certificate is from its --tls-cert; add ca: with the path of\n    \
             # that certificate's CA if the agent's system does not trust it\n"
                .to_owned()
        }
        (None, _) => String::new(),
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
         {ca}    \
             skip_verify: {skip}\n    \
             server_name: {name}\n",
        host = quoted(&command.server.host)?,
        port = command.server.port,
        kind = command.server.r#type,
        key = quoted(&command.auth.tokenpath)?,
        skip = command.tls.skip_verify,
        name = quoted(&command.tls.server_name)?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(address: &str, dir: &Path) -> String {
        let address = address.parse().unwrap();
        let key = Path::new(KEY_THERE);
        let block = block(&address, key, dir, Trust::Muster).unwrap();
        yaml(&block, Some(dir), Trust::Muster).unwrap()
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
