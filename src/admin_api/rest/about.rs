//! The gateway that answers, and how agents are connected to it.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::error::{ApiError, ErrorBody, ErrorCause};
use super::params;
use super::params::{Namespace, NoParameters, Parameters};
use crate::admin_api::auth::Caller;
use crate::admin_api::state::AdminState;
use crate::control::agent_config::{Target, Wanted};

/// The gateway that answers.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AboutShown {
    /// The muster version that it runs.
    version: &'static str,
    gateway_name: String,
    /// Where agents dial, `HOST:PORT`.
    agent_address: String,
    /// The operator said so (`--agent-address`); else it is where the listener is
    /// bound, and agents elsewhere may not reach it.
    agent_address_named: bool,
    /// Where keys are kept: `embedded` or `redis`.
    store: &'static str,
}

/// What sets an agent up; it holds no key.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AgentConfig {
    /// `host`, `docker` or `kubernetes`.
    r#for: &'static str,
    /// A shell script for the agent's host, a `docker run`, a patch for a
    /// Deployment.
    text: String,
    /// What a file with that text is called.
    file_name: &'static str,
}

/// The gateway that answers.
#[utoipa::path(get, path = "/namespaces/{namespace}/about", params(params::Namespaced),
    responses((status = 200, body = AboutShown), (status = "4XX", body = ErrorBody)))]
pub(super) async fn about(
    State(state): State<AdminState>,
    _: Caller,
    _: Namespace,
    _: NoParameters,
) -> Result<Json<AboutShown>, ApiError> {
    let about = &state.about;
    Ok(Json(AboutShown {
        version: env!("CARGO_PKG_VERSION"),
        gateway_name: about.gateway_name.clone(),
        agent_address: about.agent_address.clone(),
        agent_address_named: about.agent_address_named,
        store: about.store,
    }))
}

/// What `muster agent-config --for` prints on the gateway that answers.
#[utoipa::path(get, path = "/namespaces/{namespace}/agent-config",
    params(params::Namespaced, Place),
    responses((status = 200, body = AgentConfig), (status = "4XX", body = ErrorBody),
        (status = 409, description = "agents there can't reach this gateway", body = ErrorBody)))]
pub(super) async fn agent_config(
    State(state): State<AdminState>,
    _: Caller,
    _: Namespace,
    parameters: Parameters,
) -> Result<Json<AgentConfig>, ApiError> {
    let parameters = parameters.only(&["for"])?;
    let target: Target = parameters
        .one("for")?
        .unwrap_or_default()
        .parse()
        .map_err(|error| ErrorCause::invalid("for", error))?;
    let wanted = Wanted {
        data_dir: state.about.data_dir.clone(),
        ..Wanted::default()
    };
    // It reads files.
    let made = tokio::task::spawn_blocking(move || wanted.text(target)).await;
    let text = made.map_err(|error| ErrorCause::Broken(error.to_string()))??;
    Ok(Json(AgentConfig {
        r#for: target.as_str(),
        text,
        file_name: target.file_name(),
    }))
}

/// For where.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `agent_config` reads")]
pub(super) struct Place {
    /// Where the agent runs.
    #[param(inline)]
    r#for: Where,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "describes what `agent_config` reads")]
enum Where {
    Host,
    Docker,
    Kubernetes,
}
