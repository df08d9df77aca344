//! F2: keys expire while Redis is paused.

use std::time::{Duration, Instant, SystemTime};

use futures_util::{StreamExt, stream};

use super::{Figures, MARGIN, Shared, alone, session};
use crate::support::{Site, eventually, reason_of};

const KEYS: usize = 40;
const RECHECK: Duration = Duration::from_millis(300);
const LIFE: Duration = Duration::from_secs(8);
/// The gateway's clock and the store's differ by their grain and half a round
/// trip.
const EARLY: Duration = Duration::from_millis(50);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_expire_on_time_while_redis_is_paused() {
    let _alone = alone().await;
    let site = Site::new();
    let gateways = site
        .three_with(&[
            "--expiry-recheck-deadline=300ms",
            "--max-concurrent-streams=64",
        ])
        .await;
    let operator = gateways[0].operator().await;
    let (_, keeper) = operator.key("keeper").await;
    let mut shared = Vec::new();
    for gateway in &gateways {
        shared.push(Shared::open(gateway, &keeper).await);
    }
    let expires = SystemTime::now() + LIFE;
    let (operator, shared) = (&operator, &shared);
    let keys = (0..KEYS).map(|n| async move {
        let left = expires.duration_since(SystemTime::now());
        let (id, key) = operator.key_for("short", left.expect("a slow start")).await;
        let at = operator.show(&id).await.unwrap().expires_at.unwrap();
        let at = SystemTime::try_from(at).unwrap();
        let agents = [n % 3, (n + 1) % 3].map(|there| shared[there].agent(&key));
        let [one, two] = &agents;
        let (first, second) = tokio::join!(session(one), session(two));
        let [one, two] = agents;
        [(at, first, one), (at, second, two)]
    });
    let opened: Vec<_> = stream::iter(keys).buffer_unordered(8).collect().await;
    let mut sessions: Vec<_> = opened.into_iter().flatten().collect();
    assert!(SystemTime::now() < expires, "a slow start");
    site.redis.pause();
    // Both clocks at one moment, to compare an Instant with an expiry.
    let (wall, clock) = (SystemTime::now(), Instant::now());
    let mut late = Vec::new();
    for (expires, watched, _) in &mut sessions {
        let ended = watched.ended_by("STORE_NOT_HEARD").await;
        let ended = wall + (ended.expect("it lives on") - clock);
        let after = (ended + EARLY).duration_since(*expires);
        late.push(after.expect("it ended early").saturating_sub(EARLY));
    }
    let late = Figures::of(late);
    println!(
        "F2: {} sessions of {KEYS} keys, Redis paused: late by {late}; the last look at the store may take {} ms",
        sessions.len(),
        RECHECK.as_millis()
    );
    assert!(late.max() < RECHECK + MARGIN);
    site.redis.resume();
    for (_, _, agent) in sessions.iter().take(6) {
        eventually("it is told that it expired", async || {
            let refused = agent.join().await.expect_err("an expired key was let in");
            reason_of(&refused) == "KEY_EXPIRED"
        })
        .await;
    }
}
