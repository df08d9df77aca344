//! F32: a gateway that knows many keys, far from Redis, which begins a new history:
//! it renews and follows the feed while it reads them again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use muster::store::redis::{RedisStore, RedisUrl};
use muster::store::{KeyEdit, KeyStore};

use super::{MARGIN, Watched, alone, long};
use crate::support::{Fault, Of, Proxy, RedisServer, TestGateway, new_key};

/// Revisions of a new history begin that far above those before.
const NEW_HISTORY: f64 = 4_294_967_296.0;
const PATIENT: Duration = Duration::from_secs(120);

/// Makes keys that every gateway knows: each is edited, which its gates remember.
async fn known(store: &RedisStore, count: usize) {
    let made = (0..count).map(|n| async move {
        let key = new_key(&format!("k {n}"));
        let id = key.id;
        store.create(key).await.unwrap();
        let edit = KeyEdit {
            name: Some("known".into()),
            ..KeyEdit::default()
        };
        store.edit(id, edit).await.unwrap();
    });
    stream::iter(made)
        .buffer_unordered(256)
        .collect::<()>()
        .await;
}

async fn reads_again(keys: usize, round_trip: Duration) {
    let mut redis = RedisServer::start();
    let far = Proxy::start(redis.port()).await;
    let url = far.way_of(&redis.login_url());
    let at = |options: &mut muster::store::redis::RedisOptions| {
        options.url = RedisUrl::parse(&url).unwrap();
    };
    let one = TestGateway::over(Arc::new(redis.store(|_| {}).await), |_| {}).await;
    let two = TestGateway::over(Arc::new(redis.store(at).await), |_| {}).await;
    let operator = one.operator().await;
    let near = redis.store(|_| {}).await;
    let begun = Instant::now();
    known(&near, keys).await;
    let made = begun.elapsed();
    let (key, secret) = operator.key("live").await;
    let (other, other_secret) = operator.key("other").await;
    let mut session = Watched::new(two.agent(&secret).await.connect().await);
    let other_session = Watched::new(two.agent(&other_secret).await.connect().await);
    far.set(Fault::Delay(Of::All, round_trip / 2));
    redis.restart_after_a_kill();

    let begun = Instant::now();
    let outcome = loop {
        match super::try_revoke(&operator, &key, Duration::from_secs(20)).await {
            Ok(outcome) if !outcome.pending => break outcome,
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    let ended = session.ended_by("KEY_REVOKED").await.expect("it lives on");
    let silent: Vec<_> = outcome
        .gateways
        .iter()
        .filter(|g| g.unreachable_since.is_some())
        .collect();
    assert!(outcome.complete && silent.is_empty(), "{outcome:?}");
    let waited = tokio::time::timeout(PATIENT, async {
        while two.metric("muster_applied_revision").await < NEW_HISTORY {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.expect("all keys are read again");
    println!(
        "F32: {keys} known keys (made in {:.0} s) at {} ms to Redis: a revoke's session ended after {:.0} ms, all read again after {:.0} ms",
        made.as_secs_f64(),
        round_trip.as_millis(),
        (ended - begun).as_secs_f64() * 1000.0,
        begun.elapsed().as_secs_f64() * 1000.0
    );
    assert!(ended - begun < 10 * round_trip + MARGIN);
    assert!(!other_session.has_ended());
    assert!(operator.revoke(&other).await.complete);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resync_is_neither_deaf_nor_mute() {
    let _alone = alone().await;
    reads_again(1_000, Duration::from_millis(500)).await;
    for millis in [1, 20] {
        reads_again(1_000, Duration::from_millis(millis)).await;
        if long() {
            for keys in [10_000, 100_000] {
                reads_again(keys, Duration::from_millis(millis)).await;
            }
        }
    }
}
