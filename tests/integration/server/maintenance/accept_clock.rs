//! `muster store accept-clock`.

use muster::store::KeyStore;
use muster::store::embedded::EmbeddedStore;

use super::Site;
use crate::support::{PATIENCE, TestHost};

const BEHIND: &str = "this host's clock is behind the time that the store has seen";

#[tokio::test]
async fn a_clock_that_was_ahead_once_is_told_and_taken_back_by_hand() {
    let site = Site::new();
    let gateway = site.launch_with("own", &[]).ready().await;
    let log = gateway.stop(PATIENCE).await;
    assert!(!log.contains(BEHIND), "{log}");
    let host = TestHost::new();
    host.set_wall_ahead(100_000);
    let file = site.dir("own").join("store.redb");
    let store = EmbeddedStore::open_on(&file, host).unwrap();
    let wrong = store.clock().now().to_string();
    drop(store);

    let accept = ["store", "accept-clock", "--data-dir", "own"];
    let gateway = site.launch_with("own", &[]).ready().await;
    let in_use = site.run(&accept).await;
    in_use.refused(1, &["another muster is using it"]);
    let log = gateway.stop(PATIENCE).await;
    assert!(
        log.contains(BEHIND) && log.contains("accept-clock"),
        "{log}"
    );

    let unsure = site.run(&accept).await;
    unsure.refused(2, &["--yes", "Nothing was changed"]);
    let with_yes = [&accept[..], &["--yes", "-o", "json"]].concat();
    let told = site.run(&with_yes).await;
    assert_eq!(told.json()["accepted"], true);
    let year = &wrong[..4];
    assert!(told.err.contains(year), "{}", told.err);
    let again = site.run(&accept).await;
    assert!(again.ok().contains("Nothing to accept"), "{}", again.out);

    let gateway = site.launch_with("own", &[]).ready().await;
    let log = gateway.stop(PATIENCE).await;
    assert!(!log.contains(BEHIND), "{log}");
    let check = ["store", "check", "--data-dir", "own"];
    assert!(site.run(&check).await.ok().contains("sound"));
}

#[tokio::test]
async fn on_redis_there_is_no_clock_to_accept() {
    let site = Site::new();
    let accept = ["store", "accept-clock", "--store", &site.url()];
    let told = site.run(&accept).await;
    told.refused(1, &["the clock of Redis's host"]);
    let accept = ["store", "accept-clock", "--data-dir", "nowhere"];
    let told = site.run(&accept).await;
    told.refused(1, &["no such directory"]);
}
