//! Keys as a gateway lists them, and the one that an argument names.

use super::rows::status_word;
use crate::cli::arguments::refuse_secret;
use crate::cli::connect::Client;
use crate::cli::error::CliError;
use crate::cli::pages::PAGE;
use crate::control::agent_config::quote::clean;
use crate::keys::KeyId;
use crate::proto::admin::v1::{GetKeyRequest, GetKeyResponse, Key, ListKeysRequest};

/// The id that a KEY argument names: itself, or the one key of that name.
pub(in crate::cli) async fn resolve(client: &mut Client, given: &str) -> Result<String, CliError> {
    refuse_secret(given)?;
    if given.parse::<KeyId>().is_ok() {
        return Ok(given.to_owned());
    }
    let found = list(
        client,
        ListKeysRequest {
            name: given.to_owned(),
            ..ListKeysRequest::default()
        },
    )
    .await?
    .keys;
    match found.as_slice() {
        [only] => Ok(only.object_id.clone()),
        [] => Err(CliError::Refused(format!(
            "no key has the name \"{}\", and it is no id (key_ and 16 letters or digits)\n  \
             `muster keys list` shows all keys",
            clean(given)
        ))),
        several => {
            let ids: Vec<String> = several
                .iter()
                .map(|key| format!("\n  {}  {}", clean(&key.object_id), status_word(key)))
                .collect();
            Err(CliError::Refused(format!(
                "{} keys have the name \"{}\"; name one by its id:{}",
                several.len(),
                clean(given),
                ids.concat()
            )))
        }
    }
}

/// What a list call found, all pages together.
#[derive(Debug, Default)]
pub(in crate::cli) struct Listed {
    pub keys: Vec<Key>,
    pub unreadable: Vec<String>,
}

/// All pages of a list.
pub(in crate::cli) async fn list(
    client: &mut Client,
    mut request: ListKeysRequest,
) -> Result<Listed, CliError> {
    request.page_size = PAGE;
    let mut all = Listed::default();
    loop {
        let answer = client.keys.list_keys(request.clone()).await;
        let page = answer
            .map_err(|status| client.refusal(&status))?
            .into_inner();
        all.keys.extend(page.keys);
        all.unreadable.extend(page.unreadable);
        if page.next_page_token.is_empty() {
            return Ok(all);
        }
        request.page_token = page.next_page_token;
    }
}

/// One key by its id.
pub(super) async fn get(client: &mut Client, object_id: String) -> Result<Key, CliError> {
    let answer = details(client, object_id).await?;
    Ok(answer.key.unwrap_or_default())
}

/// A key by its id, and the senders of telemetry under it.
pub(super) async fn details(
    client: &mut Client,
    object_id: String,
) -> Result<GetKeyResponse, CliError> {
    let request = GetKeyRequest { object_id };
    let answer = client.keys.get_key(request).await;
    let answer = answer.map_err(|status| client.refusal(&status))?;
    Ok(answer.into_inner())
}
