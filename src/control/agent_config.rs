//! What connects an NGINX Agent to a gateway: the block for nginx-agent.conf,
//! and ways to get it there.
//!
//! Owns: what of the data directory it needs, and where key and CA lie on the
//! agent's host. Must not know: its callers, a running gateway.
//! Invariant: nothing that is made here holds a key.

mod block;
pub mod quote;
mod target;

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

pub(crate) use block::Block;
pub(crate) use target::MOUNT;
pub use target::Target;

use crate::control::agent_config::quote::clean;
use crate::control::error::{AdminError, ErrorKind};
use crate::net::address::AgentAddress;
use block::{AuthBlock, CA_THERE, CommandBlock, ServerBlock, TlsBlock, Trust};

/// Where the key goes on the agent's host.
const KEY_THERE: &str = "/etc/nginx-agent/muster.key";

/// Why there is nothing to give.
#[derive(Debug, thiserror::Error)]
pub enum AgentConfigError {
    /// The gateway's note of where agents dial can't be read, or is none.
    #[error(
        "{file}: {why}\n  say where agents dial: --agent-address HOST:PORT (or \
         MUSTER_AGENT_ADDRESS), or name the data directory of a gateway: --data-dir DIR"
    )]
    Address {
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// "Every address" can't be dialled.
    #[error(
        "the gateway listens on {0}, all addresses of its host, which can't be dialled\n  say by \
         which name or address agents reach it: --agent-address HOST:{port}", port = .0.port
    )]
    Undiallable(AgentAddress),
    /// A pod's loopback is the pod.
    #[error(
        "a pod can't reach {0}: that is itself\n  let others in: muster serve --agent-listen \
         0.0.0.0:{port} --agent-address HOST:{port}, or say where agents dial: --agent-address \
         HOST:{port}", port = .0.port
    )]
    PodCantReach(AgentAddress),
    /// The CA can't be read, or is none.
    #[error(
        "{file}: {why}\n  name the gateway's data directory: --data-dir DIR; or say --trusted if \
         the agent's system trusts the gateway's certificate"
    )]
    Ca {
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// The working directory is gone.
    #[error("no working directory: {0}")]
    WorkingDirectory(#[from] io::Error),
}

impl AdminError for AgentConfigError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::PodCantReach(_) => ErrorKind::Conflict,
            Self::Address { .. }
            | Self::Undiallable(_)
            | Self::Ca { .. }
            | Self::WorkingDirectory(_) => ErrorKind::Unavailable,
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The gateway's data directory.
    pub data_dir: PathBuf,
    /// Where agents dial; `None`: what the gateway noted.
    pub address: Option<AgentAddress>,
    /// Where the key is on the agent's host; `None`: the usual place.
    pub key_file: Option<PathBuf>,
    /// The agent's system trusts the gateway's certificate.
    pub trusted: bool,
}

impl Wanted {
    /// The bare block.
    ///
    /// # Errors
    /// [`AgentConfigError`].
    pub fn block(&self) -> Result<Block, AgentConfigError> {
        let key_file = self.key_file.as_deref().unwrap_or(Path::new(KEY_THERE));
        self.block_for(&self.address()?, key_file)
    }

    /// What sets an agent up there.
    ///
    /// # Errors
    /// [`AgentConfigError`].
    pub fn text(&self, target: Target) -> Result<String, AgentConfigError> {
        let address = self.address()?;
        if target == Target::Kubernetes && address.is_loopback() {
            return Err(AgentConfigError::PodCantReach(address));
        }
        let usual = match target.is_container() {
            true => Path::new(MOUNT).join("key"),
            false => PathBuf::from(KEY_THERE),
        };
        let mut block = self.block_for(&address, self.key_file.as_ref().unwrap_or(&usual))?;
        // It goes along, or is mounted: nothing has to be copied by hand.
        block.copy_from = None;
        if let Some(ca) = &mut block.command.tls.ca {
            *ca = match target.is_container() {
                true => format!("{MOUNT}/ca.pem"),
                false => CA_THERE.to_owned(),
            };
        }
        let ca_here = self.data_dir.join("ca.pem");
        let ca_shown = ca_here.to_string_lossy();
        Ok(match target {
            Target::Host => {
                let ca = match block.trust {
                    Trust::Muster => read_ca(&ca_here)?,
                    Trust::System | Trust::Operator => String::new(),
                };
                target::host(&address.to_string(), &block.command, &block.yaml(), &ca)
            }
            Target::Docker => target::docker(&block.command, &ca_shown, address.is_loopback()),
            Target::Kubernetes => target::kubernetes(&block.command, &ca_shown),
        })
    }

    fn address(&self) -> Result<AgentAddress, AgentConfigError> {
        match &self.address {
            Some(address) => Ok(address.clone()),
            None => address_from(&self.data_dir),
        }
    }

    /// What the gateway noted about its certificate; without a note it is muster's.
    fn trust(&self) -> Trust {
        if self.trusted {
            return Trust::System;
        }
        match fs::read_to_string(self.data_dir.join("agent.tls")) {
            Ok(note) if note.trim() == "own" => Trust::Operator,
            Ok(_) | Err(_) => Trust::Muster,
        }
    }

    fn block_for(
        &self,
        address: &AgentAddress,
        key_file: &Path,
    ) -> Result<Block, AgentConfigError> {
        let trust = self.trust();
        let here = address.is_loopback();
        let absolute =
            |path: &Path| std::path::absolute(path).map(|path| path.to_string_lossy().into_owned());
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
                        Trust::Muster if here => Some(absolute(&self.data_dir.join("ca.pem"))?),
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
            copy_from: Some(self.data_dir.clone()),
            trust,
        })
    }
}

/// The CA that the script carries.
fn read_ca(file: &Path) -> Result<String, AgentConfigError> {
    let wrong = |why: String| AgentConfigError::Ca {
        file: file.display().to_string(),
        why,
    };
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
fn address_from(dir: &Path) -> Result<AgentAddress, AgentConfigError> {
    let file = dir.join("agent.address");
    let wrong = |why: String| AgentConfigError::Address {
        file: file.display().to_string(),
        why,
    };
    let text = fs::read_to_string(&file).map_err(|error| wrong(error.to_string()))?;
    let text = text.trim();
    let address: AgentAddress = text
        .parse()
        .map_err(|error| wrong(format!("{:?}: {error}", clean(text))))?;
    let ip = address.host.parse();
    match ip.is_ok_and(|ip: IpAddr| ip.is_unspecified()) {
        true => Err(AgentConfigError::Undiallable(address)),
        false => Ok(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(address: &str, dir: &Path) -> String {
        let wanted = Wanted {
            data_dir: dir.to_owned(),
            address: Some(address.parse().unwrap()),
            ..Wanted::default()
        };
        wanted.block().unwrap().yaml()
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
    }
}
