//! The block for nginx-agent.conf.
//!
//! Must not know: where its values come from. Invariant: it holds no key.

use std::path::PathBuf;

use serde::Serialize;

use crate::control::agent_config::quote::clean;

/// Where the CA goes on the agent's host.
pub(super) const CA_THERE: &str = "/etc/nginx-agent/muster-ca.pem";

/// The block as the agent reads it.
#[derive(Debug, Serialize)]
pub struct Block {
    pub(super) command: CommandBlock,
    /// Where the CA has yet to be copied from.
    #[serde(skip)]
    pub(super) copy_from: Option<PathBuf>,
    #[serde(skip)]
    pub(super) trust: Trust,
}

#[derive(Debug, Serialize)]
pub(super) struct CommandBlock {
    pub server: ServerBlock,
    pub auth: AuthBlock,
    pub tls: TlsBlock,
}

#[derive(Debug, Serialize)]
pub(super) struct ServerBlock {
    pub host: String,
    pub port: u16,
    pub r#type: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct AuthBlock {
    pub tokenpath: String,
}

#[derive(Debug, Serialize)]
pub(super) struct TlsBlock {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    pub skip_verify: bool,
    pub server_name: String,
}

/// The CA that the agent has to be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    Muster,
    /// None: the operator says that the system has it.
    System,
    /// Another one, by the gateway's --tls-cert; perhaps the system has it.
    Operator,
}

impl Block {
    /// Strings in JSON's quotes, which YAML reads too: a host such as `::1` or a
    /// path with a colon in it needs them.
    pub fn yaml(&self) -> String {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let command = &self.command;
        let ca = match (&command.tls.ca, &self.copy_from) {
        (Some(ca), Some(dir)) if ca == CA_THERE => format!(
            "    # copy {} there from the gateway's host\n    ca: {}\n",
            clean(&dir.join("ca.pem").display().to_string()),
            quoted(ca)
        ),
        (Some(ca), _) => format!("    ca: {}\n", quoted(ca)),
        (None, _) if self.trust == Trust::Operator => {
            "    # the gateway's certificate is from its --tls-cert; add ca: with the path of\n    \
             # that certificate's CA if the agent's system does not trust it\n"
                .to_owned()
        }
        (None, _) => String::new(),
    };
        format!(
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
            host = quoted(&command.server.host),
            port = command.server.port,
            kind = command.server.r#type,
            key = quoted(&command.auth.tokenpath),
            skip = command.tls.skip_verify,
            name = quoted(&command.tls.server_name),
        )
    }
}
