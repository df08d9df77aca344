//! The admin listener's REST: NGINX One's contract for data plane keys and
//! instances, and what muster knows besides, in the same style.
//!
//! Owns: the routes, and what every answer of them has in common. Must not know:
//! rules of keys: it calls what the admin gRPC calls.
//! Invariants: no route is answered without a caller whose role allows it; every
//! answer that is not a success has one shape.

mod about;
mod agents;
mod audit;
mod authorize;
mod deletes;
mod document;
pub(super) mod error;
mod events;
mod filter;
mod gateways;
mod instances;
mod keys;
mod page;
mod params;
mod rejections;
mod revocation;
mod search;
mod senders;
mod sessions;
mod settings;
mod tokens;
mod walk;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::console;
use super::state::AdminState;
use crate::store::StoreClock;
use authorize::{Scheme, authorize};
use document::REQUEST_ID;
use error::{ApiError, ErrorCause};

/// Where NGINX One has its API, and where muster's own lies.
const BASES: [&str; 2] = ["/api/nginx/one", "/api/v1"];
/// Bytes of a request's body: fifty keys' ids and their actions fit many times.
const BODY: usize = 64 * 1024;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "muster",
        description = "Data plane keys, and what is connected with them. The calls that NGINX One \
                       has answer as it does; under /api/nginx/one they lie where it has them.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    modifiers(&Scheme),
    components(schemas(events::EventShown, events::Missed)),
    security(("token" = []))
)]
struct Document;

/// All routes, and the document that describes them.
pub(super) fn router(state: AdminState) -> Router {
    let (routes, document) = described();
    let document: Arc<str> = document.to_json().unwrap_or_default().into();
    let mut api: Router<AdminState> = Router::new();
    for base in BASES {
        api = api.nest(base, routes.clone());
    }
    // Around the bases, so that it sees the whole path.
    api.route_layer(middleware::from_fn_with_state(state.clone(), authorize))
        .route(
            "/api/openapi.json",
            get(async move || ([(CONTENT_TYPE, "application/json")], document.to_string())),
        )
        .merge(console::routes())
        .fallback(|| std::future::ready(ApiError::from(ErrorCause::NoSuchRoute)))
        .method_not_allowed_fallback(|| {
            std::future::ready(ApiError::from(ErrorCause::NoSuchMethod))
        })
        .layer(DefaultBodyLimit::max(BODY))
        .layer(middleware::from_fn_with_state(state.clone(), finish))
        .with_state(state)
}

/// What describes the routes.
#[cfg(test)]
pub(super) fn document() -> utoipa::openapi::OpenApi {
    described().1
}

fn described() -> (Router<AdminState>, utoipa::openapi::OpenApi) {
    let routes = || {
        OpenApiRouter::new()
            .routes(routes!(keys::list, keys::create, deletes::delete_several))
            .routes(routes!(keys::get, keys::edit, deletes::delete))
            .routes(routes!(revocation::revoke))
            .routes(routes!(revocation::revocation))
            .routes(routes!(senders::list))
            .routes(routes!(instances::list, deletes::delete_several_instances))
            .routes(routes!(instances::get, deletes::delete_instance))
            .routes(routes!(settings::get, settings::edit, settings::replace))
            .routes(routes!(agents::list))
            .routes(routes!(agents::get))
            .routes(routes!(sessions::list))
            .routes(routes!(sessions::disconnect))
            .routes(routes!(rejections::list))
            .routes(routes!(gateways::list))
            .routes(routes!(gateways::forget))
            .routes(routes!(events::follow))
            .routes(routes!(audit::list))
            .routes(routes!(tokens::list, tokens::create))
            .routes(routes!(tokens::mine))
            .routes(routes!(tokens::revoke))
            .routes(routes!(about::about))
            .routes(routes!(about::agent_config))
    };
    let document = OpenApiRouter::with_openapi(Document::openapi()).nest("/api/v1", routes());
    let mut document = document.into_openapi();
    document::complete(&mut document);
    (routes().into(), document)
}

/// Gives the request its id, and an error its body.
async fn finish(State(state): State<AdminState>, request: Request, next: Next) -> Response {
    let id = request_id();
    let mut response = next.run(request).await;
    if let Some(error) = response.extensions_mut().remove::<ApiError>() {
        response = error.into_body(&id, state.tokens.now());
    }
    finished(response, &id)
}

/// With what every answer has.
fn finished(mut response: Response, id: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    console::harden(response.headers_mut());
    response
}

/// What every call is answered while the gateway waits for its store.
pub(super) fn refusal(why: &str) -> Response {
    let error = ApiError::from(ErrorCause::NotYet(why.to_owned()));
    let id = request_id();
    finished(error.into_body(&id, StoreClock::default().now()), &id)
}

/// Random; all zeros should the system have no random numbers, for an id is
/// worth no failed answer.
fn request_id() -> String {
    let mut bytes = [0; 16];
    let _ = getrandom::fill(&mut bytes);
    Uuid::from_bytes(bytes).simple().to_string()
}
