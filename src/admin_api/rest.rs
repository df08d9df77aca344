//! The admin listener's REST: NGINX One's contract for data plane keys and
//! instances, and what muster knows besides, in the same style.
//!
//! Owns: the routes, and what every answer of them has in common. Must not know:
//! rules of keys: it calls what the admin gRPC calls.
//! Invariants: every route says which role it needs, in its handler's
//! arguments; every answer that is not a success has one shape.

mod about;
mod agents;
mod audit;
mod auth;
mod deletes;
mod document;
mod error;
mod events;
mod filter;
mod gateways;
mod instances;
mod keys;
mod noted;
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

use super::About;
use crate::control::audit::Audit;
use crate::control::gateways::Gateways;
use crate::control::instances::InstanceAdmin;
use crate::control::keys::KeyAdmin;
use crate::control::settings::Settings;
use crate::control::tokens::Tokens;
use crate::gateway::events::Events;
use crate::gateway::presence::Presence;
use crate::gateway::registrations::Instances;
use crate::gateway::telemetry_senders::Senders;
use crate::store::StoreClock;

use super::console;
pub(super) use auth::CONSOLE;
use auth::Scheme;
pub(super) use error::{ApiError, Fault};
use noted::Noted;

/// What the routes work on.
#[derive(Clone)]
pub(super) struct Rest {
    pub keys: Arc<KeyAdmin>,
    pub instances: Arc<Instances>,
    pub presence: Arc<Presence>,
    pub events: Arc<Events>,
    pub gateways: Gateways,
    pub tokens: Tokens,
    pub audit: Arc<Audit>,
    pub senders: Arc<Senders>,
    pub about: Arc<About>,
    pub instance_admin: InstanceAdmin,
    pub settings: Settings,
}

/// The path of a list, for the document.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes what params.rs reads")]
struct Namespaced {
    /// The only one is `default`.
    namespace: String,
}

/// The path of one row, for the document.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes what params.rs reads")]
struct One {
    /// The only one is `default`.
    namespace: String,
    /// The row's id.
    id: String,
}

/// Of which key, for the document.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what params.rs reads")]
struct OfKey {
    /// Only those of this key.
    key_object_id: Option<String>,
}

/// Where NGINX One has its API, and where muster's own lies.
const BASES: [&str; 2] = ["/api/nginx/one", "/api/v1"];
/// Bytes of a request's body: fifty keys' ids and their actions fit many times.
const BODY: usize = 64 * 1024;
/// The request's id, in the answer's headers and in the body of an error.
const REQUEST_ID: &str = "x-request-id";

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
pub(super) fn router(rest: Rest) -> Router {
    let (routes, document) = described();
    let document: Arc<str> = document.to_json().unwrap_or_default().into();
    let mut router: Router<Rest> = Router::new().route(
        "/api/openapi.json",
        get(async move || ([(CONTENT_TYPE, "application/json")], document.to_string())),
    );
    for base in BASES {
        router = router.nest(base, routes.clone());
    }
    router
        .merge(console::routes())
        .fallback(|| std::future::ready(ApiError::from(Fault::NoSuchRoute)))
        .method_not_allowed_fallback(|| std::future::ready(ApiError::from(Fault::NoSuchMethod)))
        .layer(DefaultBodyLimit::max(BODY))
        .layer(middleware::from_fn_with_state(rest.clone(), finish))
        .with_state(rest)
}

/// What describes the routes.
#[cfg(test)]
pub(super) fn document() -> utoipa::openapi::OpenApi {
    described().1
}

fn described() -> (Router<Rest>, utoipa::openapi::OpenApi) {
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

/// Gives the request its id, an error its body, and what is done its record.
async fn finish(State(rest): State<Rest>, mut request: Request, next: Next) -> Response {
    let id = request_id();
    let noted = Noted::of(&mut request);
    let answered = async move {
        let mut response = next.run(request).await;
        let error = response.extensions_mut().remove::<ApiError>();
        (response, error)
    };
    let (mut response, error) = match noted {
        None => answered.await,
        Some(noted) => {
            let audit = Arc::clone(&rest.audit);
            let noted = async move {
                let (response, error) = answered.await;
                noted.end(&audit, response.status(), error.as_ref()).await;
                (response, error)
            };
            rest.audit.to_the_end(noted).await
        }
    };
    if let Some(error) = error {
        response = error.told(&id, rest.tokens.now());
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
    let error = ApiError::from(Fault::NotYet(why.to_owned()));
    let id = request_id();
    finished(error.told(&id, StoreClock::default().now()), &id)
}

/// Random; all zeros should the system have no random numbers, for an id is
/// worth no failed answer.
fn request_id() -> String {
    let mut bytes = [0; 16];
    let _ = getrandom::fill(&mut bytes);
    Uuid::from_bytes(bytes).simple().to_string()
}
