//! What happened, as server-sent events: those that are kept, then those to
//! come.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use futures_util::stream::{self, Stream, StreamExt};
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use super::error::{ApiError, ErrorBody, ErrorCause};
use super::params;
use super::params::{Namespace, Parameters};
use crate::admin_api::auth::Caller;
use crate::admin_api::state::AdminState;
use crate::gateway::events::{Cursor, Events};
use crate::keys::KeyId;
use crate::net::listener::Call;
use crate::store::Event;

/// So that proxies and pages see that the stream lives; a page does not see
/// comments.
const ALIVE: Duration = Duration::from_secs(15);
/// Where a browser says how far it was when its stream broke.
const LAST_EVENT_ID: &str = "last-event-id";

/// An event; the stream's `id` is its id, so that a broken stream goes on where
/// it was.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EventShown {
    id: u64,
    #[schema(format = DateTime)]
    at: String,
    /// For example `session_closed`; all kinds are in docs/events.md.
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_object_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_id: Option<String>,
    detail: String,
    /// The name of the gateway that noted it.
    gateway_name: String,
}

impl From<&Event> for EventShown {
    fn from(event: &Event) -> Self {
        Self {
            id: event.id,
            at: event.at.to_string(),
            kind: event.kind.as_str(),
            key_object_id: event.key.map(|key| key.to_string()),
            system_id: event.agent.map(|agent| agent.to_string()),
            detail: event.detail.clone(),
            gateway_name: event.gateway.clone(),
        }
    }
}

/// One part of the stream, as server-sent events are.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what `Reader` sends")]
pub(super) struct StreamPart {
    /// The event's id; not of the type `missed`.
    id: Option<String>,
    /// `missed`, or none.
    event: Option<String>,
    /// `EventShown` as JSON; of the type `missed`: `Missed`.
    #[schema(content_media_type = "application/json")]
    data: String,
}

/// How many events a reader missed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Missed {
    missed: u64,
}

/// A reader's place.
struct Reader {
    events: Arc<Events>,
    at: Cursor,
    key: Option<KeyId>,
    follow: bool,
    drain: CancellationToken,
}

impl Reader {
    /// The next run of events; `None` at the end.
    async fn next(mut self) -> Option<(Vec<Sent>, Self)> {
        loop {
            let next = self.events.next(&mut self.at, self.follow, &self.drain);
            let batch = next.await?;
            let mut told = Vec::new();
            if batch.missed > 0 {
                let missed = Missed {
                    missed: batch.missed,
                };
                told.extend(Sent::default().event("missed").json_data(missed));
            }
            let wanted = |event: &&Event| self.key.is_none() || event.key == self.key;
            for event in batch.events.iter().filter(wanted) {
                let sent = Sent::default().id(event.id.to_string());
                told.extend(sent.json_data(EventShown::from(event)));
            }
            if !told.is_empty() {
                return Some((told, self));
            }
        }
    }
}

/// The events after an id, and with `follow` (the default) those to come. Events
/// of the type `missed` say how many are not kept any more, and those of the type
/// `alive` come every 15 s without another event.
#[utoipa::path(get, path = "/namespaces/{namespace}/events",
    params(params::Namespaced, params::OfKey, Place),
    responses((status = 200, body = StreamPart, content_type = "text/event-stream"),
        (status = "4XX", body = ErrorBody)))]
pub(super) async fn follow(
    State(state): State<AdminState>,
    _: Caller,
    _: Namespace,
    call: Option<Extension<Arc<Call>>>,
    headers: HeaderMap,
    parameters: Parameters,
) -> Result<Sse<impl Stream<Item = Result<Sent, Infallible>>>, ApiError> {
    let parameters = parameters.only(&["since_id", "key_object_id", "follow"])?;
    let since = match headers.get(LAST_EVENT_ID) {
        None => parameters.number("since_id", 0)?.unwrap_or(0) as u64,
        Some(id) => {
            let id = id.to_str().ok().and_then(|id| id.parse().ok());
            id.ok_or_else(|| ErrorCause::invalid(LAST_EVENT_ID, "must be an event's id"))?
        }
    };
    state.events.settle().await;
    let reader = Reader {
        at: state.events.cursor(since),
        key: parameters.key("key_object_id")?,
        follow: parameters.flag("follow")?.unwrap_or(true),
        drain: call.map_or_else(CancellationToken::new, |call| call.drain().clone()),
        events: state.events,
    };
    let runs = stream::unfold(reader, Reader::next);
    let events = runs.flat_map(|run| stream::iter(run.into_iter().map(Ok)));
    let alive = Sent::default().event("alive").data("{}");
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE).event(alive)))
}

/// From where, and how far.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `follow` reads")]
pub(super) struct Place {
    /// Only events after this id; 0: from the first that is kept.
    since_id: Option<u64>,
    /// Go on with those to come (the default), or end.
    follow: Option<bool>,
}
