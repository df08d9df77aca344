//! The audit trail, the newest first.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::error::{ApiError, ErrorBody, ErrorCause};
use super::params;
use super::params::{Namespace, Parameters};
use crate::admin_api::auth::Caller;
use crate::admin_api::page_token::PageTokens;
use crate::admin_api::state::AdminState;
use crate::control::audit::AuditFilter;
use crate::keys::Timestamp;
use crate::store::{AuditRecord, AuditResult};

/// Rows of a page when nothing is said.
const DEFAULT_LIMIT: usize = 100;
/// Rows of a page at most.
const MAX_LIMIT: usize = 1_000;

/// What may be asked for; all that is given has to hold.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `list` reads")]
pub(super) struct Asked {
    /// Part of the actor: a token's name or id.
    actor: Option<String>,
    /// The action, or what it is of: `key` for all of `key.…`.
    action: Option<String>,
    /// The id of what it was done to.
    target: Option<String>,
    /// Not older than this.
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<String>,
    /// `ok`, `refused`, `failed` or `unknown`.
    result: Option<Went>,
    /// Rows of the page.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The `next_page_token` of the page before.
    page_token: Option<String>,
}

/// How an action went; `failed`, a fault of muster: it was not done; `unknown`: it may
/// have been done all the same.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Went {
    Ok,
    Refused,
    Failed,
    Unknown,
}

const PARAMETERS: [&str; 7] = [
    "actor",
    "action",
    "target",
    "since",
    "result",
    "limit",
    "page_token",
];

/// An operator's action.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AuditShown {
    /// One up on each record.
    id: u64,
    #[schema(format = DateTime)]
    at: String,
    /// The token's name and id.
    actor: String,
    /// For example `key.revoke`.
    action: String,
    /// The id of what it was done to.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    /// In words: a name, what was set.
    detail: String,
    /// The peer's address.
    from: String,
    /// `grpc`, `rest` or `console`.
    door: String,
    gateway_name: String,
    result: Went,
    /// Why it did not go well.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// A page of the trail. It looks through 10,000 records at most: with a filter it
/// may have few rows, or none, and a next page all the same.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AuditRows {
    items: Vec<AuditShown>,
    /// For `page_token`; absent: there are no older ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

/// The changes that operators made or were refused, over any interface of any gateway,
/// the newest first.
#[utoipa::path(get, path = "/namespaces/{namespace}/audit", params(params::Namespaced, Asked),
    responses((status = 200, body = AuditRows), (status = "4XX", body = ErrorBody)))]
pub(super) async fn list(
    State(state): State<AdminState>,
    _: Caller,
    _: Namespace,
    parameters: Parameters,
) -> Result<Json<AuditRows>, ApiError> {
    let parameters = parameters.only(&PARAMETERS)?;
    let text = |name| Ok::<_, ApiError>(parameters.one(name)?.map(str::to_owned));
    let since = parameters.one("since")?.map(Timestamp::parse_rfc3339);
    let since = since
        .transpose()
        .map_err(|error| ErrorCause::invalid("since", error))?;
    let result = parameters.one("result")?.map(|word| {
        AuditResult::parse(word)
            .ok_or_else(|| ErrorCause::invalid("result", "must be ok, refused, failed or unknown"))
    });
    let filter = AuditFilter {
        actor: text("actor")?,
        action: text("action")?,
        target: text("target")?,
        since,
        result: result.transpose()?,
    };
    let limit = parameters.number("limit", 1)?.unwrap_or(DEFAULT_LIMIT);
    if limit > MAX_LIMIT {
        return Err(ErrorCause::invalid("limit", format!("must be 1 to {MAX_LIMIT}")).into());
    }
    let tokens = PageTokens::of(["audit"]);
    let before = parameters.one("page_token")?;
    let before = before
        .map(|token| tokens.place(token).ok_or(()))
        .transpose();
    let before =
        before.map_err(|_| ErrorCause::invalid("page_token", "not one that a page gave out"))?;
    let page = state.audit.page(&filter, before, limit).await?;
    Ok(Json(AuditRows {
        items: page.records.into_iter().map(AuditShown::from).collect(),
        next_page_token: page.next.map(|next| tokens.token(&next)),
    }))
}

impl From<AuditRecord> for AuditShown {
    fn from(record: AuditRecord) -> Self {
        let AuditRecord { id, deed, .. } = record;
        Self {
            id,
            at: deed.at.to_string(),
            actor: deed.actor,
            action: deed.action,
            target: deed.target,
            detail: deed.detail,
            from: deed.from,
            door: deed.door,
            gateway_name: deed.gateway,
            result: match deed.result {
                AuditResult::Ok => Went::Ok,
                AuditResult::Refused => Went::Refused,
                AuditResult::Failed => Went::Failed,
                AuditResult::Unknown => Went::Unknown,
            },
            reason: deed.reason,
        }
    }
}
