//! What happened, in order, for operators.
//!
//! Owns: the ring of the last events, their numbers, their way into the store.
//! Must not know: who reads them, gRPC.
//! Invariant: noting an event never waits: readers come and take from the ring
//! by number, and one that is too slow is told how many it missed.

mod expiries;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::keys::{KeyId, Timestamp};
use crate::store::{Event, EventKind, EventLog, EventStore, StoreClock, StoreError};

pub use expiries::ExpiryEvents;

/// Events kept, here and in the store.
pub const KEPT: usize = 10_000;
/// Events that a reader gets at once.
const BATCH: usize = 500;
/// Characters of a detail.
const MAX_DETAIL: usize = 256;

/// The events of this gateway's store.
pub struct Events {
    store: Arc<dyn EventStore>,
    clock: StoreClock,
    ring: Mutex<Ring>,
    last_id: watch::Sender<u64>,
}

struct Ring {
    events: VecDeque<Event>,
    next_id: u64,
    /// The newest id that the store has.
    written: u64,
    expiries_until: Timestamp,
    expiries_written: Timestamp,
}

impl Ring {
    fn push(
        &mut self,
        at: Timestamp,
        kind: EventKind,
        key: Option<KeyId>,
        agent: Option<Uuid>,
        mut detail: String,
    ) -> u64 {
        if let Some((end, _)) = detail.char_indices().nth(MAX_DETAIL) {
            detail.truncate(end);
        }
        let id = self.next_id;
        self.next_id += 1;
        self.events.push_back(Event {
            id,
            at,
            kind,
            key,
            agent,
            detail,
        });
        if self.events.len() > KEPT {
            self.events.pop_front();
        }
        id
    }
}

/// A run of events for a reader.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// In order.
    pub events: Vec<Event>,
    /// So many before these are not kept any more.
    pub missed: u64,
}

impl Events {
    /// Goes on where the store stands.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn load(store: Arc<dyn EventStore>, clock: StoreClock) -> Result<Self, StoreError> {
        let log = store.events().await?;
        let last = log.events.last().map_or(0, |event| event.id);
        // A new store tells no expiries from before it.
        let until = log.expiries_until.unwrap_or_else(|| clock.now());
        let mut events = VecDeque::from(log.events);
        while events.len() > KEPT {
            events.pop_front();
        }
        Ok(Self {
            store,
            clock,
            ring: Mutex::new(Ring {
                events,
                next_id: last + 1,
                written: last,
                expiries_until: until,
                expiries_written: Timestamp::from_millis(0),
            }),
            last_id: watch::Sender::new(last),
        })
    }

    /// Notes an event. Does not wait; the detail is cut to 256 characters.
    pub fn note(
        &self,
        kind: EventKind,
        key: Option<KeyId>,
        agent: Option<Uuid>,
        detail: impl Into<String>,
    ) {
        let at = self.clock.now();
        let id = self.ring().push(at, kind, key, agent, detail.into());
        self.tell(id);
    }

    /// Wakes the readers that wait. Numbers may arrive out of turn; a reader
    /// only needs the largest.
    fn tell(&self, id: u64) {
        self.last_id.send_if_modified(|last| {
            let newer = id > *last;
            *last = id.max(*last);
            newer
        });
    }

    /// The next events after `since`.
    pub fn after(&self, since: u64) -> Batch {
        let ring = self.ring();
        let first = ring.events.front().map_or(ring.next_id, |event| event.id);
        let start = ring.events.partition_point(|event| event.id <= since);
        Batch {
            events: ring
                .events
                .iter()
                .skip(start)
                .take(BATCH)
                .cloned()
                .collect(),
            missed: first.saturating_sub(since + 1),
        }
    }

    /// The id of the first event that is kept, or of the next.
    pub fn first(&self) -> u64 {
        let ring = self.ring();
        ring.events.front().map_or(ring.next_id, |event| event.id)
    }

    /// Waits until there is an event after `since`.
    pub async fn more(&self, since: u64) {
        // The sender lives as long as this, so this can't fail.
        let _ = self
            .last_id
            .subscribe()
            .wait_for(|last| *last > since)
            .await;
    }

    /// Writes what the store does not have.
    ///
    /// # Errors
    /// [`StoreError`]; it is written the next time.
    pub async fn flush(&self) -> Result<(), StoreError> {
        let log = {
            let ring = self.ring();
            let start = ring
                .events
                .partition_point(|event| event.id <= ring.written);
            EventLog {
                events: ring.events.iter().skip(start).cloned().collect(),
                expiries_until: Some(ring.expiries_until)
                    .filter(|until| *until != ring.expiries_written),
            }
        };
        if log.events.is_empty() && log.expiries_until.is_none() {
            return Ok(());
        }
        let written = log.events.last().map(|event| event.id);
        let until = log.expiries_until;
        self.store.save_events(log, KEPT as u64).await?;
        let mut ring = self.ring();
        ring.written = written.unwrap_or(ring.written);
        ring.expiries_written = until.unwrap_or(ring.expiries_written);
        Ok(())
    }

    /// Writes every `interval` until `shutdown`, then once more.
    pub async fn run(self: Arc<Self>, interval: Duration, shutdown: CancellationToken) {
        loop {
            let stopping = tokio::select! {
                () = tokio::time::sleep(interval) => false,
                () = shutdown.cancelled() => true,
            };
            if let Err(error) = self.flush().await {
                tracing::warn!(%error, "events are not written; trying again");
            }
            if stopping {
                return;
            }
        }
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::embedded::EmbeddedStore;

    async fn loaded(store: &EmbeddedStore) -> Events {
        use crate::store::KeyStore;
        Events::load(Arc::new(store.clone()), store.clock().clone())
            .await
            .unwrap()
    }

    fn note(events: &Events, detail: &str) {
        events.note(EventKind::AgentJoined, None, None, detail);
    }

    #[tokio::test]
    async fn events_are_numbered_on_across_restarts() {
        let store = EmbeddedStore::in_memory().unwrap();
        let events = loaded(&store).await;
        for n in 0..3 {
            note(&events, &n.to_string());
        }
        events.flush().await.unwrap();
        let again = loaded(&store).await;
        note(&again, "after");
        let all = again.after(0);
        let told: Vec<_> = all
            .events
            .iter()
            .map(|e| (e.id, e.detail.as_str()))
            .collect();
        assert_eq!(told, [(1, "0"), (2, "1"), (3, "2"), (4, "after")]);
        assert_eq!(all.missed, 0);
        assert_eq!(again.after(3).events.len(), 1);
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_what_it_missed() {
        let store = EmbeddedStore::in_memory().unwrap();
        let events = loaded(&store).await;
        for _ in 0..KEPT + 50 {
            note(&events, "");
        }
        let batch = events.after(20);
        assert_eq!((batch.missed, batch.events[0].id), (30, 51));
        assert_eq!(batch.events.len(), BATCH);
        events.flush().await.unwrap();
        note(&events, "");
        events.flush().await.unwrap();
        let kept = store.events().await.unwrap().events;
        assert_eq!((kept.len(), kept[0].id), (KEPT, 52));
    }

    #[tokio::test]
    async fn a_waiting_reader_wakes() {
        let store = EmbeddedStore::in_memory().unwrap();
        let events = Arc::new(loaded(&store).await);
        let waiting = tokio::spawn({
            let events = Arc::clone(&events);
            async move {
                events.more(0).await;
                events.after(0).events.len()
            }
        });
        note(&events, &"é".repeat(1000));
        assert_eq!(waiting.await.unwrap(), 1);
        assert_eq!(events.after(0).events[0].detail.chars().count(), 256);
    }
}
