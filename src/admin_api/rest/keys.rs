//! Data plane keys: list, add, show, edit.

use std::borrow::Cow;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderName;
use axum::http::header::ETAG;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::{ApiError, ErrorBody, ErrorCause};
use super::filter::{self, Filter, Order};
use super::page::{self, Rows};
use super::params;
use super::params::{Body, IfMatch, Key, Namespace, NoParameters, Parameters};
use super::search::{self, Search};
use super::walk::{self, Ranked, Walk};
use crate::admin_api::auth::Caller;
use crate::admin_api::state::AdminState;
use crate::gateway::presence::RemoteSessions;
use crate::keys::{KeyRecord, Timestamp};
use crate::store::KeyEdit;

/// A data plane key, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DataPlaneKey {
    #[schema(pattern = "^key_.*")]
    object_id: String,
    #[schema(min_length = 1, max_length = 128)]
    name: String,
    /// The group of keys it belongs to.
    namespace: String,
    /// `valid`, `expired` or `revoked`; the last wins.
    status: &'static str,
    revoked: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    revoked_at: Option<String>,
    #[schema(format = DateTime)]
    expires_at: String,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    modified_at: String,
    /// NGINX instances whose agent's last join was with it.
    instances_count: usize,
    /// Control planes, which there are none of here.
    control_planes_count: usize,
    /// Agents whose last join was with it.
    agents_count: usize,
    /// Agents that ever joined with it.
    agents_ever_count: usize,
    /// Sessions live under it, on all gateways.
    live_sessions: usize,
    /// When it was last in use, if ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    last_used_at: Option<String>,
}

/// A new key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewDataPlaneKey {
    /// Not necessarily unique.
    #[schema(min_length = 1, max_length = 128)]
    name: String,
    /// Left out: one year from now, which is also the longest.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// A key that was added: the one time that its secret is seen.
#[derive(Serialize, ToSchema)]
pub(super) struct AddedDataPlaneKey {
    name: String,
    #[schema(pattern = "^key_.*")]
    object_id: String,
    /// What agents present.
    key: String,
    #[schema(format = DateTime)]
    expires_at: String,
}

/// What is to be changed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DataPlaneKeyEdit {
    #[schema(min_length = 1, max_length = 128)]
    name: Option<String>,
    /// At most one year from now; not of a key that has expired or was revoked.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

#[derive(Debug, Clone, Copy)]
enum Field {
    Name,
    Status,
    ObjectId,
    CreatedAt,
    ExpiresAt,
}

const FILTER_FIELDS: &str = "name, status or object_id";
const SORT_FIELDS: &str = "name, status, created_at or expires_at";

fn filter_field(name: &str) -> Option<Field> {
    match name {
        "name" => Some(Field::Name),
        "status" => Some(Field::Status),
        "object_id" => Some(Field::ObjectId),
        _ => None,
    }
}

fn sort_field(name: &str) -> Option<Field> {
    match name {
        "name" => Some(Field::Name),
        "status" => Some(Field::Status),
        "created_at" => Some(Field::CreatedAt),
        "expires_at" => Some(Field::ExpiresAt),
        _ => None,
    }
}

fn value(field: Field, key: &KeyRecord, now: Timestamp) -> Cow<'_, str> {
    match field {
        Field::Name => key.name.as_str().into(),
        Field::Status => key.status(now).as_str().into(),
        Field::ObjectId => key.id.to_string().into(),
        // Of one length, so that they sort as numbers.
        Field::CreatedAt => format!("{:020}", key.created_at.as_millis()).into(),
        Field::ExpiresAt => format!("{:020}", key.expires_at.as_millis()).into(),
    }
}

/// A time of a request.
pub(super) fn time(field: &str, text: Option<String>) -> Result<Option<Timestamp>, ApiError> {
    let parsed = text.map(|text| Timestamp::parse_rfc3339(&text)).transpose();
    parsed.map_err(|error| ErrorCause::invalid(field, error).into())
}

impl AdminState {
    /// A key as it is shown.
    fn shown(&self, key: &KeyRecord, elsewhere: &RemoteSessions) -> DataPlaneKey {
        let usage = self.keys.usage(key.id, elsewhere);
        DataPlaneKey {
            object_id: key.id.to_string(),
            name: key.name.clone(),
            namespace: key.namespace.clone(),
            status: key.status(self.keys.now()).as_str(),
            revoked: key.revoked_at.is_some(),
            revoked_at: key.revoked_at.map(|at| at.to_string()),
            expires_at: key.expires_at.to_string(),
            created_at: key.created_at.to_string(),
            modified_at: key.modified_at.to_string(),
            instances_count: usage.agents.instances,
            control_planes_count: 0,
            agents_count: usage.agents.now,
            agents_ever_count: usage.agents.ever,
            live_sessions: usage.live_sessions,
            last_used_at: usage.last_used.map(|at| at.to_string()),
        }
    }

    /// A key that was changed: it is shown also if nothing is known of
    /// the other gateways.
    pub(super) async fn changed(&self, key: &KeyRecord) -> DataPlaneKey {
        let elsewhere = self.keys.elsewhere().await.unwrap_or_default();
        self.shown(key, &elsewhere)
    }
}

/// The keys, revoked and expired ones too.
#[utoipa::path(get, path = "/namespaces/{namespace}/data-plane-keys",
    params(params::Namespaced, page::Asked, walk::Asked, filter::Asked, search::Asked),
    responses((status = 200, body = Rows<DataPlaneKey>), (status = "4XX", body = ErrorBody)))]
pub(super) async fn list(
    State(state): State<AdminState>,
    _: Caller,
    _: Namespace,
    parameters: Parameters,
) -> Result<Json<Rows<DataPlaneKey>>, ApiError> {
    let known = [&walk::PARAMETERS[..], &[search::PARAMETER]].concat();
    let parameters = parameters.only(&known)?;
    let search = Search::of(&parameters)?;
    let filter = Filter::of(&parameters, filter_field, FILTER_FIELDS)?;
    let order = Order::of(&parameters, sort_field, SORT_FIELDS)?;
    let walk = Walk::of("keys", &parameters, order)?;
    let all = state.keys.all().await?;
    let elsewhere = state.keys.elsewhere().await?;
    let now = state.keys.now();
    if search.is_any() && filter.is_any() && walk.is_by_id() {
        let rows = all.values().map(|key| ((key.created_at, key.id), key));
        return Ok(Json(
            walk.cut_by_id(all.len(), rows, |key| state.shown(key, &elsewhere)),
        ));
    }
    let wanted = all
        .values()
        .filter(|key| search.is_any() || search.finds(&[&key.name, &key.id.to_string()]))
        .filter(|key| filter.takes(|field| value(field, key, now)));
    let found = wanted.map(|key| Ranked {
        by: walk.ranks(|field| value(field, key, now)),
        id: (key.created_at, key.id),
        row: key,
    });
    let rows = walk.cut(all.len(), found.collect(), |key| {
        state.shown(key, &elsewhere)
    });
    Ok(Json(rows))
}

/// Adds a key. The answer has its secret, which is seen nowhere else.
#[utoipa::path(post, path = "/namespaces/{namespace}/data-plane-keys", params(params::Namespaced),
    request_body = NewDataPlaneKey,
    responses((status = 200, body = AddedDataPlaneKey), (status = "4XX", body = ErrorBody)))]
pub(super) async fn create(
    State(state): State<AdminState>,
    Caller { actor, .. }: Caller,
    _: Namespace,
    _: NoParameters,
    Body(new): Body<NewDataPlaneKey>,
) -> Result<Json<AddedDataPlaneKey>, ApiError> {
    let expires_at = time("expires_at", new.expires_at)?;
    let created = state.keys.create(&actor, new.name, expires_at).await?;
    Ok(Json(AddedDataPlaneKey {
        object_id: created.record.id.to_string(),
        expires_at: created.record.expires_at.to_string(),
        name: created.record.name,
        key: created.secret.expose_secret().to_owned(),
    }))
}

/// One key; its revision is its ETag.
#[utoipa::path(get, path = "/namespaces/{namespace}/data-plane-keys/{id}", params(params::One),
    responses((status = 200, body = DataPlaneKey, headers(("ETag" = String))),
        (status = "4XX", body = ErrorBody)))]
pub(super) async fn get(
    State(state): State<AdminState>,
    _: Caller,
    Key(key): Key,
    _: NoParameters,
) -> Result<Tagged, ApiError> {
    let record = state.keys.get(key).await?;
    let elsewhere = state.keys.elsewhere().await?;
    Ok(tagged(&record, state.shown(&record, &elsewhere)))
}

/// A key with its revision as its ETag.
type Tagged = ([(HeaderName, String); 1], Json<DataPlaneKey>);

fn tagged(record: &KeyRecord, shown: DataPlaneKey) -> Tagged {
    ([(ETAG, format!("\"{}\"", record.revision))], Json(shown))
}

/// Changes a key's name, its expiry, or both. With `If-Match`, only if it is as
/// the GET of that ETag showed it; else 412.
#[utoipa::path(patch, path = "/namespaces/{namespace}/data-plane-keys/{id}",
    params(params::One, ("If-Match" = Option<String>, Header,
        description = "the ETag of the key's GET; or *: whatever it is at")),
    request_body = DataPlaneKeyEdit,
    responses((status = 200, body = DataPlaneKey, headers(("ETag" = String))),
        (status = "4XX", body = ErrorBody),
        (status = 412, description = "somebody changed it meanwhile", body = ErrorBody)))]
pub(super) async fn edit(
    State(state): State<AdminState>,
    Caller { actor, .. }: Caller,
    Key(key): Key,
    IfMatch(if_revision): IfMatch,
    _: NoParameters,
    Body(edit): Body<DataPlaneKeyEdit>,
) -> Result<Tagged, ApiError> {
    let edit = KeyEdit {
        expires_at: time("expires_at", edit.expires_at)?,
        name: edit.name,
        if_revision,
    };
    let (record, _) = state.keys.edit(&actor, key, edit).await?;
    Ok(tagged(&record, state.changed(&record).await))
}
