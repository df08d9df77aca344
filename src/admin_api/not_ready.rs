//! The admin listener's service before there is one: while the store is away at
//! a start, every call gets the reason.
//!
//! Must not know: what the start waits for. Invariant: once it is open it stays so.

use parking_lot::RwLock;
use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use tonic::Status;
use tower_service::Service;

use super::console;
use super::rest;
use super::service::{AdminService, is_grpc};

/// Not ready at first. Clones share one state.
#[derive(Clone)]
pub struct NotReadyService {
    inside: Arc<OnceLock<AdminService>>,
    why: Arc<RwLock<String>>,
}

impl NotReadyService {
    /// Calls are UNAVAILABLE, for that reason.
    pub fn shut(why: &str) -> Self {
        let door = Self {
            inside: Arc::default(),
            why: Arc::default(),
        };
        door.because(why);
        door
    }

    /// Another reason, as long as it is shut.
    pub fn because(&self, why: &str) {
        *self.why.write() = why.to_owned();
    }

    /// From now on calls go to `inside`. The first time counts.
    pub fn open(&self, inside: AdminService) {
        let _ = self.inside.set(inside);
    }

    fn refusal<B>(&self, request: &Request<B>) -> Response<Body> {
        let why = self.why.read();
        match is_grpc(request) {
            true => Status::unavailable(why.as_str()).into_http(),
            false => console::while_shut(request, &why).unwrap_or_else(|| rest::refusal(&why)),
        }
    }
}

impl<B> Service<Request<B>> for NotReadyService
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Routes, and what lies around them, are always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match self.inside.get() {
            Some(inside) => inside.clone().call(request),
            None => {
                let refusal = self.refusal(&request);
                Box::pin(async move { Ok(refusal) })
            }
        }
    }
}
