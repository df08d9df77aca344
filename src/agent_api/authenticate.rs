//! The tower layer that authenticates every agent call, on the headers
//! alone.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{Request, Response};
use tokio::time::timeout;
use tonic::Status;
use tonic::body::Body;
use tower_service::Service;

use super::connection::AgentConnection;
use super::refusals::{Caller, Refusals};
use super::status::Refused;
use crate::gateway::auth::Principal;
use crate::gateway::registrar::Registrar;
use crate::keys::{CredentialError, PresentedKey};
use crate::net::listener::Call;

/// gRPC health is asked by load balancers, which have no key.
const OPEN_TO_ALL: &str = "/grpc.health.v1.Health/";
/// What an agent's collector exports to.
const TELEMETRY: &str = "/opentelemetry.proto.collector.";

/// A call that takes longer to answer is cut when its key ends.
const SLOW: Duration = Duration::from_millis(500);

/// What the layer proved, for the services behind it.
#[derive(Clone)]
pub(super) struct Authenticated {
    pub presented: PresentedKey,
    pub principal: Principal,
    pub call: Arc<Call>,
    pub caller: Caller,
}

/// Lets through what presents a good key, and health.
#[derive(Clone)]
pub struct Authenticate<S> {
    inner: S,
    registrar: Arc<Registrar>,
    refusals: Refusals,
}

impl<S> Authenticate<S> {
    pub(super) fn new(inner: S, registrar: Arc<Registrar>, refusals: Refusals) -> Self {
        Self {
            inner,
            registrar,
            refusals,
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
        let refusals = self.refusals.clone();
        Box::pin(async move {
            if request.uri().path().starts_with(OPEN_TO_ALL) {
                return inner.call(request).await;
            }
            // Set by our listener on every request.
            let call = request.extensions().get::<Arc<Call>>().cloned();
            let mut caller = Caller::of(request.headers(), call.as_ref());
            match authenticate(&registrar, &mut request, call.as_ref(), &mut caller).await {
                Ok(authenticated) => {
                    let principal = authenticated.principal.clone();
                    let connection = Arc::clone(&authenticated.call);
                    request.extensions_mut().insert(authenticated);
                    let answered = inner.call(request);
                    tokio::pin!(answered);
                    if let Ok(answer) = timeout(SLOW, answered.as_mut()).await {
                        return answer;
                    }
                    // A body that trickles in, say: a revoke must not wait for it.
                    let connection = Arc::new(AgentConnection(connection));
                    let _held = registrar.hold_call(&principal, connection);
                    answered.await
                }
                Err(refused) => {
                    let path = request.uri().path();
                    let refused = stale_telemetry(&registrar, refused, path, &caller);
                    tracing::debug!(reason = refused.reason().as_str(), path, "refused");
                    Ok(refused.into_status(&refusals, &caller).into_http())
                }
            }
        })
    }
}

async fn authenticate<B>(
    registrar: &Registrar,
    request: &mut Request<B>,
    call: Option<&Arc<Call>>,
    caller: &mut Caller,
) -> Result<Authenticated, Refused> {
    // Without it there is no connection to hold a session.
    let call = call.ok_or(Refused::Draining)?;
    if call.drain().is_cancelled() {
        return Err(Refused::Draining);
    }
    let value = request
        .headers_mut()
        .get_mut(AUTHORIZATION)
        .ok_or(Refused::Credential(CredentialError::Missing))?;
    value.set_sensitive(true);
    let presented = PresentedKey::parse(value.as_bytes()).map_err(Refused::Credential)?;
    let principal = registrar
        .authenticate(&presented)
        .await
        .map_err(Refused::Key)?;
    call.set_owner(principal.key());
    caller.key = Some(principal.key());
    Ok(Authenticated {
        presented,
        principal,
        call: Arc::clone(call),
        caller: *caller,
    })
}

/// A refused export of an agent that is connected under another key has a cure
/// of its own. Looked for only where a telemetry call was refused.
fn stale_telemetry(
    registrar: &Registrar,
    refused: Refused,
    path: &str,
    caller: &Caller,
) -> Refused {
    match (refused, caller.address) {
        (Refused::Key(refusal), Some(address))
            if path.starts_with(TELEMETRY)
                && registrar.has_session_under_another_key(&refusal, caller.agent, address) =>
        {
            Refused::stale_telemetry(refusal)
        }
        (refused, _) => refused,
    }
}

/// What the layer proved of this request.
///
/// # Errors
/// UNAVAILABLE if the service was mounted without the layer: a fault of muster.
pub(super) fn proven<T>(request: &tonic::Request<T>) -> Result<Authenticated, Status> {
    request
        .extensions()
        .get::<Authenticated>()
        .cloned()
        .ok_or_else(|| Status::unavailable("the call was not authenticated"))
}
