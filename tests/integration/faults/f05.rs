//! F5: Redis hangs (SIGSTOP).

use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::{Answers, Figures, MARGIN, Shared, alone, heard_again, long};
use crate::support::{Site, eventually};

const LOAD: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_redis_hangs_known_keys_join_and_others_are_put_off_in_time() {
    let _alone = alone().await;
    let hang = Duration::from_secs(if long() { 20 } else { 6 });
    let site = Site::new();
    let gateways = site.three().await;
    let operator = gateways[0].operator().await;
    let (_, known) = operator.key("known").await;
    let (_, fresh) = operator.key("fresh").await;
    let mut shared = Vec::new();
    for gateway in &gateways {
        shared.push(Shared::open(gateway, &known).await);
    }
    site.redis.pause();
    let begun = Instant::now();
    let (stop, stopped) = watch::channel(false);
    let (mut knowing, mut unknown) = (Vec::new(), Vec::new());
    for there in &shared {
        knowing.push(Answers::ask(there.agent(&known), stopped.clone()));
        unknown.push(Answers::ask(there.agent(&fresh), stopped.clone()));
    }
    let mut put_off = Vec::new();
    for gateway in &gateways {
        let stale = async || super::view_age(gateway).await > Duration::from_secs(3);
        eventually("its view is older than 3 s", stale).await;
        put_off.push(begun.elapsed());
    }
    tokio::time::sleep(hang.saturating_sub(begun.elapsed())).await;
    stop.send_replace(true);
    let (mut took, mut slowest, mut asked) = (Vec::new(), Vec::new(), 0);
    for answers in knowing {
        let answers = answers.await.unwrap();
        assert!(answers.false_ends.is_empty(), "{:?}", answers.false_ends);
        assert_eq!(answers.ours, 0, "a known key was put off");
        took.extend(answers.took);
    }
    for answers in unknown {
        let answers = answers.await.unwrap();
        assert!(answers.false_ends.is_empty(), "{:?}", answers.false_ends);
        assert_eq!(answers.good, 0, "nobody could know it");
        asked += answers.ours;
        slowest.extend(answers.took);
    }
    let (took, slowest) = (Figures::of(took), Figures::of(slowest));
    println!(
        "F5: Redis stopped for {} s: {} joins of known keys, none refused: {took}; {asked} of unknown \
         ones UNAVAILABLE: {slowest}; declared older than 3 s after {} ms",
        hang.as_secs(),
        took.0.len(),
        put_off.iter().max().unwrap().as_millis()
    );
    assert!(slowest.max() < LOAD + MARGIN, "past the load's deadline");
    site.redis.resume();
    heard_again(&gateways, Duration::from_secs(3)).await;
    for there in &shared {
        let agent = there.agent(&fresh);
        eventually("it joins", async || agent.join().await.is_ok()).await;
    }
}
