//! The tower layer that every agent call passes: who are you, on the headers
//! alone.

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

use super::status::Refused;
use crate::auth::Principal;
use crate::keys::{CredentialError, PresentedKey};
use crate::listener::Call;
use crate::registrar::Registrar;
use crate::telemetry::Metrics;

/// gRPC health is asked by load balancers, which have no key.
const OPEN_TO_ALL: &str = "/grpc.health.v1.Health/";

/// What the layer proved, for the services behind it.
#[derive(Clone)]
pub(super) struct Authenticated {
    pub presented: PresentedKey,
    pub principal: Principal,
    pub call: Arc<Call>,
}

/// Lets through what presents a good key, and health.
#[derive(Clone)]
pub struct Authenticate<S> {
    inner: S,
    registrar: Arc<Registrar>,
    metrics: Arc<Metrics>,
}

impl<S> Authenticate<S> {
    pub(super) fn new(inner: S, registrar: Arc<Registrar>, metrics: Arc<Metrics>) -> Self {
        Self {
            inner,
            registrar,
            metrics,
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
        // The one that was polled ready is the one to call.
        let ready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, ready);
        let registrar = Arc::clone(&self.registrar);
        let metrics = Arc::clone(&self.metrics);
        Box::pin(async move {
            if request.uri().path().starts_with(OPEN_TO_ALL) {
                return inner.call(request).await;
            }
            match authenticate(&registrar, &mut request).await {
                Ok(authenticated) => {
                    request.extensions_mut().insert(authenticated);
                    inner.call(request).await
                }
                Err(refused) => {
                    tracing::debug!(
                        reason = refused.reason(),
                        path = request.uri().path(),
                        "refused"
                    );
                    Ok(refused.into_status(&metrics).into_http())
                }
            }
        })
    }
}

async fn authenticate<B>(
    registrar: &Registrar,
    request: &mut Request<B>,
) -> Result<Authenticated, Refused> {
    // Set by our listener on every request; without it there is no connection
    // to hold a session.
    let call = request
        .extensions()
        .get::<Arc<Call>>()
        .cloned()
        .ok_or(Refused::Draining)?;
    if call.drain().is_cancelled() {
        return Err(Refused::Draining);
    }
    let value = request
        .headers_mut()
        .get_mut(AUTHORIZATION)
        .ok_or(Refused::Credential(CredentialError::Missing))?;
    value.set_sensitive(true);
    let presented = PresentedKey::parse(value.as_bytes()).map_err(Refused::Credential)?;
    let principal = registrar.verify(&presented).await.map_err(Refused::Key)?;
    call.set_owner(principal.key());
    Ok(Authenticated {
        presented,
        principal,
        call,
    })
}

/// What the layer proved of this request.
///
/// # Errors
/// Internal, should a service ever be mounted without the layer.
pub(super) fn proven<T>(request: &tonic::Request<T>) -> Result<Authenticated, Status> {
    request
        .extensions()
        .get::<Authenticated>()
        .cloned()
        .ok_or_else(|| Status::unavailable("the call was not authenticated"))
}
