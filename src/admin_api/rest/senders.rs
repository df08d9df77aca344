//! Senders of telemetry under a key.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::error::{ApiError, ErrorBody};
use super::page::{self, Page, Rows};
use super::params;
use super::params::{Key, Parameters};
use crate::admin_api::auth::Caller;
use crate::admin_api::state::AdminState;
use crate::gateway::telemetry_senders::Sender;

/// A sender of telemetry under a key in the last 5 minutes.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TelemetrySender {
    /// Where it sends from.
    address: String,
    /// The agent's resource id, if it gives one. Self-declared.
    #[serde(skip_serializing_if = "Option::is_none")]
    system_id: Option<String>,
    /// Its first export since it last paused for 5 minutes.
    #[schema(format = DateTime)]
    first_export: String,
    #[schema(format = DateTime)]
    last_export: String,
    /// From the first to the last.
    exports: u64,
}

impl From<Sender> for TelemetrySender {
    fn from(sender: Sender) -> Self {
        Self {
            address: sender.address.to_string(),
            system_id: sender.agent.map(|agent| agent.to_string()),
            first_export: sender.first_export.to_string(),
            last_export: sender.last_export.to_string(),
            exports: sender.exports,
        }
    }
}

/// The senders of telemetry under a key to the gateway that answers, newest first.
#[utoipa::path(get, path = "/namespaces/{namespace}/data-plane-keys/{id}/telemetry-senders",
    params(params::One, page::Asked),
    responses((status = 200, body = Rows<TelemetrySender>), (status = "4XX", body = ErrorBody)))]
pub(super) async fn list(
    State(state): State<AdminState>,
    _: Caller,
    Key(key): Key,
    parameters: Parameters,
) -> Result<Json<Rows<TelemetrySender>>, ApiError> {
    let parameters = parameters.only(&page::PARAMETERS)?;
    let page = Page::of(&parameters)?;
    state.keys.get(key).await?;
    let found = state.senders.of(key, state.keys.now());
    Ok(Json(
        page.cut(found.len(), found, |sender| Some(sender.into())),
    ))
}
