//! The tower layer that every admin call passes: whose token is it, and may its
//! role do this?

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::AUTHORIZATION;
use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tower_service::Service;

use crate::admin_api::calls;
use crate::admin_api::calls::End;
use crate::admin_api::error::{RoleError, result_of, role_status, token_status};
use crate::admin_api::roles::least_role;
use crate::control::audit::{Actor, Audit, Origin};
use crate::control::tokens;
use crate::control::tokens::Tokens;
use crate::net::listener::Call;
use crate::store::{DeedResult, TokenRecord};

/// Lets through what carries a good admin token of a role that may call it.
#[derive(Clone)]
pub struct Authenticate<S> {
    inner: S,
    tokens: Tokens,
    audit: Arc<Audit>,
}

/// The token of this call, as it was when the call came in.
#[derive(Clone)]
struct Caller(TokenRecord);

impl<S> Authenticate<S> {
    pub(in crate::admin_api) fn new(inner: S, tokens: Tokens, audit: Arc<Audit>) -> Self {
        Self {
            inner,
            tokens,
            audit,
        }
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
        let audit = Arc::clone(&self.audit);
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
            let actor = Actor::new(Origin {
                actor: tokens::actor(&token),
                from: peer(&request),
                door: "grpc",
            });
            let action = calls::of_grpc(request.uri().path());
            let refused = may(&token, request.uri().path()).err();
            let extensions = request.extensions_mut();
            extensions.insert(actor.clone());
            extensions.insert(Caller(token));
            let called = async move {
                match refused {
                    None => inner.call(request).await,
                    Some(error) => Ok(role_status(&error).into_http()),
                }
            };
            let Some(action) = action else {
                return called.await;
            };
            let trail = Arc::clone(&audit);
            let noted = async move {
                let response = called.await?;
                calls::note(&trail, action, &actor, end(&response)).await;
                Ok(response)
            };
            audit.to_the_end(noted).await
        })
    }
}

/// Where a request came from.
pub(in crate::admin_api) fn peer<B>(request: &Request<B>) -> String {
    let call = request.extensions().get::<Arc<Call>>();
    call.map_or_else(String::new, |call| call.peer().to_string())
}

/// How a call went: a unary one that fails has its status in the headers.
fn end(response: &Response<Body>) -> End {
    let status = Status::from_header_map(response.headers());
    let (result, reason) = match status {
        None => (DeedResult::Ok, None),
        Some(status) => (result_of(status.code()), Some(status.message().to_owned())),
    };
    End {
        result,
        reason,
        target: None,
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
pub(super) fn caller<T>(request: &tonic::Request<T>) -> Result<TokenRecord, Status> {
    let caller = request.extensions().get::<Caller>();
    let caller = caller.map(|Caller(token)| token.clone());
    caller.ok_or_else(|| Status::unauthenticated("the call was not authenticated"))
}

/// Who makes this call.
pub(super) fn actor<T>(request: &tonic::Request<T>) -> Result<Actor, Status> {
    request
        .extensions()
        .get::<Actor>()
        .cloned()
        .ok_or_else(|| Status::unauthenticated("the call was not authenticated"))
}
