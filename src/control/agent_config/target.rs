//! The same block as a script for a host, as variables for Docker, as a patch
//! for Kubernetes.
//!
//! Must not know: where the block's values come from. Invariant: none of these
//! holds a key.

use std::str::FromStr;

use serde::Serialize;

use super::block::{CA_THERE, CommandBlock};
use crate::control::agent_config::quote::{clean, quoted};

/// The script; what stands between two `@` is filled in.
const HOST: &str = include_str!("host.sh");
/// Where a container finds key and CA: a directory, since a file that is mounted
/// by itself never shows its replacement.
pub const MOUNT: &str = "/etc/muster";

/// Where the agent runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// A shell script that sets this up, to be run as root on the agent's host.
    Host,
    /// A `docker run` with the variables and mounts.
    Docker,
    /// A patch for a Deployment, with key and CA in a volume.
    Kubernetes,
}

impl Target {
    /// Its name, as in the command line and in REST.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Docker => "docker",
            Self::Kubernetes => "kubernetes",
        }
    }

    /// What a file with its text is called.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Host => "muster-agent.sh",
            Self::Docker => "muster-agent-docker.sh",
            Self::Kubernetes => "muster-agent.yaml",
        }
    }

    pub(super) fn is_container(self) -> bool {
        matches!(self, Self::Docker | Self::Kubernetes)
    }
}

impl FromStr for Target {
    type Err = NoTarget;

    fn from_str(text: &str) -> Result<Self, NoTarget> {
        let all = [Self::Host, Self::Docker, Self::Kubernetes];
        let named = all.into_iter().find(|target| target.as_str() == text);
        named.ok_or(NoTarget)
    }
}

/// A text names no [`Target`].
#[derive(Debug, thiserror::Error)]
#[error("must be host, docker or kubernetes")]
pub struct NoTarget;

/// The script. `block` is the YAML; `ca` is the CA's PEM, empty where the system
/// trusts the certificate.
pub(super) fn host(address: &str, command: &CommandBlock, block: &str, ca: &str) -> String {
    // The texts that are not ours come last: nothing in them is filled in.
    HOST.replace("@ADDRESS@", &clean(address))
        .replace("@CA_PATH@", CA_THERE)
        .replace("@KEY_FILE@", &quoted(&command.auth.tokenpath))
        .replace("@CA@", &ended(ca))
        .replace("@BLOCK@", &ended(block))
}

/// A here-doc's end stands on a line of its own.
fn ended(text: &str) -> String {
    match text {
        "" => String::new(),
        text if text.ends_with('\n') => text.to_owned(),
        text => format!("{text}\n"),
    }
}

/// The environment variables that say what the block says.
fn variables(command: &CommandBlock) -> Vec<(&'static str, String)> {
    let mut all = vec![
        (
            "NGINX_AGENT_COMMAND_SERVER_HOST",
            command.server.host.clone(),
        ),
        (
            "NGINX_AGENT_COMMAND_SERVER_PORT",
            command.server.port.to_string(),
        ),
        (
            "NGINX_AGENT_COMMAND_SERVER_TYPE",
            command.server.r#type.to_owned(),
        ),
        (
            "NGINX_AGENT_COMMAND_AUTH_TOKENPATH",
            command.auth.tokenpath.clone(),
        ),
        (
            "NGINX_AGENT_COMMAND_TLS_SERVER_NAME",
            command.tls.server_name.clone(),
        ),
        (
            "NGINX_AGENT_COMMAND_TLS_SKIP_VERIFY",
            command.tls.skip_verify.to_string(),
        ),
    ];
    if let Some(ca) = &command.tls.ca {
        all.push(("NGINX_AGENT_COMMAND_TLS_CA", ca.clone()));
    }
    all
}

/// `ca_here` is where the CA lies on the gateway's host.
pub(super) fn docker(command: &CommandBlock, ca_here: &str, loopback: bool) -> String {
    let mut text = "# Key and CA are mounted as one directory; in it a replaced key reaches the\n\
                    # agent. Its user in the container must be able to read both.\n\
                    #   mkdir muster-agent\n\
                    #   muster keys create NAME --key-out muster-agent/key\n"
        .to_owned();
    if command.tls.ca.is_some() {
        text += &format!("#   cp {} muster-agent/ca.pem\n", quoted(&clean(ca_here)));
    }
    text += "# IMAGE: one with NGINX and NGINX Agent v3 in it.\ndocker run -d \\\n";
    if loopback {
        // In a network of its own, a container's loopback is not this host's.
        text += "  --network host \\\n";
    }
    for (name, value) in variables(command) {
        text += &format!("  -e {name}={} \\\n", quoted(&value));
    }
    text + &format!("  -v \"$PWD/muster-agent:{MOUNT}:ro\" \\\n  IMAGE\n")
}

/// Strings in JSON's quotes, which YAML reads too.
pub(super) fn kubernetes(command: &CommandBlock, ca_here: &str) -> String {
    let mut text = "# For: kubectl patch deployment NAME --patch-file THIS-FILE\n\
                    # CONTAINER: the one with NGINX and NGINX Agent v3. Before that, the key; it is\n\
                    # in no manifest, so none can overwrite or publish it:\n\
                    #   muster keys create NAME --key-out muster.key\n\
                    #   kubectl create secret generic muster-key --from-file=key=muster.key\n"
        .to_owned();
    if command.tls.ca.is_some() {
        text += &format!(
            "# and the gateway's CA, from its host:\n\
             #   kubectl create configmap muster-ca --from-file=ca.pem={}\n",
            quoted(&clean(ca_here))
        );
    }
    text += "spec:\n  template:\n    spec:\n      containers:\n        - name: CONTAINER\n\
             \x20         env:\n";
    for (name, value) in variables(command) {
        let value = serde_json::Value::from(value);
        text += &format!("            - {{name: {name}, value: {value}}}\n");
    }
    text += &format!(
        "          volumeMounts:\n\
         \x20           - {{name: muster, mountPath: {MOUNT}, readOnly: true}}\n\
         \x20     volumes:\n\
         \x20       - name: muster\n\
         \x20         projected:\n\
         \x20           sources:\n\
         \x20             - secret: {{name: muster-key, items: [{{key: key, path: key}}]}}\n"
    );
    if command.tls.ca.is_some() {
        text +=
            "              - configMap: {name: muster-ca, items: [{key: ca.pem, path: ca.pem}]}\n";
    }
    text
}
