//! Signing in and out: a good token goes into a cookie.
//!
//! There is no session on the server: the cookie is the token, which every call
//! has judged anew. So it opens on all gateways of a store, outlives a restart,
//! and a revoked token is out at the next call.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, Request, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::cookie;
use crate::admin_api::auth::peer;
use crate::admin_api::rest::error::{ApiError, ErrorCause};
use crate::admin_api::state::AdminState;
use crate::control::tokens;
use crate::control::tokens::TokenError;

/// Has no `Debug`: it is a secret.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignIn {
    token: String,
}

pub(super) async fn sign_in(
    State(state): State<AdminState>,
    request: Request,
) -> Result<Response, ApiError> {
    let from = peer(&request);
    let (parts, body) = request.into_parts();
    cookie::check_origin(&parts.method, &parts.uri, &parts.headers)?;
    let read = Json::from_request(Request::from_parts(parts, body), &state).await;
    let Json(SignIn { token }) = read.map_err(|error: JsonRejection| {
        // Without its words, which quote what may be a token.
        let rule = format!("must be {{\"token\": \"mat_…\"}} ({})", error.status());
        ErrorCause::invalid("body", rule)
    })?;
    let judged = state.tokens.judge(Some(token.as_bytes())).await;
    let (actor, refused) = match &judged {
        Ok(record) => (tokens::actor(record), None),
        Err(error) => {
            let actor = match error {
                TokenError::Revoked(id) | TokenError::Expired(id) => id.to_string(),
                // They are unknown.
                TokenError::Credential(_) | TokenError::Unknown => "nobody".to_owned(),
                TokenError::Unavailable(_) => return Err(error.clone().into()),
            };
            (actor, Some(error.to_string()))
        }
    };
    state.audit.sign_in(from, actor, refused).await;
    judged?;
    Ok(answer(cookie::set(bare(&token))))
}

pub(super) async fn sign_out(request: Request) -> Result<Response, ApiError> {
    let (parts, _) = request.into_parts();
    cookie::check_origin(&parts.method, &parts.uri, &parts.headers)?;
    Ok(answer(cookie::clear()))
}

fn answer(cookie: Option<HeaderValue>) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Some(cookie) = cookie {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
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
