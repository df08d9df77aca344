//! The ops listener: `/metrics`, `/healthz`, `/readyz` over plain HTTP.
//!
//! Owns: what a monitor may ask. Must not know: keys, sessions.
//! Invariant: it answers in bounded time, also while the store does not.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::auth::View;
use crate::store::KeyStore;
use crate::telemetry::Metrics;

/// How long the store has to answer a readiness probe.
const PROBE_DEADLINE: Duration = Duration::from_secs(1);

/// What the ops listener shows.
#[derive(Clone)]
pub struct Ops {
    metrics: Arc<Metrics>,
    store: Arc<dyn KeyStore>,
    view: Arc<View>,
    serving: Arc<AtomicBool>,
}

impl Ops {
    /// Not ready until [`Self::set_serving`].
    pub fn new(metrics: Arc<Metrics>, store: Arc<dyn KeyStore>, view: Arc<View>) -> Self {
        Self {
            metrics,
            store,
            view,
            serving: Arc::default(),
        }
    }

    /// The listeners are bound (`true`), or the gateway drains (`false`).
    pub fn set_serving(&self, serving: bool) {
        self.serving.store(serving, Ordering::Release);
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

async fn readyz(State(ops): State<Ops>) -> Response {
    if !ops.serving.load(Ordering::Acquire) {
        return not_ready("the listeners do not serve (starting or stopping)");
    }
    let age = ops.view.age();
    if ops.view.staleness().is_stale(age) {
        let seconds = age.as_secs();
        return not_ready(&format!(
            "the store's changes were last heard {seconds} s ago (bound: stale-after)"
        ));
    }
    match tokio::time::timeout(PROBE_DEADLINE, ops.store.gateways()).await {
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

async fn metrics(State(ops): State<Ops>) -> Response {
    match ops.metrics.encode() {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
