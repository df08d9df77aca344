//! The tower layer that every admin call passes: which token is it?

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::header::AUTHORIZATION;
use http::{Request, Response};
use tonic::body::Body;
use tower_service::Service;

use super::status::token_status;
use super::tokens::TokenDoor;
use crate::key_admin::Actor;

/// Lets through what carries a good admin token.
#[derive(Clone)]
pub struct Authenticate<S> {
    inner: S,
    door: TokenDoor,
}

impl<S> Authenticate<S> {
    pub(super) fn new(inner: S, door: TokenDoor) -> Self {
        Self { inner, door }
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
        let door = self.door.clone();
        Box::pin(async move {
            let value = request.headers_mut().get_mut(AUTHORIZATION).map(|value| {
                value.set_sensitive(true);
                value.clone()
            });
            match door.open(value.as_ref().map(|v| v.as_bytes())).await {
                Ok(token) => {
                    let actor = format!("{} ({})", token.name, token.id);
                    request.extensions_mut().insert(Actor(actor));
                    inner.call(request).await
                }
                Err(error) => Ok(token_status(&error).into_http()),
            }
        })
    }
}

/// Who makes this call.
pub(super) fn actor<T>(request: &tonic::Request<T>) -> Result<Actor, tonic::Status> {
    request
        .extensions()
        .get::<Actor>()
        .cloned()
        .ok_or_else(|| tonic::Status::unauthenticated("the call was not authenticated"))
}
