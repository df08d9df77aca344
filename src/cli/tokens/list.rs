//! Tokens as a gateway lists them, and the one that an argument names.

use crate::cli::connect::Client;
use crate::cli::error::CliError;
use crate::cli::pages::{PAGE, pages};
use crate::control::agent_config::quote::clean;
use crate::keys::TokenId;
use crate::proto::admin::v1::ListTokensRequest;
use crate::proto::admin::v1::Role;
use crate::proto::admin::v1::Token;

/// All pages of the list.
pub(super) async fn all(client: &mut Client) -> Result<Vec<Token>, CliError> {
    let mut request = ListTokensRequest {
        page_size: PAGE,
        ..ListTokensRequest::default()
    };
    pages(async |page_token| {
        request.page_token = page_token;
        let answer = client.tokens.list_tokens(request.clone()).await;
        let page = answer
            .map_err(|status| client.refusal(&status))?
            .into_inner();
        Ok((page.tokens, page.next_page_token))
    })
    .await
}

pub(super) fn role_word(token: &Token) -> &'static str {
    match token.role() {
        Role::Viewer => "viewer",
        Role::Operator => "operator",
        Role::Admin => "admin",
        Role::Unspecified => "unknown",
    }
}

/// The token that a TOKEN argument names: by its id, or the one of that name.
/// A revoked token keeps its name for ever, so it stands back for one that is
/// not: a token can be replaced under its name.
pub(super) fn find<'a>(tokens: &'a [Token], given: &str) -> Result<&'a Token, CliError> {
    if given.parse::<TokenId>().is_ok() {
        let found = tokens.iter().find(|token| token.object_id == given);
        return found.ok_or_else(|| {
            CliError::Refused(
                "there is no such token\n  `muster tokens list` shows all tokens".to_owned(),
            )
        });
    }
    let named: Vec<&Token> = tokens.iter().filter(|token| token.name == given).collect();
    let standing = named.iter().filter(|token| token.revoked_at.is_none());
    let mut standing: Vec<&Token> = standing.copied().collect();
    if standing.is_empty() {
        standing = named;
    }
    match standing.as_slice() {
        [only] => Ok(only),
        [] => Err(CliError::Refused(format!(
            "no token has the name \"{}\", and it is no id (tok_ and 16 letters or digits)\n  \
             `muster tokens list` shows all tokens",
            clean(given)
        ))),
        several => {
            let ids: Vec<String> = several
                .iter()
                .map(|token| format!("\n  {}  {}", clean(&token.object_id), role_word(token)))
                .collect();
            Err(CliError::Refused(format!(
                "{} tokens have the name \"{}\"; name one by its id:{}",
                several.len(),
                clean(given),
                ids.concat()
            )))
        }
    }
}
