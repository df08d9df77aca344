//! Who makes a request, and may its role do this? A handler says which role it
//! needs by the type of its argument.

use std::sync::{Arc, OnceLock};

use axum::extract::{FromRequestParts, Request};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use utoipa::Modify;
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};

use super::Rest;
use super::error::ApiError;
use crate::admin_api::console;
use crate::admin_api::error::RoleError;
use crate::admin_api::grpc::authenticate::peer;
use crate::control::audit::{Actor, Origin};
use crate::control::tokens;
use crate::store::{Role, TokenRecord};

/// What the console puts on each of its calls; another site's page can't.
pub(in crate::admin_api) const CONSOLE: &str = "x-muster-console";

/// A caller whose token is good, and may look.
pub(super) struct Viewer;

/// One that may also edit, revoke and disconnect.
pub(super) struct Operator(pub Actor);

/// One that may do all.
pub(super) struct Admin(pub Actor);

/// Any caller, as its token.
pub(super) struct Token(pub TokenRecord);

/// One that may do all, and its token.
pub(super) struct AdminToken(pub Actor, pub TokenRecord);

/// The actor of a request, for who notes what it did once it is answered.
#[derive(Clone, Default)]
pub(super) struct Visit {
    from: String,
    door: &'static str,
    actor: Arc<OnceLock<Actor>>,
}

impl Visit {
    /// From the peer, whoever he will turn out to be.
    pub fn of(request: &Request) -> Self {
        Self {
            from: peer(request),
            door: door(request.headers()),
            actor: Arc::default(),
        }
    }

    fn by(&self, token: &TokenRecord) -> Actor {
        let actor = || {
            Actor::new(Origin {
                actor: tokens::actor(token),
                from: self.from.clone(),
                door: self.door,
            })
        };
        self.actor.get_or_init(actor).clone()
    }

    /// Who it is; `None`: nobody whose token is good.
    pub fn actor(&self) -> Option<&Actor> {
        self.actor.get()
    }
}

fn actor(parts: &Parts, token: &TokenRecord) -> Actor {
    let visit = parts.extensions.get::<Visit>();
    visit.map_or_else(|| Visit::default().by(token), |visit| visit.by(token))
}

/// By which door a request comes in: the console says so.
fn door(headers: &HeaderMap) -> &'static str {
    match headers.contains_key(AUTHORIZATION) {
        false if headers.contains_key(CONSOLE) => "console",
        _ => "rest",
    }
}

async fn caller(parts: &mut Parts, rest: &Rest, needed: Role) -> Result<TokenRecord, ApiError> {
    let cookie = console::presented(&mut parts.headers);
    let header = parts.headers.get_mut(AUTHORIZATION).map(|value| {
        value.set_sensitive(true);
        value.as_bytes().to_vec()
    });
    if header.is_none() && cookie.is_some() {
        console::provenance(parts)?;
    }
    let token = rest.tokens.judge(header.or(cookie).as_deref()).await?;
    if let Some(visit) = parts.extensions.get::<Visit>() {
        visit.by(&token);
    }
    if token.role < needed {
        return Err(RoleError::TooSmall {
            needed,
            token: token.id,
            held: token.role,
        }
        .into());
    }
    Ok(token)
}

impl FromRequestParts<Rest> for Viewer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, rest: &Rest) -> Result<Self, ApiError> {
        caller(parts, rest, Role::Viewer).await.map(|_| Self)
    }
}

impl FromRequestParts<Rest> for Operator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, rest: &Rest) -> Result<Self, ApiError> {
        let token = caller(parts, rest, Role::Operator).await?;
        Ok(Self(actor(parts, &token)))
    }
}

impl FromRequestParts<Rest> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, rest: &Rest) -> Result<Self, ApiError> {
        let token = caller(parts, rest, Role::Admin).await?;
        Ok(Self(actor(parts, &token)))
    }
}

impl FromRequestParts<Rest> for Token {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, rest: &Rest) -> Result<Self, ApiError> {
        caller(parts, rest, Role::Viewer).await.map(Self)
    }
}

impl FromRequestParts<Rest> for AdminToken {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, rest: &Rest) -> Result<Self, ApiError> {
        let token = caller(parts, rest, Role::Admin).await?;
        Ok(Self(actor(parts, &token), token))
    }
}

/// Tells the document how callers prove who they are.
pub(super) struct Scheme;

impl Modify for Scheme {
    fn modify(&self, document: &mut OpenApi) {
        let components = document.components.get_or_insert_default();
        let bearer = Http::new(HttpAuthScheme::Bearer);
        components.add_security_scheme("token", SecurityScheme::Http(bearer));
    }
}
