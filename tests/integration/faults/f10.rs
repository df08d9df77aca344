//! F10: one gateway is left alone with a master that is cut off from the rest.

use std::time::{Duration, Instant};

use super::{MARGIN, Shared, alone, heard_again, session, try_revoke, view_age};
use crate::support::{SHORT, Sentinels, Site, eventually, reason_of};

// As in SHORT.
const STALE: Duration = Duration::from_secs(2);
const SPREAD: Duration = Duration::from_secs(1);

/// Sentinels and replicas lose the old master, who lets nobody in but gateways.
async fn cut_off(redis: &Sentinels, master: usize) {
    let mut raw = redis.servers[master].raw().await;
    let mut acl = redis::cmd("ACL");
    acl.arg(&["SETUSER", "default", "off"]);
    let () = acl.query_async(&mut raw).await.unwrap();
    let mut kill = redis::cmd("CLIENT");
    kill.arg(&["KILL", "USER", "default"]);
    // It cuts this connection, too.
    let _: Result<u64, _> = kill.query_async(&mut raw).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_alone_with_the_old_master_is_cut_at_its_bound() {
    let _alone = alone().await;
    let redis = Sentinels::start().await;
    let old = redis.master().await;
    let site = Site::new();
    let (url, strict) = (redis.url(), [SHORT, &["--staleness=strict"]].concat());
    // It can reach neither sentinels nor another server: it knows none.
    let old_url = redis.servers[old].login_url();
    let left = site.launch_at(&old_url, "left", &strict).ready().await;
    let long = &SHORT[..1];
    let [one, two] = ["one", "two"].map(|name| site.launch_at(&url, name, long));
    let (one, two) = tokio::join!(one.ready(), two.ready());
    let operator = one.operator().await;
    let (id, key) = operator.key("k").await;
    let (_, good) = operator.key("good").await;
    let mut on_left = session(&left.agent(&key).await).await;
    let here = Shared::open(&two, &good).await;
    let mut on_two = session(&here.agent(&key)).await;

    let fresh = Instant::now() - view_age(&left).await;
    cut_off(&redis, old).await;
    let cut = Instant::now();
    let at = on_left.ended_by("STORE_NOT_HEARD").await;
    let lived = at.expect("strict has to cut") - cut;
    assert!(cut + lived - fresh >= STALE, "too early");
    assert!(lived < STALE + SPREAD + MARGIN, "too late: {lived:?}");

    redis.failover_from(old).await;
    let others = [one, two];
    heard_again(&others, Duration::from_secs(1)).await;
    let right_master = cut.elapsed();
    let revoked = async || {
        let wait = Duration::from_millis(100);
        try_revoke(&operator, &id, wait).await.is_ok()
    };
    eventually("the new master takes a revoke", revoked).await;
    assert!(on_two.ended_by("KEY_REVOKED").await.is_some());
    for key in [&key, &good] {
        let refused = left.agent(key).await.join().await.unwrap_err();
        assert_eq!(reason_of(&refused), "STORE_UNAVAILABLE", "{refused}");
    }
    assert!(!here.keeper.has_ended());
    println!(
        "F10: left alone with the old master, strict cuts after {} ms (bound {}); the others have \
         the right master after {} ms",
        lived.as_millis(),
        (STALE + SPREAD).as_millis(),
        right_master.as_millis()
    );
}
