//! `muster.admin.v1.EventService`.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::stream::{self, Stream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::convert;
use crate::gateway::events::{Cursor, Events};
use crate::keys::KeyId;
use crate::net::listener::Call;
use crate::proto::admin::v1 as pb;
use crate::proto::admin::v1::event_service_server::EventService;
use crate::store::Event;

/// The event service.
pub(crate) struct EventStream {
    events: Arc<Events>,
}

impl EventStream {
    pub fn new(events: Arc<Events>) -> Self {
        Self { events }
    }
}

/// A reader's place. It takes from the ring when its peer has taken what came
/// before, so a slow one holds nothing up.
struct Reader {
    events: Arc<Events>,
    at: Cursor,
    key: Option<KeyId>,
    follow: bool,
    drain: CancellationToken,
}

impl Reader {
    async fn next(mut self) -> Option<(Result<pb::StreamEventsResponse, Status>, Option<Self>)> {
        loop {
            let next = self.events.next(&mut self.at, self.follow, &self.drain);
            let Some(batch) = next.await else {
                let is_draining = self.follow && self.drain.is_cancelled();
                let status = Status::unavailable("the gateway is stopping: connect again");
                return is_draining.then_some((Err(status), None));
            };
            let wanted = |event: &&Event| self.key.is_none() || event.key == self.key;
            let events: Vec<_> = batch.events.iter().filter(wanted).map(wire).collect();
            if events.is_empty() && batch.missed == 0 {
                continue;
            }
            let response = pb::StreamEventsResponse {
                events,
                missed: batch.missed,
            };
            return Some((Ok(response), Some(self)));
        }
    }
}

fn wire(event: &Event) -> pb::Event {
    pb::Event {
        id: event.id,
        at: Some(event.at.into()),
        kind: event.kind.as_str().into(),
        key_object_id: event.key.map(|key| key.to_string()).unwrap_or_default(),
        agent_id: event
            .agent
            .map(|agent| agent.to_string())
            .unwrap_or_default(),
        detail: event.detail.clone(),
        gateway_name: event.gateway.clone(),
    }
}

#[tonic::async_trait]
impl EventService for EventStream {
    type StreamEventsStream =
        Pin<Box<dyn Stream<Item = Result<pb::StreamEventsResponse, Status>> + Send>>;

    async fn stream_events(
        &self,
        request: Request<pb::StreamEventsRequest>,
    ) -> Result<Response<Self::StreamEventsStream>, Status> {
        let call = request.extensions().get::<Arc<Call>>();
        let drain = call.map_or_else(CancellationToken::new, |call| call.drain().clone());
        let request = request.into_inner();
        let key = match request.key_object_id.as_str() {
            "" => None,
            id => Some(convert::key_id("key_object_id", id)?),
        };
        self.events.settle().await;
        let reader = Reader {
            events: Arc::clone(&self.events),
            at: self.events.cursor(request.since_id),
            key,
            follow: request.follow,
            drain,
        };
        let stream = stream::unfold(Some(reader), |reader| async { reader?.next().await });
        Ok(Response::new(Box::pin(stream)))
    }
}
