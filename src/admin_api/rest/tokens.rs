//! Admin tokens.

use axum::Json;
use axum::extract::State;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::{ApiError, ErrorBody, ErrorCause};
use super::keys::time;
use super::page::{self, Page, Rows};
use super::params;
use super::params::{Body, Namespace, NoParameters, Parameters, RowId};
use crate::admin_api::auth::Caller;
use crate::admin_api::state::AdminState;
use crate::keys::TokenId;
use crate::store::{Role, TokenRecord};

/// Tokens read at a time.
const BATCH: usize = 1_000;

/// An admin token, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TokenShown {
    #[schema(pattern = "^tok_.*")]
    object_id: String,
    name: String,
    role: RoleWord,
    /// `valid`, `expired` or `revoked`.
    status: &'static str,
    #[schema(format = DateTime)]
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    revoked_at: Option<String>,
    /// It is the one that makes this call.
    yours: bool,
}

/// What a token may do; each role may do what those before it may.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum RoleWord {
    Viewer,
    Operator,
    Admin,
}

/// A new token.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewToken {
    #[schema(min_length = 1, max_length = 128)]
    name: String,
    role: RoleWord,
    /// Left out: it does not expire.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// A token that was made: the one time that its secret is seen.
#[derive(Serialize, ToSchema)]
pub(super) struct MadeToken {
    #[serde(flatten)]
    shown: TokenShown,
    /// What callers send.
    token: String,
}

impl From<Role> for RoleWord {
    fn from(role: Role) -> Self {
        match role {
            Role::Viewer => Self::Viewer,
            Role::Operator => Self::Operator,
            Role::Admin => Self::Admin,
        }
    }
}

impl From<RoleWord> for Role {
    fn from(role: RoleWord) -> Self {
        match role {
            RoleWord::Viewer => Self::Viewer,
            RoleWord::Operator => Self::Operator,
            RoleWord::Admin => Self::Admin,
        }
    }
}

impl AdminState {
    fn token(&self, token: &TokenRecord, caller: &TokenRecord) -> TokenShown {
        TokenShown {
            object_id: token.id.to_string(),
            name: token.name.clone(),
            role: token.role.into(),
            status: token.status(self.tokens.now()).as_str(),
            created_at: token.created_at.to_string(),
            expires_at: token.expires_at.map(|at| at.to_string()),
            revoked_at: token.revoked_at.map(|at| at.to_string()),
            yours: token.id == caller.id,
        }
    }
}

/// The tokens, in order of creation.
#[utoipa::path(get, path = "/namespaces/{namespace}/tokens",
    params(params::Namespaced, page::Asked),
    responses((status = 200, body = Rows<TokenShown>), (status = "4XX", body = ErrorBody)))]
pub(super) async fn list(
    State(state): State<AdminState>,
    Caller { token: caller, .. }: Caller,
    _: Namespace,
    parameters: Parameters,
) -> Result<Json<Rows<TokenShown>>, ApiError> {
    let parameters = parameters.only(&page::PARAMETERS)?;
    let page = Page::of(&parameters)?;
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let batch = state.tokens.list(after, BATCH).await?;
        all.extend(batch.records);
        after = batch.next;
        if after.is_none() {
            break;
        }
    }
    let total = all.len();
    let rows = page.cut(total, all, |token| Some(state.token(&token, &caller)));
    Ok(Json(rows))
}

/// Makes a token. The answer has its secret, which is seen nowhere else.
#[utoipa::path(post, path = "/namespaces/{namespace}/tokens", params(params::Namespaced),
    request_body = NewToken,
    responses((status = 200, body = MadeToken), (status = "4XX", body = ErrorBody)))]
pub(super) async fn create(
    State(state): State<AdminState>,
    Caller {
        actor,
        token: caller,
    }: Caller,
    _: Namespace,
    _: NoParameters,
    Body(new): Body<NewToken>,
) -> Result<Json<MadeToken>, ApiError> {
    let expires_at = time("expires_at", new.expires_at)?;
    let created = state
        .tokens
        .create(&actor, new.name, new.role.into(), expires_at);
    let created = created.await?;
    Ok(Json(MadeToken {
        shown: state.token(&created.record, &caller),
        token: created.secret.expose_secret().to_owned(),
    }))
}

/// Revokes a token: the next call with it is refused. Never the last valid
/// admin token.
#[utoipa::path(delete, path = "/namespaces/{namespace}/tokens/{id}", params(params::One),
    responses((status = 200, body = TokenShown), (status = "4XX", body = ErrorBody),
        (status = 409, description = "it is the last valid admin token", body = ErrorBody)))]
pub(super) async fn revoke(
    State(state): State<AdminState>,
    Caller {
        actor,
        token: caller,
    }: Caller,
    RowId(id): RowId,
    _: NoParameters,
) -> Result<Json<TokenShown>, ApiError> {
    let id: TokenId = id
        .parse()
        .map_err(|error| ErrorCause::NotFound(format!("object_id: {error}")))?;
    let revoked = state.tokens.revoke(&actor, id).await?;
    Ok(Json(state.token(&revoked, &caller)))
}

/// The token that makes this call: who am I, and what may I do?
#[utoipa::path(get, path = "/namespaces/{namespace}/tokens/mine", params(params::Namespaced),
    responses((status = 200, body = TokenShown), (status = "4XX", body = ErrorBody)))]
pub(super) async fn mine(
    State(state): State<AdminState>,
    Caller { token: caller, .. }: Caller,
    _: Namespace,
    _: NoParameters,
) -> Result<Json<TokenShown>, ApiError> {
    Ok(Json(state.token(&caller, &caller)))
}
