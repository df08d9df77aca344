//! Numbers, the ring, the way to the store and back.

use std::sync::atomic::{AtomicU8, Ordering};

use async_trait::async_trait;

use super::ring::BATCH;
use super::*;
use crate::store::embedded::EmbeddedStore;
use crate::store::{Event, KeyStore};

async fn loaded(store: &EmbeddedStore) -> Events {
    Events::load(Arc::new(store.clone()), store.clock().clone())
        .await
        .unwrap()
}

fn note(events: &Events, detail: &str) {
    events.note(EventKind::AgentJoined, None, None, detail);
}

fn told(events: &[Event]) -> Vec<(u64, &str)> {
    events.iter().map(|e| (e.id, e.detail.as_str())).collect()
}

#[tokio::test]
async fn events_are_numbered_on_across_restarts() {
    let store = EmbeddedStore::in_memory().unwrap();
    let events = loaded(&store).await.told_by("one");
    for n in 0..3 {
        note(&events, &n.to_string());
    }
    assert!(events.after(events.cursor(0)).events.is_empty(), "not yet");
    events.catch_up().await.unwrap();
    let again = loaded(&store).await.told_by("two");
    note(&again, "after");
    again.catch_up().await.unwrap();
    let all = again.after(again.cursor(0));
    assert_eq!(
        told(&all.events),
        [(1, "0"), (2, "1"), (3, "2"), (4, "after")]
    );
    assert_eq!(all.missed, 0);
    let gateways: Vec<_> = all.events.iter().map(|e| e.gateway.as_str()).collect();
    assert_eq!(gateways, ["one", "one", "one", "two"]);
    assert_eq!(again.after(again.cursor(3)).events.len(), 1);
    // One from another history is no reason to be deaf.
    let beyond = again.cursor(u64::MAX);
    note(&again, "news");
    again.catch_up().await.unwrap();
    assert_eq!(told(&again.after(beyond).events), [(5, "news")]);
}

#[tokio::test]
async fn a_slow_reader_is_told_what_it_missed() {
    let store = EmbeddedStore::in_memory().unwrap();
    let events = loaded(&store).await;
    note(&events, "");
    events.catch_up().await.unwrap();
    let slow = events.cursor(1);
    // Read and written meanwhile: what waits is bounded, too.
    for part in [KEPT / 2, KEPT / 2, 49] {
        for _ in 0..part {
            note(&events, "");
        }
        events.catch_up().await.unwrap();
    }
    let batch = events.after(slow);
    assert_eq!((batch.missed, batch.events[0].id), (49, 51));
    assert_eq!(batch.events.len(), BATCH);
    let next = events.after(batch.next);
    assert_eq!((next.missed, next.events[0].id), (0, 51 + BATCH as u64));
    let kept = store.events_after(0, 2 * KEPT).await.unwrap().events;
    assert_eq!((kept.len(), kept[0].id), (KEPT, 51));
}

#[tokio::test]
async fn a_waiting_reader_wakes() {
    let store = EmbeddedStore::in_memory().unwrap();
    let events = Arc::new(loaded(&store).await);
    let stop = CancellationToken::new();
    let running = tokio::spawn(Arc::clone(&events).run(stop.clone()));
    let start = events.cursor(0);
    let waiting = tokio::spawn({
        let events = Arc::clone(&events);
        async move {
            events.more(start).await;
            events.after(start).events.len()
        }
    });
    note(&events, &"é".repeat(1000));
    assert_eq!(waiting.await.unwrap(), 1);
    assert_eq!(events.after(start).events[0].detail.chars().count(), 256);
    stop.cancel();
    note(&events, "at the stop");
    running.await.unwrap();
    assert_eq!(events.after(start).events.len(), 2);
}

/// A store whose appends fail before they are done, or after.
struct Failing {
    inner: EmbeddedStore,
    how: AtomicU8,
}

const WELL: u8 = 0;
const NOT_DONE: u8 = 1;
const ANSWER_LOST: u8 = 2;

#[async_trait]
impl EventStore for Failing {
    async fn append_events(
        &self,
        events: Vec<NewEvent>,
        once: AppendOnce,
        keep: u64,
    ) -> Result<bool, StoreError> {
        let how = self.how.load(Ordering::SeqCst);
        if how == NOT_DONE {
            return Err(StoreError::Failed("not done".into()));
        }
        let done = self.inner.append_events(events, once, keep).await?;
        if how == ANSWER_LOST {
            return Err(StoreError::Failed("the answer is lost".into()));
        }
        Ok(done)
    }

    async fn events_after(&self, after: u64, limit: usize) -> Result<EventPage, StoreError> {
        self.inner.events_after(after, limit).await
    }

    async fn expiries_until(&self) -> Result<Option<Timestamp>, StoreError> {
        self.inner.expiries_until().await
    }
}

async fn failing() -> (Arc<Failing>, Events) {
    let inner = EmbeddedStore::in_memory().unwrap();
    let clock = inner.clock().clone();
    let how = AtomicU8::new(WELL);
    let store = Arc::new(Failing { inner, how });
    let events = Events::load(store.clone(), clock).await.unwrap();
    (store, events)
}

#[tokio::test]
async fn events_wait_for_a_store_that_is_away_and_come_once_and_in_order() {
    let (store, events) = failing().await;
    let mut expected = Vec::new();
    for (n, how) in [NOT_DONE, ANSWER_LOST, ANSWER_LOST, NOT_DONE, WELL]
        .into_iter()
        .enumerate()
    {
        store.how.store(how, Ordering::SeqCst);
        note(&events, &n.to_string());
        expected.push((n as u64 + 1, n.to_string()));
        assert_eq!(events.catch_up().await.is_ok(), how == WELL);
    }
    let all = events.after(events.cursor(0)).events;
    let all: Vec<_> = all.into_iter().map(|e| (e.id, e.detail)).collect();
    assert_eq!(all, expected);
}

#[tokio::test]
async fn what_waits_is_bounded_and_the_oldest_go() {
    let (store, events) = failing().await;
    store.how.store(NOT_DONE, Ordering::SeqCst);
    for n in 0..2 * KEPT + 50 {
        note(&events, &n.to_string());
    }
    store.how.store(WELL, Ordering::SeqCst);
    events
        .flush(&mut *events.moving.lock().await)
        .await
        .unwrap();
    assert_eq!(events.pending.lock().take_dropped(), 0, "told already");
    events.catch_up().await.unwrap();
    let (first, last) = (KEPT as u64 + 1, 2 * KEPT as u64);
    let batch = events.after(events.cursor(0));
    assert_eq!(batch.events[0].id, first);
    assert_eq!(batch.events[0].detail, (first + 49).to_string());
    let page = store.inner.events_after(0, 1).await.unwrap();
    assert_eq!(page.last, last);
}

#[tokio::test(start_paused = true)]
async fn a_run_of_events_is_written_when_it_is_over_or_after_a_second() {
    let store = EmbeddedStore::in_memory().unwrap();
    let events = Arc::new(loaded(&store).await);
    let stop = CancellationToken::new();
    let running = tokio::spawn(Arc::clone(&events).run(stop.clone()));
    let shown = || events.ring.lock().last;
    let note_each_100_ms = async |count: usize| {
        for _ in 0..count {
            note(&events, "");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    note_each_100_ms(7).await;
    assert_eq!(shown(), 0);
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(shown(), 7);
    note_each_100_ms(12).await;
    assert!((8..19).contains(&shown()), "{}", shown());
    stop.cancel();
    running.await.unwrap();
    assert_eq!(shown(), 19);
}

fn page(epoch: u128, rows: &[(u64, &str)]) -> EventPage {
    let events: Vec<_> = rows
        .iter()
        .map(|(id, detail)| Event {
            id: *id,
            at: Timestamp::from_millis(0),
            kind: EventKind::KeyCreated,
            key: None,
            agent: None,
            detail: (*detail).into(),
            gateway: String::new(),
        })
        .collect();
    let last = rows.last().map_or(0, |row| row.0);
    EventPage {
        epoch: Epoch(epoch),
        events,
        upto: last,
        last,
    }
}

fn ring(epoch: u128, rows: &[(u64, &str)]) -> Ring {
    let mut ring = Ring::new(Epoch(epoch));
    ring.take_in(page(epoch, rows));
    ring
}

#[test]
fn a_reader_goes_on_at_the_last_event_that_stayed() {
    let mut own = ring(1, &[(1, "a"), (2, "b"), (3, "c"), (4, "d")]);
    let (behind, ahead) = (own.cursor(1), own.cursor(4));

    // Another history of the same events: nobody notices.
    let same = ring(2, &[(1, "a"), (2, "b"), (3, "c"), (4, "d"), (5, "e")]);
    assert!(!own.is_continued_by(&page(2, &[(5, "e")])));
    assert_eq!(own.begin_again(same), None);
    assert_eq!(told(&own.after(ahead).events), [(5, "e")]);

    // Lost from 3 on, and told anew beyond: both meet the new ones, once.
    let lost = ring(
        3,
        &[(1, "a"), (2, "b"), (3, "C"), (4, "D"), (5, "E"), (6, "F")],
    );
    assert_eq!(own.begin_again(lost), Some(2));
    let batch = own.after(ahead);
    assert_eq!(
        told(&batch.events),
        [(3, "C"), (4, "D"), (5, "E"), (6, "F")]
    );
    assert!(own.after(batch.next).events.is_empty());
    assert_eq!(own.after(behind).events.len(), 5);

    // Emptied: deaf to nothing that comes.
    let ahead = own.cursor(6);
    assert!(!own.is_continued_by(&page(3, &[])));
    assert_eq!(own.begin_again(ring(3, &[])), Some(0));
    let batch = own.after(ahead);
    assert!(batch.events.is_empty() && batch.missed == 0);
    own.take_in(page(3, &[(1, "new")]));
    assert_eq!(told(&own.after(batch.next).events), [(1, "new")]);
    assert_eq!(told(&own.after(ahead).events), [(1, "new")]);

    // Beyond all that we have: a gap, and told so.
    let ahead = own.cursor(1);
    assert_eq!(own.begin_again(ring(4, &[(9, "i"), (10, "j")])), None);
    let batch = own.after(ahead);
    assert_eq!((batch.missed, batch.events.len()), (7, 2));
}
