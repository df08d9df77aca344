//! Why agents do not get in.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::error::{ApiError, ErrorBody, ErrorCause};
use super::page::{self, Page, Rows};
use super::params;
use super::params::{Namespace, Parameters};
use crate::admin_api::auth::Caller;
use crate::admin_api::state::AdminState;
use crate::gateway::presence::RejectionThere;
use crate::gateway::rejections::{Filter, Reason};

/// Refusals on one gateway alike in reason, key, agent and address.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Rejection {
    /// For example `KEY_REVOKED`; all are in docs/refusals.md.
    reason: &'static str,
    /// The reason in words.
    meaning: &'static str,
    /// What to do about it.
    cure: &'static str,
    /// Where the credential names a key that the store knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_object_id: Option<String>,
    /// The agent's resource id, if it gave one. Self-declared.
    #[serde(skip_serializing_if = "Option::is_none")]
    system_id: Option<String>,
    address: String,
    count: u64,
    #[schema(format = DateTime)]
    first_at: String,
    #[schema(format = DateTime)]
    last_at: String,
    gateway_id: String,
    gateway_name: String,
}

impl From<RejectionThere> for Rejection {
    fn from(there: RejectionThere) -> Self {
        let rejection = there.rejection;
        let group = rejection.group;
        Self {
            reason: group.reason.as_str(),
            meaning: group.reason.meaning(),
            cure: group.reason.cure(),
            key_object_id: group.key.map(|key| key.to_string()),
            system_id: group.agent.map(|agent| agent.to_string()),
            address: group.address.to_string(),
            count: rejection.count,
            first_at: rejection.first_at.to_string(),
            last_at: rejection.last_at.to_string(),
            gateway_id: there.gateway_id.to_string(),
            gateway_name: there.gateway,
        }
    }
}

/// The last refusals of all gateways, grouped, newest first.
#[utoipa::path(get, path = "/namespaces/{namespace}/rejections",
    params(params::Namespaced, page::Asked, params::OfKey, Wanted),
    responses((status = 200, body = Rows<Rejection>), (status = "4XX", body = ErrorBody)))]
pub(super) async fn list(
    State(state): State<AdminState>,
    _: Caller,
    _: Namespace,
    parameters: Parameters,
) -> Result<Json<Rows<Rejection>>, ApiError> {
    let own = ["key_object_id", "system_id", "reason"];
    let parameters = parameters.only(&[&page::PARAMETERS[..], &own].concat())?;
    let page = Page::of(&parameters)?;
    let filter = Filter {
        key: parameters.key("key_object_id")?,
        agent: parameters.agent("system_id")?,
    };
    let reason = parameters.one("reason")?.map(|word| {
        let none =
            || ErrorCause::invalid("reason", "there is no such one; docs/refusals.md has all");
        Reason::parse(word).ok_or_else(none)
    });
    let reason = reason.transpose()?;
    let all = state
        .presence
        .rejections(Filter::default(), None, usize::MAX);
    let mut found = all.await?;
    let total = found.len();
    found.retain(|there| {
        let group = &there.rejection.group;
        filter.takes(group) && reason.is_none_or(|reason| group.reason == reason)
    });
    Ok(Json(page.cut(total, found, |there| Some(there.into()))))
}

/// Which refusals are asked for.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `list` reads")]
pub(super) struct Wanted {
    /// Only those of this agent: its resource id, a UUID.
    system_id: Option<String>,
    /// Only those for this reason, for example `KEY_REVOKED`.
    reason: Option<String>,
}
