//! The web console: its files, signing in and out, and what protects both in a
//! browser.
//!
//! Owns: everything that is served to a browser and is not REST. Must not know:
//! keys, agents, the store: the console gets all it shows through REST.
//! Invariant: nothing is loaded from elsewhere, and no script runs but the
//! files that are embedded here.

mod assets;
pub(super) mod cookie;
mod headers;
mod not_ready;
mod session;

use axum::Router;
use axum::routing::{get, post};

pub(super) use headers::harden;
pub(super) use not_ready::while_shut;

use super::state::AdminState;

/// The console's own routes.
pub(super) fn routes() -> Router<AdminState> {
    Router::new()
        .route("/", get(assets::index))
        .route("/assets/{*path}", get(assets::file))
        .route(
            "/console/session",
            post(session::sign_in).delete(session::sign_out),
        )
}
