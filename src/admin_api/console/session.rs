//! Signing in and out: a good token goes into a cookie.
//!
//! There is no session on the server: the cookie is the token, which every call
//! has judged anew. So it opens on all gateways of a store, outlives a restart,
//! and a revoked token is out at the next call.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, Request, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::cookie;
use crate::admin_api::authenticate::peer;
use crate::admin_api::rest::{ApiError, Fault, Rest};
use crate::audit::{Action, Audit, Origin};
use crate::keys::TokenId;
use crate::store::DeedResult;
use crate::tokens::{self, TokenError};

/// Has no `Debug`: it is a secret.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignIn {
    token: String,
}

pub(super) async fn sign_in(
    State(rest): State<Rest>,
    request: Request,
) -> Result<Response, ApiError> {
    let from = peer(&request);
    let (parts, body) = request.into_parts();
    cookie::provenance(&parts)?;
    let read = Json::from_request(Request::from_parts(parts, body), &rest).await;
    let Json(SignIn { token }) = read.map_err(|error: JsonRejection| {
        // Without its words, which quote what may be a token.
        let rule = format!("must be {{\"token\": \"mat_…\"}} ({})", error.status());
        Fault::invalid("body", rule)
    })?;
    match rest.tokens.judge(Some(token.as_bytes())).await {
        Ok(record) => {
            note(&rest.audit, from, record.id, &tokens::actor(&record), None).await;
            Ok(answer(cookie::set(bare(&token))))
        }
        Err(error) => {
            // Of others nobody knows who they are.
            if let TokenError::Revoked(id) | TokenError::Expired(id) = &error {
                let reason = error.to_string();
                note(&rest.audit, from, *id, &id.to_string(), Some(reason)).await;
            }
            Err(error.into())
        }
    }
}

pub(super) async fn sign_out(request: Request) -> Result<Response, ApiError> {
    let (parts, _) = request.into_parts();
    cookie::provenance(&parts)?;
    Ok(answer(cookie::clear()))
}

fn answer(cookie: Option<HeaderValue>) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Some(cookie) = cookie {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

async fn note(
    audit: &Arc<Audit>,
    from: String,
    token: TokenId,
    actor: &str,
    reason: Option<String>,
) {
    let origin = Origin {
        actor: actor.to_owned(),
        from,
        door: "console",
    };
    let action = Action {
        name: "sign_in",
        target: Some(token.to_string()),
        detail: String::new(),
        result: match reason {
            None => DeedResult::Ok,
            Some(_) => DeedResult::Refused,
        },
        reason,
    };
    audit.note(&origin, action).await;
}

/// A good token without what was pasted along with it.
fn bare(token: &str) -> &str {
    let start = token.find("mat_").unwrap_or(0);
    let rest = &token[start..];
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    &rest[..end.unwrap_or(rest.len())]
}

#[cfg(test)]
mod tests {
    use super::bare;

    #[test]
    fn what_is_pasted_along_with_a_token_is_left_out() {
        for text in [
            "mat_aB1_x",
            " mat_aB1_x\n",
            "\"mat_aB1_x\"",
            "Bearer mat_aB1_x",
        ] {
            assert_eq!(bare(text), "mat_aB1_x", "{text:?}");
        }
    }
}
