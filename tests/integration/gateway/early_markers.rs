//! The marker of a deleted key stays until every gateway has passed it.

use std::sync::Arc;
use std::time::Duration;

use muster::keys::{Revision, Timestamp};
use muster::server::config::Config;
use muster::store::{GatewayStore, KeyEdit, KeyStore, Lookup};

use crate::store::redis_store::{beat, gateway};
use crate::support::{FaultyStore, RedisServer, TestGateway, eventually, new_key, reason_of};

fn soon(config: &mut Config) {
    config.timing.feed_interval = Duration::from_millis(50);
}

/// A gateway is cut off while a key of its sessions is shortened, ended and
/// deleted; then Redis begins a new history.
async fn ends_what_was_deleted_meanwhile(revoke: bool, keep_feed: bool) {
    let mut redis = RedisServer::start();
    let store = Arc::new(FaultyStore::over(redis.store(|_| {}).await));
    let one = TestGateway::over(Arc::new(redis.store(|_| {}).await), soon).await;
    let two = TestGateway::over(store.clone(), soon).await;
    let operator = one.operator().await;
    let (key, secret) = operator.key("k").await;
    let mut stream = two.agent(&secret).await.connect().await;
    store.set_deaf(true);

    let life = Duration::from_secs(2);
    operator.set_expiry(&key, life).await.unwrap();
    let soon = std::time::SystemTime::now() + life;
    if revoke {
        operator.revoke_within(&key, Duration::ZERO).await;
    }
    eventually("its new expiry is past", async || {
        std::time::SystemTime::now() > soon + Duration::from_millis(100)
    })
    .await;
    operator.delete(&key).await.unwrap();
    if !keep_feed {
        let mut raw = redis.raw().await;
        let mut remove = redis::cmd("DEL");
        let _: u64 = remove
            .arg("{muster}:feed")
            .query_async(&mut raw)
            .await
            .unwrap();
    }
    redis.restart_after_a_kill();
    store.set_deaf(false);
    let told = match revoke && keep_feed {
        true => "KEY_REVOKED",
        false => "KEY_DELETED",
    };
    assert_eq!(reason_of(&stream.end().await), told);
    assert_eq!(two.metric("muster_keys_lost").await, 0.0);
    let refused = two.agent(&secret).await.join().await.unwrap_err();
    assert_eq!(reason_of(&refused), "UNKNOWN_KEY", "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoked_and_deleted_past_a_shortened_expiry() {
    ends_what_was_deleted_meanwhile(true, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expired_and_deleted_past_a_shortened_expiry_and_the_feed_is_gone() {
    ends_what_was_deleted_meanwhile(false, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_marker_goes_once_its_key_would_have_expired_and_all_have_passed_it() {
    let redis = RedisServer::start();
    let store = redis.store(|_| {}).await;
    let (ahead, behind) = (gateway(), gateway());
    let start = store.enrol(ahead.clone()).await.unwrap();
    store.enrol(behind.clone()).await.unwrap();
    let key = new_key("k");
    let id = key.id;
    store.create(key).await.unwrap();
    let edit = KeyEdit {
        expires_at: Some(store.clock().now().saturating_add(Duration::from_secs(60))),
        ..KeyEdit::default()
    };
    store.edit(id, edit).await.unwrap();
    store.revoke(id).await.unwrap();
    let deleted = store.delete(id).await.unwrap().change.position;
    store.renew(beat(&ahead, deleted)).await.unwrap();
    store.renew(beat(&behind, start)).await.unwrap();

    let year = 400 * 24 * 3600 * 1000;
    let is_there = async || {
        let found = store.load(id).await.unwrap().lookup;
        matches!(found, Lookup::Deleted(marker) if marker.expires_at > Timestamp::from_millis(0))
    };
    store.clock().set_shift_millis(120_000);
    store.renew(beat(&behind, deleted)).await.unwrap();
    assert_eq!(
        store.remove_spent_markers().await.unwrap(),
        0,
        "its first expiry"
    );
    store.clock().set_shift_millis(year);
    store.renew(beat(&behind, start)).await.unwrap();
    assert_eq!(
        store.remove_spent_markers().await.unwrap(),
        0,
        "one is behind"
    );
    let mut other_history = beat(&behind, deleted);
    other_history.applied.epoch.0 ^= 1;
    other_history.applied.revision = Revision(u64::MAX >> 12);
    other_history.position = deleted;
    store.renew(other_history).await.unwrap();
    assert_eq!(
        store.remove_spent_markers().await.unwrap(),
        0,
        "another history"
    );
    assert!(is_there().await);
    store.renew(beat(&behind, deleted)).await.unwrap();
    assert_eq!(store.remove_spent_markers().await.unwrap(), 1);
    assert!(!is_there().await);
}
