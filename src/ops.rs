//! The ops listener: `/metrics`, `/healthz`, `/readyz` over plain HTTP.
//!
//! Owns: what a monitor may ask. Must not know: keys, sessions.
//! Invariant: it answers in bounded time, also while the store does not.

use std::future::Future;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use axum::extract;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::store::KeyStore;
use crate::telemetry::Metrics;

/// How long the store has to answer a readiness probe.
const PROBE_DEADLINE: Duration = Duration::from_secs(1);

/// What the ops listener shows.
#[derive(Clone)]
pub struct Ops {
    metrics: Arc<Metrics>,
    state: Arc<RwLock<State>>,
}

/// What a gateway is ready for.
enum State {
    /// Not to serve, and why.
    NotServing(String),
    /// All its listeners serve over this store.
    Serving(Arc<dyn KeyStore>),
}

impl Ops {
    /// Not ready until [`Self::serving`].
    pub fn new(metrics: Arc<Metrics>) -> Self {
        let starting = State::NotServing("the gateway starts".to_owned());
        Self {
            metrics,
            state: Arc::new(RwLock::new(starting)),
        }
    }

    /// The listeners serve: ready as long as the store answers.
    pub fn serving(&self, store: Arc<dyn KeyStore>) {
        self.set(State::Serving(store));
    }

    /// The gateway does not serve yet, or no more; `why` is what a probe is told.
    pub fn not_serving(&self, why: impl Into<String>) {
        self.set(State::NotServing(why.into()));
    }

    fn set(&self, state: State) {
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// The store to ask, or why there is none.
    fn store(&self) -> Result<Arc<dyn KeyStore>, String> {
        match &*self.state.read().unwrap_or_else(PoisonError::into_inner) {
            State::NotServing(why) => Err(why.clone()),
            State::Serving(store) => Ok(Arc::clone(store)),
        }
    }

    /// Serves until `shutdown`.
    ///
    /// # Errors
    /// When the socket fails for good.
    pub async fn serve(
        self,
        socket: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        let router = Router::new()
            .route("/healthz", get(async || "ok\n"))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .with_state(self);
        axum::serve(socket, router)
            .with_graceful_shutdown(shutdown)
            .await
    }
}

async fn readyz(extract::State(ops): extract::State<Ops>) -> Response {
    let store = match ops.store() {
        Ok(store) => store,
        Err(why) => return not_ready(&why),
    };
    match tokio::time::timeout(PROBE_DEADLINE, store.gateways()).await {
        Ok(Ok(_)) => "ready\n".into_response(),
        Ok(Err(error)) => not_ready(&error.to_string()),
        Err(_) => not_ready("the store does not answer"),
    }
}

fn not_ready(why: &str) -> Response {
    (
        StatusCode::SERVICE_UNAVAILABLE,
        format!("not ready: {why}\n"),
    )
        .into_response()
}

async fn metrics(extract::State(ops): extract::State<Ops>) -> Response {
    match ops.metrics.encode() {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
