//! The tower layer that every admin call passes: whose token is it, and may its
//! role do this?

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::header::AUTHORIZATION;
use http::{Request, Response};
use tonic::body::Body;
use tower_service::Service;

use super::roles::least_role;
use super::status::{RoleError, role_status, token_status};
use crate::key_admin::Actor;
use crate::store::TokenRecord;
use crate::tokens::{self, Tokens};

/// Lets through what carries a good admin token of a role that may call it.
#[derive(Clone)]
pub struct Authenticate<S> {
    inner: S,
    tokens: Tokens,
}

/// The token of this call, as it was when the call came in.
#[derive(Clone)]
struct Caller(TokenRecord);

impl<S> Authenticate<S> {
    pub(super) fn new(inner: S, tokens: Tokens) -> Self {
        Self { inner, tokens }
    }
}

impl<S, B> Service<Request<B>> for Authenticate<S>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let ready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, ready);
        let tokens = self.tokens.clone();
        Box::pin(async move {
            let value = request.headers_mut().get_mut(AUTHORIZATION).map(|value| {
                value.set_sensitive(true);
                value.clone()
            });
            let judged = tokens.judge(value.as_ref().map(|v| v.as_bytes())).await;
            let token = match judged {
                Ok(token) => token,
                Err(error) => return Ok(token_status(&error).into_http()),
            };
            if let Err(error) = may(&token, request.uri().path()) {
                return Ok(role_status(&error).into_http());
            }
            let extensions = request.extensions_mut();
            extensions.insert(Actor(tokens::actor(&token)));
            extensions.insert(Caller(token));
            inner.call(request).await
        })
    }
}

fn may(token: &TokenRecord, path: &str) -> Result<(), RoleError> {
    match least_role(path) {
        Some(least) if token.role >= least => Ok(()),
        Some(needed) => Err(RoleError::TooSmall {
            needed,
            token: token.id,
            held: token.role,
        }),
        None => Err(RoleError::NoSuchCall),
    }
}

/// The token that makes this call.
pub(super) fn caller<T>(request: &tonic::Request<T>) -> Result<TokenRecord, tonic::Status> {
    let caller = request.extensions().get::<Caller>();
    let caller = caller.map(|Caller(token)| token.clone());
    caller.ok_or_else(|| tonic::Status::unauthenticated("the call was not authenticated"))
}

/// Who makes this call.
pub(super) fn actor<T>(request: &tonic::Request<T>) -> Result<Actor, tonic::Status> {
    request
        .extensions()
        .get::<Actor>()
        .cloned()
        .ok_or_else(|| tonic::Status::unauthenticated("the call was not authenticated"))
}
