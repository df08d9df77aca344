//! `muster keys create`: the only time that a secret is shown.
//!
//! Invariant: a key's secret goes to one place, stdout or a new file of its
//! owner alone; if it can't be written there, that is said, with the key's id.

use std::fmt::Display;

use serde::Serialize;

use super::CreateArgs;
use super::durability::DurabilityJson;
use crate::cli::connect::Client;
use crate::cli::error::CliError;
use crate::cli::output::{Console, title};
use crate::cli::secret_file::SecretFile;
use crate::cli::time::{absolute, from_wire, now, rfc3339};
use crate::proto::admin::v1 as proto;

/// The answer to a create, for programs.
#[derive(Serialize)]
struct CreatedJson<'a> {
    name: &'a str,
    object_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_file: Option<String>,
    expires_at: Option<String>,
    #[serde(flatten)]
    durability: DurabilityJson,
}

pub(super) async fn run(
    client: &mut Client,
    args: CreateArgs,
    console: &mut Console,
) -> Result<(), CliError> {
    let path = args.key_out.as_deref();
    let file = path.map(|path| SecretFile::open(path, "key")).transpose()?;
    let answer = client
        .keys
        .create_key(proto::CreateKeyRequest {
            expires_at: args.expiry.wire(),
            name: args.name,
        })
        .await
        .map_err(|status| client.refusal(&status))?
        .into_inner();
    let key = answer.key.unwrap_or_default();
    let lost = |why: &dyn Display| SecretFile::lost("keys", &key.object_id, &key.name, why);
    let path = match file {
        Some(file) => Some(file.keep(&answer.secret).map_err(|e| lost(&e))?),
        None => None,
    };
    let durability = DurabilityJson::new(answer.durable, answer.replicas_acknowledged);
    let in_words = path.is_none().then_some(answer.secret.as_str());
    durability.warn(console);
    if console.json_wanted() {
        return console
            .print_json(&CreatedJson {
                name: &key.name,
                object_id: &key.object_id,
                key: in_words,
                key_file: path.map(|path| path.display().to_string()),
                expires_at: rfc3339(key.expires_at.as_ref()),
                durability,
            })
            .map_err(|error| lost(&error));
    }
    console.note(&format!(
        "Created {}; it expires {}.",
        title(&key.object_id, &key.name),
        absolute(from_wire(key.expires_at.as_ref()), now())
    ));
    if let Some(secret) = in_words {
        console.note("This is the key. It is shown this once and can't be had again:");
        console
            .print(&format!("{secret}\n"))
            .map_err(|error| lost(&error))?;
    }
    let from = match &path {
        Some(path) => format!(
            "The key is in {}; it can't be had again.\nNext: move it",
            path.display()
        ),
        None => "Next: put it".to_owned(),
    };
    console.note(&format!(
        "{from} to /etc/nginx-agent/muster.key (mode 0600) on the agent's host, and what\n  \
         muster agent-config --key-file /etc/nginx-agent/muster.key\nprints into \
         /etc/nginx-agent/nginx-agent.conf there."
    ));
    Ok(())
}
