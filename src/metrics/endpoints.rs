//! The ops listener: `/metrics`, `/healthz`, `/readyz` over plain HTTP.
//!
//! Owns: what a monitor may ask. Must not know: keys, sessions.
//! Invariant: it answers in bounded time, also while the store does not.

use parking_lot::RwLock;
use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::extract;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::metrics::exposition::{OPEN_METRICS, PLAIN, plain, wants_open_metrics};
use crate::metrics::registry::Metrics;

/// A part of the gateway that knows whether agents can be served right now.
pub trait Readiness: Send + Sync {
    /// Why they can't, as `/readyz` shows it; `None`: they can.
    fn not_ready(&self) -> Option<String>;
}

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
    /// All its listeners serve; ready as long as this says so.
    Serving(Arc<dyn Readiness>),
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

    /// The listeners serve: ready as long as `readiness` has no objection.
    pub fn serving(&self, readiness: Arc<dyn Readiness>) {
        self.set(State::Serving(readiness));
    }

    /// The gateway does not serve yet, or no more; `why` is what a probe gets.
    pub fn not_serving(&self, why: impl Into<String>) {
        self.set(State::NotServing(why.into()));
    }

    fn set(&self, state: State) {
        *self.state.write() = state;
    }

    /// Why it is not ready; `None`: it is.
    fn why_not(&self) -> Option<String> {
        match &*self.state.read() {
            State::NotServing(why) => Some(why.clone()),
            State::Serving(readiness) => readiness.not_ready(),
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
    match ops.why_not() {
        None => "ready\n".into_response(),
        Some(why) => not_ready(&why),
    }
}

fn not_ready(why: &str) -> Response {
    (
        StatusCode::SERVICE_UNAVAILABLE,
        format!("not ready: {why}\n"),
    )
        .into_response()
}

async fn metrics(extract::State(ops): extract::State<Ops>, headers: HeaderMap) -> Response {
    let accept = headers.get_all(header::ACCEPT).iter();
    let accept: Vec<_> = accept.filter_map(|value| value.to_str().ok()).collect();
    match ops.metrics.encode() {
        Ok(text) if wants_open_metrics(&accept.join(",")) => {
            ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response()
        }
        Ok(text) => ([(header::CONTENT_TYPE, PLAIN)], plain(&text)).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
