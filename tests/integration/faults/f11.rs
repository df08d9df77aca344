//! F11 and F12: the races of loads, edits, expiries and clocks with a change that
//! another gateway makes, over Redis, at gates instead of sleeps.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use muster::keys::Timestamp;
use muster::server::config::Config;
use muster::store::redis::RedisStore;
use muster::store::{GatewayStore, KeyStore};

use tokio::task::JoinHandle;
use tonic::Status;

use super::{MARGIN, session, try_revoke};
use crate::support::{
    FaultyStore, Operator, Parked, RedisServer, Stream, TestAgent, TestGateway, eventually,
    reason_of, within,
};

type Subscribing = JoinHandle<Result<Stream, Status>>;

const HOUR: Duration = Duration::from_secs(3600);
const TWO_HOURS_MILLIS: i64 = 2 * 3600 * 1000;

/// Two gateways on one Redis; the second one's store can be held up.
struct Two {
    redis: RedisServer,
    operator: Operator,
    _one: TestGateway,
    two: TestGateway,
    store: Arc<FaultyStore<RedisStore>>,
}

/// So that what is parked stays within its deadlines.
fn patient(config: &mut Config) {
    config.timing.load_deadline = Duration::from_secs(60);
    config.timing.expiry_recheck_deadline = Duration::from_secs(60);
    config.timing.feed_interval = Duration::from_millis(100);
    config.staleness.uncached_after = Duration::from_secs(600);
    config.staleness.stale_after = Duration::from_secs(600);
}

impl Two {
    async fn start() -> Self {
        let redis = RedisServer::start();
        let one = TestGateway::over(Arc::new(redis.store(|_| {}).await), patient).await;
        let store = Arc::new(FaultyStore::over(redis.store(|_| {}).await));
        let two = TestGateway::over(store.clone(), patient).await;
        Self {
            operator: one.operator().await,
            redis,
            _one: one,
            two,
            store,
        }
    }

    /// Waits until the second gateway has applied what the key's last change was.
    async fn applied_on_two(&self) {
        let (_, position) = self.store.inner.gateways().await.unwrap();
        eventually("the change is applied", async || {
            self.two.metric("muster_applied_revision").await >= position.revision.0 as f64
        })
        .await;
    }

    async fn epoch_of_two(&self) -> String {
        let (_, text) = self.two.ops("/metrics").await;
        let line = text.lines().find(|l| l.starts_with("muster_view_epoch{"));
        line.unwrap().to_owned()
    }

    async fn expires_in_on_two(&self, id: &str) -> f64 {
        let sample = format!("muster_key_expires_in_seconds{{key=\"{id}\"}}");
        self.two.metric(&sample).await
    }

    /// An agent's subscribe on the second gateway, with its load parked: it has
    /// read the record and not yet returned it.
    async fn parked_subscribe(&self, key: &str) -> (Parked, Subscribing, TestAgent) {
        let agent = self.two.agent(key).await;
        let mut parked = self.store.park_next_load();
        let subscriber = agent.clone();
        let subscribing = tokio::spawn(async move { subscriber.subscribe().await });
        parked.reached().await;
        (parked, subscribing, agent)
    }

    async fn meets_the_revoke(&self, parked: Parked, subscribing: Subscribing, agent: TestAgent) {
        parked.release();
        let refused = within("the subscribe", subscribing).await.unwrap();
        let refused = refused.err().expect("a revoked key was let in");
        assert_eq!(reason_of(&refused), "KEY_REVOKED", "{refused}");
        assert_eq!(self.two.metric("muster_sessions_opened_total").await, 0.0);
        for _ in 0..3 {
            assert_eq!(reason_of(&agent.join().await.unwrap_err()), "KEY_REVOKED");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_parked_while_another_gateway_revokes() {
    let site = Two::start().await;
    let (id, key) = site.operator.key("k").await;
    let (parked, subscribing, agent) = site.parked_subscribe(&key).await;
    assert!(site.operator.revoke(&id).await.complete);
    site.meets_the_revoke(parked, subscribing, agent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_parked_across_a_resync_that_skips_the_revoke() {
    let mut site = Two::start().await;
    let (id, key) = site.operator.key("k").await;
    let before = site.epoch_of_two().await;
    let (parked, subscribing, agent) = site.parked_subscribe(&key).await;
    // A new history begins, and the revoke in it lies before the position that
    // the resync takes: no feed brings it, and nobody here knows the key yet.
    site.store.set_deaf(true);
    site.redis.restart_after_a_kill();
    eventually("the revoke is taken", async || {
        let wait = Duration::from_millis(50);
        try_revoke(&site.operator, &id, wait).await.is_ok()
    })
    .await;
    site.store.set_deaf(false);
    eventually("the resync", async || site.epoch_of_two().await != before).await;
    site.applied_on_two().await;
    site.meets_the_revoke(parked, subscribing, agent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_that_shortens_while_the_old_record_loads_elsewhere() {
    let site = Two::start().await;
    let (id, key) = site.operator.key_for("k", 10 * HOUR).await;
    let (parked, subscribing, agent) = site.parked_subscribe(&key).await;
    site.operator.set_expiry(&id, HOUR).await.unwrap();
    site.applied_on_two().await;
    parked.release();
    let stream = within("the subscribe", subscribing).await.unwrap();
    let mut stream = stream.expect("the key is valid either way");
    site.store.clock().set_shift_millis(TWO_HOURS_MILLIS);
    assert_eq!(reason_of(&stream.end().await), "KEY_EXPIRED");
    assert_eq!(reason_of(&agent.join().await.unwrap_err()), "KEY_EXPIRED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_extension_that_was_not_heard_before_the_old_expiry() {
    let site = Two::start().await;
    let (id, key) = site.operator.key_for("k", HOUR).await;
    let agent = site.two.agent(&key).await;
    let watched = session(&agent).await;
    site.store.set_deaf(true);
    site.operator.set_expiry(&id, 10 * HOUR).await.unwrap();
    // The old expiry passes on the gateway that does not know.
    site.store.clock().set_shift_millis(TWO_HOURS_MILLIS);
    eventually("it looks once more", async || {
        site.expires_in_on_two(&id).await > 7.0 * HOUR.as_secs_f64()
    })
    .await;
    agent.join().await.expect("extended: still good");
    assert!(!watched.has_ended());
}

/// Whatever the store decides in the key's last moments, the gateway that did not
/// decide obeys it: taken, and the session stays; refused, and it ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_extension_in_the_last_milliseconds() {
    const KEYS: usize = 20;
    let site = Arc::new(Two::start().await);
    let mut edits = tokio::task::JoinSet::new();
    for n in 0..KEYS {
        let site = Arc::clone(&site);
        edits.spawn(async move {
            let life = Duration::from_secs(3);
            let (id, key) = site.operator.key_for("k", life).await;
            let expires = site.operator.show(&id).await.unwrap().expires_at.unwrap();
            let expires = SystemTime::try_from(expires).unwrap();
            let mut watched = session(&site.two.agent(&key).await).await;
            // The call takes some of it: begun 5 to 62 ms before.
            let at = expires - Duration::from_millis(5 + 3 * n as u64);
            let left = at.duration_since(SystemTime::now()).unwrap_or_default();
            tokio::time::sleep(left).await;
            let taken = site.operator.set_expiry(&id, HOUR).await.is_ok();
            if taken {
                eventually("the extension is known", async || {
                    site.expires_in_on_two(&id).await > 60.0
                })
                .await;
                assert!(!watched.has_ended(), "an extended key's session was cut");
            } else {
                let ended = watched.ended_by("KEY_EXPIRED").await;
                assert!(ended.is_some(), "an expired key's session stays");
            }
            taken
        });
    }
    let taken = edits.join_all().await.into_iter().filter(|t| *t).count();
    println!(
        "F11: {KEYS} extensions in the last milliseconds: {taken} taken, none of them cut; {} refused, none of them stays",
        KEYS - taken
    );
}

/// As if its host's clock had jumped; the store's answers correct it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_whose_clock_is_2_seconds_ahead() {
    let site = Two::start().await;
    let life = Duration::from_secs(4);
    let (id, key) = site.operator.key_for("k", life).await;
    let expires = site.operator.show(&id).await.unwrap().expires_at.unwrap();
    let expires = SystemTime::try_from(expires).unwrap();
    let agent = site.two.agent(&key).await;
    let mut watched = session(&agent).await;
    let left = expires.duration_since(SystemTime::now()).unwrap();
    // Its own clock then says that the key has expired.
    let ahead = Duration::from_secs(2);
    tokio::time::sleep(left.saturating_sub(ahead - Duration::from_millis(200))).await;
    // No heartbeat corrects it first.
    site.store.set_deaf(true);
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let wall = i64::try_from(wall.unwrap().as_millis()).unwrap();
    let wrong = Timestamp::from_millis(wall + 2_000);
    site.store.clock().observe(wrong, Duration::ZERO);
    agent.join().await.expect("a good key was refused");
    let (at, status) = watched.end(life + MARGIN).await.expect("it lives on");
    assert_eq!(reason_of(&status), "KEY_EXPIRED");
    let ended = SystemTime::now() - at.elapsed();
    let early = expires.duration_since(ended).unwrap_or_default();
    println!(
        "F16: a clock 2 s ahead: its session ended {} ms early, {} ms late",
        early.as_millis(),
        ended
            .duration_since(expires)
            .unwrap_or_default()
            .as_millis()
    );
    assert!(early < Duration::from_millis(50), "{early:?}");
}
