//! F4: Redis is killed with -9 and comes back.

use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::{Answers, MARGIN, Shared, alone, heard_again, long, session};
use crate::support::{Site, eventually};

async fn down_for(down: Duration) {
    let mut site = Site::new();
    let gateways = site.three_with(&["--feed-interval=200ms"]).await;
    let operator = gateways[0].operator().await;
    let (id, known) = operator.key("known").await;
    let (_, kept) = operator.key("kept").await;
    let (_, fresh) = operator.key("fresh").await;
    let (mut shared, mut sessions, mut keep, mut asking) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (stop, stopped) = watch::channel(false);
    for gateway in &gateways {
        let there = Shared::open(gateway, &kept).await;
        sessions.push(session(&there.agent(&known)).await);
        keep.push(session(&there.agent(&kept)).await);
        shared.push(there);
    }
    site.redis.kill();
    for there in &shared {
        asking.push(Answers::ask(there.agent(&kept), stopped.clone()));
        asking.push(Answers::ask(there.agent(&fresh), stopped.clone()));
    }
    tokio::time::sleep(down).await;
    site.redis.restart();
    let resumed = heard_again(&gateways, Duration::from_secs(1)).await;
    let begun = Instant::now();
    let outcome = operator.revoke(&id).await;
    let mut last = Duration::ZERO;
    for watched in &mut sessions {
        let at = watched.ended_by("KEY_REVOKED").await;
        last = last.max(at.expect("it lives on") - begun);
    }
    // Before the agents stop asking: what was unknown becomes known.
    for there in &shared {
        let agent = there.agent(&fresh);
        eventually("it joins", async || agent.join().await.is_ok()).await;
    }
    stop.send_replace(true);
    let mut sum = Answers::default();
    for asked in asking {
        let answers = asked.await.unwrap();
        sum.good += answers.good;
        sum.ours += answers.ours;
        sum.false_ends.extend(answers.false_ends);
    }
    println!(
        "F4: Redis killed, back after {} s: the feed resumes {} ms after; false UNAUTHENTICATED {} \
         of {}; UNAVAILABLE {}; a revoke after it reaches the last of 3 gateways in {} ms",
        down.as_secs(),
        resumed.as_millis(),
        sum.false_ends.len(),
        sum.good + sum.ours,
        sum.ours,
        last.as_millis()
    );
    assert!(sum.false_ends.is_empty(), "{:?}", sum.false_ends);
    assert!(sum.good > 0 && sum.ours > 0);
    assert!(outcome.complete, "{outcome:?}");
    assert!(last < MARGIN);
    assert!(keep.iter().all(|watched| !watched.has_ended()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_redis_crash_no_good_key_is_refused() {
    let _alone = alone().await;
    down_for(Duration::from_secs(3)).await;
    if long() {
        down_for(Duration::from_secs(30)).await;
    }
}
