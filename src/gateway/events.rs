//! What happened, in order, for operators.
//!
//! Owns: the events that wait for the store, the ring of the last ones that it
//! has numbered. Must not know: their readers, gRPC.
//! Invariants: noting an event never waits. What is in the ring came out of the
//! store, so all its gateways show the same events under the same numbers.
//! Readers take from the ring, and one that is too slow learns how
//! many it missed.

mod expiries;
mod pending;
mod ring;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) use expiries::ExpiryEvents;
pub use ring::Batch;
pub(crate) use ring::{Cursor, KEPT};

use crate::keys::{Epoch, KeyId, Timestamp};
use crate::store::{
    AppendOnce, BatchWriter, EventKind, EventPage, EventStore, NewEvent, StoreClock, StoreError,
};
use pending::Pending;
use ring::Ring;

/// Events written or read in one step.
const STEP: usize = 1000;
/// Between two looks at what other gateways wrote.
const FOLLOW: Duration = Duration::from_millis(500);
/// From the last event to the write: what comes meanwhile goes together. The
/// ends of many sessions must not wait for the record of each.
const GATHER: Duration = Duration::from_millis(200);
/// Longest run of such waits: one second.
const MOST_GATHERS: usize = 5;
/// How long a store that is away holds up a new reader.
const SETTLE: Duration = Duration::from_secs(1);
/// Characters of a detail.
const MAX_DETAIL: usize = 256;

/// The events of a store, noted by any of its gateways.
pub struct Events {
    store: Arc<dyn EventStore>,
    clock: StoreClock,
    gateway: String,
    pending: Mutex<Pending>,
    noted: Notify,
    ring: Mutex<Ring>,
    head: watch::Sender<Cursor>,
    /// Held while events go to the store or come from it, so that both happen
    /// in order.
    moving: tokio::sync::Mutex<BatchWriter<NewEvent>>,
}

impl Events {
    /// Goes on where the store stands.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn load(store: Arc<dyn EventStore>, clock: StoreClock) -> Result<Self, StoreError> {
        let ring = read_all(&*store).await?;
        Ok(Self {
            store,
            clock,
            gateway: String::new(),
            pending: Mutex::default(),
            noted: Notify::new(),
            head: watch::Sender::new(ring.head()),
            ring: Mutex::new(ring),
            moving: tokio::sync::Mutex::new(BatchWriter::new()?),
        })
    }

    /// Names the gateway in the events noted here.
    #[must_use]
    pub fn told_by(mut self, gateway: &str) -> Self {
        gateway.clone_into(&mut self.gateway);
        self
    }

    /// Notes an event, for the next write. Does not wait; the detail is cut to
    /// 256 characters.
    pub fn note(
        &self,
        kind: EventKind,
        key: Option<KeyId>,
        agent: Option<Uuid>,
        detail: impl Into<String>,
    ) {
        // Under the lock, so that times are in the order of the events.
        let mut pending = self.pending.lock();
        pending.push(self.made(self.clock.now(), kind, key, agent, detail.into()));
        drop(pending);
        self.noted.notify_one();
    }

    fn made(
        &self,
        at: Timestamp,
        kind: EventKind,
        key: Option<KeyId>,
        agent: Option<Uuid>,
        mut detail: String,
    ) -> NewEvent {
        if let Some((end, _)) = detail.char_indices().nth(MAX_DETAIL) {
            detail.truncate(end);
        }
        NewEvent {
            at,
            kind,
            key,
            agent,
            detail,
            gateway: self.gateway.clone(),
        }
    }

    /// Where a reader begins that has all up to the event `since`; 0: before
    /// the first that is kept; one above the last counts as the last.
    pub fn cursor(&self, since: u64) -> Cursor {
        self.ring.lock().cursor(since)
    }

    /// The next events from there on. Where the store lost events in a failover
    /// or was restored, a reader gets those that follow the last one that
    /// stayed: numbers that it has seen may come again, for other events.
    pub fn after(&self, at: Cursor) -> Batch {
        self.ring.lock().after(at)
    }

    /// What comes next for a reader: at once where there is something, else with
    /// `follow` when it comes. `None` at the end: there is no more, or `stop`.
    /// Moves `at` past what it returns.
    pub async fn next(
        &self,
        at: &mut Cursor,
        follow: bool,
        stop: &CancellationToken,
    ) -> Option<Batch> {
        loop {
            let batch = self.after(*at);
            *at = batch.next;
            if !batch.events.is_empty() || batch.missed > 0 {
                return Some(batch);
            }
            if !follow {
                return None;
            }
            tokio::select! {
                () = self.more(*at) => {}
                () = stop.cancelled() => return None,
            }
        }
    }

    /// Call before reading: it flushes pending events, so that a caller sees its
    /// own changes. If the store is unreachable, returns after 1 s with what
    /// is known.
    pub async fn settle(&self) {
        let _ = tokio::time::timeout(SETTLE, self.catch_up()).await;
    }

    /// Waits until there is something new from there on.
    pub async fn more(&self, at: Cursor) {
        let mut head = self.head.subscribe();
        let is_news = |head: &Cursor| head.since > at.since || head.returns > at.returns;
        // The sender lives as long as this, so this can't fail.
        let _ = head.wait_for(is_news).await;
    }

    /// Writes what was noted and takes in what all gateways wrote. May be
    /// dropped half way: what it began is then done the next time.
    ///
    /// # Errors
    /// [`StoreError`]; what was noted waits, in order.
    pub async fn catch_up(&self) -> Result<(), StoreError> {
        let mut moving = self.moving.lock().await;
        self.flush(&mut moving).await?;
        self.follow().await
    }

    async fn flush(&self, moving: &mut BatchWriter<NewEvent>) -> Result<(), StoreError> {
        let take = || self.pending.lock().take(STEP);
        let written = moving.write(take, |events, writer, number| {
            let once = AppendOnce::Batch { writer, number };
            self.store.append_events(events, once, KEPT as u64)
        });
        written.await?;
        let dropped = self.pending.lock().take_dropped();
        if dropped > 0 {
            tracing::error!(
                dropped,
                "the store was unreachable for too long: the oldest waiting events are lost"
            );
        }
        Ok(())
    }

    /// Appends events at once.
    async fn append(&self, events: Vec<NewEvent>, once: AppendOnce) -> Result<(), StoreError> {
        self.store.append_events(events, once, KEPT as u64).await?;
        self.noted.notify_one();
        Ok(())
    }

    async fn follow(&self) -> Result<(), StoreError> {
        loop {
            let after = self.ring.lock().last;
            let page = self.store.events_after(after, STEP).await?;
            let is_end = page.upto >= page.last;
            if self.take_in(page) {
                if is_end {
                    return Ok(());
                }
                continue;
            }
            let fresh = read_all(&*self.store).await?;
            let mut ring = self.ring.lock();
            if let Some(stayed) = ring.begin_again(fresh) {
                tracing::warn!(stayed, "the store has lost the events after this one");
            }
            self.show(&ring);
        }
    }

    /// Whether the page goes on where the ring ends.
    fn take_in(&self, page: EventPage) -> bool {
        let mut ring = self.ring.lock();
        let fits = ring.is_continued_by(&page);
        if fits {
            ring.take_in(page);
            self.show(&ring);
        }
        fits
    }

    /// Wakes the readers that wait for more.
    fn show(&self, ring: &Ring) {
        self.head.send_if_modified(|head| {
            let before = std::mem::replace(head, ring.head());
            before != *head
        });
    }

    /// Writes and follows until `shutdown`, then once more.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let mut is_behind = false;
        loop {
            let news = async {
                tokio::select! {
                    () = self.noted.notified(), if !is_behind => self.gather().await,
                    () = tokio::time::sleep(FOLLOW) => {}
                }
            };
            let stopping = tokio::select! {
                () = news => false,
                () = shutdown.cancelled() => true,
            };
            let done = self.catch_up().await;
            if let Err(error) = &done
                && !is_behind
            {
                tracing::warn!(%error, "events could not be written or read; retrying");
            }
            is_behind = done.is_err();
            if stopping {
                return;
            }
        }
    }

    /// Until no more events come, they are too many, or it took too long.
    async fn gather(&self) {
        let mut before = self.pending.lock().waiting();
        for _ in 0..MOST_GATHERS {
            tokio::time::sleep(GATHER).await;
            let waiting = self.pending.lock().waiting();
            if waiting <= before || waiting >= KEPT {
                return;
            }
            before = waiting;
        }
    }
}

/// All that the store has.
async fn read_all(store: &dyn EventStore) -> Result<Ring, StoreError> {
    let mut ring = Ring::new(Epoch(0));
    loop {
        let after = ring.last;
        let page = store.events_after(after, STEP).await?;
        if !ring.is_continued_by(&page) {
            // The first page, or the store went back while we read.
            ring = Ring::new(page.epoch);
            if after > 0 {
                continue;
            }
        }
        let is_end = page.upto >= page.last;
        ring.take_in(page);
        if is_end {
            return Ok(ring);
        }
    }
}

#[cfg(test)]
mod tests;
