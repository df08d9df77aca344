//! F31: Redis far away, and others who change keys: no revoke waits for them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use muster::store::KeyStore;
use muster::store::redis::{RedisStore, RedisUrl};
use tokio_util::sync::CancellationToken;

use super::{Figures, MARGIN, Watched, alone};
use crate::support::{Fault, Of, Proxy, RedisServer, TestGateway, new_key};

/// Clients of the other gateway that create keys without a pause.
const CREATORS: usize = 4;
const AT_ONCE: usize = 1_000;
const ROUNDS: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_other_keys_hold_up_no_revoke() {
    let _alone = alone().await;
    let redis = RedisServer::start();
    let far = Proxy::start(redis.port()).await;
    let url = far.way_of(&redis.login_url());
    let store = redis
        .store(|options| options.url = RedisUrl::parse(&url).unwrap())
        .await;
    let one = TestGateway::over(Arc::new(store), |_| {}).await;
    let two = TestGateway::over(Arc::new(redis.store(|_| {}).await), |_| {}).await;
    let operator = one.operator().await;
    for millis in [1, 20, 100] {
        // Half of it in each direction.
        let round_trip = Duration::from_millis(millis);
        far.set(Fault::Delay(Of::All, round_trip / 2));
        let stop = CancellationToken::new();
        let creating: Vec<_> = (0..CREATORS)
            .map(|_| {
                let (stop, store) = (stop.clone(), redis.options());
                tokio::spawn(async move {
                    let store = RedisStore::open(store).await.unwrap();
                    let mut created = 0;
                    while !stop.is_cancelled() {
                        store.create(new_key("bulk")).await.unwrap();
                        created += 1;
                    }
                    created
                })
            })
            .collect();
        let begun = Instant::now();
        let (mut ended, mut answered) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let (key, secret) = operator.key(&format!("{millis} {round}")).await;
            let mut session = Watched::new(two.agent(&secret).await.connect().await);
            let asked = Instant::now();
            let outcome = operator.revoke(&key).await;
            answered.push(asked.elapsed());
            assert!(!outcome.pending && outcome.complete, "{outcome:?}");
            ended.push(session.ended_by("KEY_REVOKED").await.expect("it lives on") - asked);
        }
        stop.cancel();
        let created: usize = join_all(creating)
            .await
            .into_iter()
            .map(Result::unwrap)
            .sum();
        let rate = created as f64 / begun.elapsed().as_secs_f64();
        let (ended, answered) = (Figures::of(ended), Figures::of(answered));
        println!(
            "F31: {millis} ms to Redis, {rate:.0} creates a second beside: a session elsewhere ended after {ended}; answered after {answered}"
        );
        assert!(ended.max() < 5 * round_trip + MARGIN);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_revokes_at_once() {
    let _alone = alone().await;
    let redis = RedisServer::start();
    let far = Proxy::start(redis.port()).await;
    let url = far.way_of(&redis.login_url());
    let store = redis
        .store(|options| options.url = RedisUrl::parse(&url).unwrap())
        .await;
    for millis in [1, 20, 100] {
        let keys: Vec<_> = (0..AT_ONCE).map(|_| new_key("k")).collect();
        let ids: Vec<_> = keys.iter().map(|key| key.id).collect();
        let near = redis.store(|_| {}).await;
        for key in keys {
            near.create(key).await.unwrap();
        }
        far.set(Fault::Delay(Of::All, Duration::from_millis(millis) / 2));
        let begun = Instant::now();
        let revoked = join_all(ids.into_iter().map(|id| store.revoke(id))).await;
        let took = begun.elapsed();
        let failed = revoked.iter().filter(|revoked| revoked.is_err()).count();
        println!(
            "F31: {millis} ms to Redis: {AT_ONCE} revokes at once in {:.0} ms, {failed} failed",
            took.as_secs_f64() * 1000.0
        );
        assert_eq!(failed, 0);
    }
}
