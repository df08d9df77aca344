//! The middleware of every REST call: authenticates it, checks its role, records it.

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use utoipa::Modify;
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};

use super::error::{ApiError, ErrorCause};
use crate::admin_api::auth::{Caller, End, audited, peer};
use crate::admin_api::calls;
use crate::admin_api::console::cookie;
use crate::admin_api::state::AdminState;
use crate::store::AuditResult;

pub(super) async fn authorize(
    State(state): State<AdminState>,
    mut request: Request,
    next: Next,
) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let call = route.and_then(|route| {
        let call = calls::of_rest(request.method(), route.as_str())?;
        Some((call, target(route.as_str(), request.uri().path())))
    });
    let Some((call, target)) = call else {
        // A route without that method: nothing but the refusal runs.
        return next.run(request).await;
    };
    let caller = match authenticate(&state, &mut request).await {
        Ok(caller) => caller,
        Err(error) => return error.into_response(),
    };
    let allowed = caller.check_role(Some(call));
    let actor = caller.actor.clone();
    request.extensions_mut().insert(caller);
    let answered = async move {
        match allowed {
            Ok(()) => next.run(request).await,
            Err(error) => ApiError::from(error).into_response(),
        }
    };
    audited(&state.audit, Some(call), actor, target, answered, end).await
}

async fn authenticate(state: &AdminState, request: &mut Request) -> Result<Caller, ApiError> {
    let (from, interface) = (peer(request), interface(request.headers()));
    let cookie = cookie::presented(request.headers_mut());
    let header = request.headers_mut().get_mut(AUTHORIZATION).map(|value| {
        value.set_sensitive(true);
        value.as_bytes().to_vec()
    });
    if header.is_none() && cookie.is_some() {
        cookie::check_origin(request.method(), request.uri(), request.headers())?;
    }
    let presented = header.or(cookie);
    Ok(Caller::authenticate(state, presented.as_deref(), from, interface).await?)
}

/// The interface that a request comes in by: the console says that it is one.
fn interface(headers: &HeaderMap) -> &'static str {
    match headers.contains_key(AUTHORIZATION) {
        false if headers.contains_key(cookie::CONSOLE) => "console",
        _ => "rest",
    }
}

/// The id in a path, of a route that has one.
fn target(route: &str, path: &str) -> Option<String> {
    let mut segments = route.split('/').zip(path.split('/'));
    let target = segments.find(|(name, _)| *name == "{id}");
    target.map(|(_, id)| id.to_owned())
}

fn end(response: &Response) -> End {
    let status = response.status();
    let error = response.extensions().get::<ApiError>();
    End {
        result: match () {
            () if status.is_server_error() => AuditResult::Failed,
            () if status.is_client_error() => AuditResult::Refused,
            () => AuditResult::Ok,
        },
        reason: error.map(|error| error.message().to_owned()),
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| ErrorCause::Broken("a route without authentication".into()).into())
    }
}

/// Adds to the document how callers authenticate.
pub(super) struct Scheme;

impl Modify for Scheme {
    fn modify(&self, document: &mut OpenApi) {
        let components = document.components.get_or_insert_default();
        let bearer = Http::new(HttpAuthScheme::Bearer);
        components.add_security_scheme("token", SecurityScheme::Http(bearer));
    }
}
