//! F13: a gateway is killed with -9 again and again while keys are revoked.

use std::time::{Duration, Instant};

use super::{Figures, MARGIN, Shared, alone, session, try_revoke};
use crate::support::{Site, reason_of};

const ROUNDS: usize = 6;
/// Of a round: some are revoked before the kill, some while it is away.
const KEYS: usize = 8;
const WAIT: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_killed_while_keys_are_revoked_misses_none() {
    let _alone = alone().await;
    let site = Site::new();
    let one = site.launch("one").ready().await;
    let operator = one.operator().await;
    let (_, good) = operator.key("good").await;
    let there = Shared::open(&one, &good).await;
    let (mut missed, mut revoked, mut ready) = (0, 0, Vec::new());
    let mut killed = site.launch("killed").ready().await;
    for _ in 0..ROUNDS {
        let mut keys = Vec::new();
        let here = Shared::open(&killed, &good).await;
        for _ in 0..KEYS {
            let (id, key) = operator.key("k").await;
            let lost = session(&here.agent(&key)).await;
            let watched = session(&there.agent(&key)).await;
            keys.push((id, key, watched, lost));
        }
        let (before, after) = keys.split_at(KEYS / 2);
        // The kill comes while the first are on their way.
        let revoking = before
            .iter()
            .map(|(id, ..)| try_revoke(&operator, id, WAIT));
        let revoking = futures_util::future::join_all(revoking);
        let (outcomes, ()) = tokio::join!(revoking, killed.kill());
        for outcome in outcomes {
            outcome.unwrap();
        }
        for (id, ..) in after {
            let outcome = try_revoke(&operator, id, WAIT).await.unwrap();
            assert!(!outcome.complete, "a dead gateway can't have applied it");
        }
        let begun = Instant::now();
        killed = site.launch("killed").ready().await;
        ready.push(begun.elapsed());
        let back = Shared::open(&killed, &good).await;
        for (_, key, watched, _) in &mut keys {
            revoked += 1;
            let (ended, refused) = (
                watched.ended_by("KEY_REVOKED").await,
                back.agent(key).join().await,
            );
            let is_refused = refused.is_err_and(|status| reason_of(&status) == "KEY_REVOKED");
            missed += usize::from(ended.is_none() || !is_refused);
        }
    }
    let ready = Figures::of(ready);
    println!(
        "F13: missed {missed} of {revoked} revokes around {ROUNDS} kills; time to ready: {ready}"
    );
    assert_eq!(missed, 0);
    assert!(ready.max() < 2 * MARGIN);
}
