//! Proof that the checker can fail: the same story is told twice, of gateways as
//! they are and with one mistake planted in them; only the second breaks what
//! must hold. Each story goes by gates, not by luck.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use muster::server::config::Config;
use muster::store::StoreError;
use muster::store::redis::RedisStore;

use super::check::{Answer, Bounds, Invariant, check};
use super::record::{Door, Key, Recorder};
use crate::support::{Bug, FaultyStore, RedisServer, Saved, TestGateway, eventually, within};

/// Healthy gateways hear of a revoke within milliseconds; the rest is margin.
const BOUNDS: Bounds = Bounds {
    joins: Duration::from_secs(3),
    sessions: Duration::from_secs(3),
};
const PAST_THE_BOUNDS: Duration = Duration::from_secs(4);
/// Longer than any story.
const STAY: Duration = Duration::from_secs(60);

struct Gateway {
    gateway: TestGateway,
    store: Arc<FaultyStore<RedisStore>>,
    door: Arc<Door>,
}

/// Two gateways on one Redis, and what was told of them.
struct Story {
    redis: RedisServer,
    recorder: Arc<Recorder>,
    one: Gateway,
    two: Gateway,
}

fn quick(config: &mut Config) {
    config.timing.feed_interval = Duration::from_millis(100);
    // What is parked or cut off here is so for seconds.
    config.timing.load_deadline = Duration::from_secs(30);
    config.staleness.uncached_after = Duration::from_secs(60);
}

impl Gateway {
    async fn start(redis: &RedisServer, number: u64, gates: bool) -> Self {
        let store = Arc::new(FaultyStore::over(redis.store(|_| {}).await));
        let gateway = if gates {
            TestGateway::over(store.clone(), quick).await
        } else {
            TestGateway::without_gates(store.clone(), quick).await
        };
        let (agents, operator) = (gateway.agent_channel().await, gateway.operator().await);
        Self {
            door: Arc::new(Door::new(number, agents, operator)),
            gateway,
            store,
        }
    }
}

impl Story {
    async fn begin() -> Self {
        Self::with_gates(true).await
    }

    async fn with_gates(gates: bool) -> Self {
        let redis = RedisServer::start();
        Self {
            recorder: Recorder::new(),
            one: Gateway::start(&redis, 1, gates).await,
            two: Gateway::start(&redis, 2, gates).await,
            redis,
        }
    }

    fn plant(&self, bug: Option<Bug>) {
        for gateway in [&self.one, &self.two] {
            if let Some(bug) = bug {
                gateway.store.planted.set(bug);
            }
        }
    }

    async fn create(&self) -> Key {
        self.recorder.create(&self.one.door).await.unwrap()
    }

    /// On the first gateway; waits for the second as long as that takes.
    async fn revoke(&self, key: &Key, wait: Duration) -> Answer {
        self.recorder.revoke(&self.one.door, key, wait).await
    }

    /// What breaks, once the bounds have passed and the key was tried and looked
    /// at again.
    async fn breaks(&self, door: &Door, key: &Key) -> BTreeSet<Invariant> {
        tokio::time::sleep(PAST_THE_BOUNDS).await;
        self.recorder.join(door, key).await;
        self.recorder.read(door, key).await;
        let violations = check(&self.recorder.history(), BOUNDS);
        for violation in &violations {
            println!("  caught: {:?} by {:?}", violation.of, violation.entry.op);
        }
        violations.into_iter().map(|found| found.of).collect()
    }
}

/// Nothing without the mistake, and at least `expected` with it.
fn judge(
    mistake: &str,
    sound: &BTreeSet<Invariant>,
    planted: &BTreeSet<Invariant>,
    expected: &[Invariant],
) {
    println!("planted: {mistake}: without it {sound:?}, with it {planted:?}");
    assert!(
        sound.is_empty(),
        "{mistake}: the story breaks {sound:?} by itself"
    );
    for invariant in expected {
        assert!(
            planted.contains(invariant),
            "{mistake}: {invariant:?} was not caught"
        );
    }
}

/// A session is opened over a load that a revoke overtakes.
async fn overtaken(gates: bool) -> BTreeSet<Invariant> {
    let story = Story::with_gates(gates).await;
    let key = story.create().await;
    let mut parked = story.two.store.park_next_load();
    let subscribing = tokio::spawn({
        let (recorder, door) = (Arc::clone(&story.recorder), Arc::clone(&story.two.door));
        let key = key.clone();
        async move { recorder.subscribe(&door, &key, STAY).await }
    });
    parked.reached().await;
    let answer = story.revoke(&key, Duration::from_secs(5)).await;
    assert_eq!(answer, Answer::Yes);
    parked.release();
    within("the subscribe", subscribing).await.unwrap();
    story.breaks(&story.two.door, &key).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_that_is_skipped_is_caught() {
    let (sound, planted) = (overtaken(true).await, overtaken(false).await);
    judge("the gate skipped", &sound, &planted, &[Invariant::I2]);
}

/// A key with a session on the second gateway is revoked on the first.
async fn revoked_elsewhere(bug: Option<Bug>) -> BTreeSet<Invariant> {
    let story = Story::begin().await;
    let key = story.create().await;
    story.recorder.subscribe(&story.two.door, &key, STAY).await;
    story.plant(bug);
    story.revoke(&key, Duration::from_millis(100)).await;
    story.breaks(&story.two.door, &key).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_that_goes_deaf_is_caught() {
    let sound = revoked_elsewhere(None).await;
    let planted = revoked_elsewhere(Some(Bug::DeafTail)).await;
    judge(
        "a deaf tail",
        &sound,
        &planted,
        &[Invariant::I1, Invariant::I2],
    );
}

/// The store does not answer a revoke.
async fn not_answered(bug: Option<Bug>) -> BTreeSet<Invariant> {
    let story = Story::begin().await;
    let key = story.create().await;
    story.recorder.join(&story.two.door, &key).await;
    story.plant(bug);
    story.one.store.set_failing(true);
    let answer = story.revoke(&key, Duration::from_millis(100)).await;
    assert_eq!(answer == Answer::Yes, bug.is_some());
    story.one.store.set_failing(false);
    story.breaks(&story.two.door, &key).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timeouts_that_are_swallowed_are_caught() {
    let sound = not_answered(None).await;
    let planted = not_answered(Some(Bug::SwallowedTimeouts)).await;
    let expected = [Invariant::I1, Invariant::I5];
    judge("timeouts swallowed", &sound, &planted, &expected);
}

/// The store loses a revoke that both gateways saw, as in a failover; then a third
/// one starts, which saw nothing.
async fn history_lost(bug: Option<Bug>) -> BTreeSet<Invariant> {
    let mut story = Story::begin().await;
    let key = story.create().await;
    story.plant(bug);
    let saved = Saved::of(&story.redis);
    let answer = story.revoke(&key, Duration::from_secs(5)).await;
    assert_eq!(answer, Answer::Yes);
    story.recorder.join(&story.two.door, &key).await;
    saved.restore(&mut story.redis);
    for gateway in [&story.one, &story.two] {
        eventually("it hears from its store", async || {
            gateway.gateway.metric("muster_view_age_seconds").await < 0.5
        })
        .await;
    }
    let three = Gateway::start(&story.redis, 3, true).await;
    story.breaks(&three.door, &key).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_epoch_that_is_not_looked_at_is_caught() {
    let sound = history_lost(None).await;
    let planted = history_lost(Some(Bug::OneHistory)).await;
    let expected = [Invariant::I1, Invariant::I3, Invariant::I5];
    judge("the epoch rule off", &sound, &planted, &expected);
}

/// One key can't be read; another is revoked while the feed has a gap.
async fn beside_a_bad_row(bug: Option<Bug>) -> BTreeSet<Invariant> {
    let story = Story::begin().await;
    let (bad, key) = (story.create().await, story.create().await);
    for key in [&bad, &key] {
        story.recorder.subscribe(&story.two.door, key, STAY).await;
    }
    story.plant(bug);
    let why = StoreError::Failed("no answer within the deadline".into());
    let store = &story.two.store;
    store.set_broken(bad.id.parse().unwrap(), Some(why));
    store.lose_next_feed();
    story.revoke(&key, Duration::from_millis(100)).await;
    story.breaks(&story.two.door, &key).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_row_that_stops_all_revokes_is_caught() {
    let sound = beside_a_bad_row(None).await;
    let planted = beside_a_bad_row(Some(Bug::OneBadRowIsAll)).await;
    let expected = [Invariant::I2];
    judge("one bad row is all", &sound, &planted, &expected);
}

/// The right to write the feed is taken away for a while.
async fn without_a_right(bug: Option<Bug>) -> BTreeSet<Invariant> {
    let story = Story::begin().await;
    let key = story.create().await;
    story.recorder.subscribe(&story.two.door, &key, STAY).await;
    story.plant(bug);
    let mut raw = story.redis.raw().await;
    let mut set = redis::cmd("ACL");
    set.arg("SETUSER").arg("muster").arg("-xadd");
    let _: () = set.query_async(&mut raw).await.unwrap();
    let answer = story.revoke(&key, Duration::from_millis(100)).await;
    assert_eq!(answer == Answer::Yes, bug.is_some());
    story.breaks(&story.two.door, &key).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_step_that_is_called_done_is_caught() {
    let sound = without_a_right(None).await;
    let planted = without_a_right(Some(Bug::SwallowedTimeouts)).await;
    let expected = [Invariant::I1, Invariant::I2];
    judge("a refused step called done", &sound, &planted, &expected);
}

/// A gateway is cut off while a key is revoked and deleted; then Redis begins a new
/// history, in which the marker is there, or (planted) gone too early.
async fn cut_off_from_a_delete(is_marker_gone: bool) -> BTreeSet<Invariant> {
    let mut story = Story::begin().await;
    let key = story.create().await;
    story.recorder.subscribe(&story.two.door, &key, STAY).await;
    story.two.store.set_deaf(true);
    let answer = story.revoke(&key, Duration::from_millis(50)).await;
    assert_eq!(answer, Answer::Yes);
    story.recorder.delete(&story.one.door, &key).await;
    let mut raw = story.redis.raw().await;
    let mut remove = redis::cmd("DEL");
    remove.arg("{muster}:feed");
    if is_marker_gone {
        let id = key.id.strip_prefix("key_").unwrap();
        remove.arg(format!("{{muster}}:key:{id}"));
    }
    let _: u64 = remove.query_async(&mut raw).await.unwrap();
    story.redis.restart_after_a_kill();
    story.two.store.set_deaf(false);
    story.breaks(&story.two.door, &key).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_marker_that_goes_too_early_is_caught() {
    let sound = cut_off_from_a_delete(false).await;
    let planted = cut_off_from_a_delete(true).await;
    let expected = [Invariant::I2];
    judge("a marker that goes too early", &sound, &planted, &expected);
}
