//! F7: a failover loses a revoke, an edit and a delete.

use std::time::{Duration, Instant};

use muster::proto::admin::v1 as pb;
use tokio::sync::watch;
use tonic::Code;

use super::{Answers, MARGIN, Shared, alone, heard_again, session};
use crate::support::{Operator, Process, Sentinels, Site, eventually, reason_of};

const HOUR: Duration = Duration::from_secs(3600);
const FLAGS: &[&str] = &[
    "--feed-interval=200ms",
    "--redis-connect-deadline=500ms",
    "--redis-answer-deadline=500ms",
    // No replica answers, and the master takes writes for a few seconds alone.
    "--redis-replicas-deadline=100ms",
];

/// What was unreplicated is done: the master dies, and the replicas come back
/// without what lay in their sockets. Returns the new master.
async fn fail_over(redis: &mut Sentinels) -> (usize, Duration) {
    let old = redis.kill_master().await;
    for (at, server) in redis.servers.iter_mut().enumerate() {
        if at != old {
            server.kill();
            server.restart();
        }
    }
    redis.failover_from(old).await
}

async fn is_revoked(operator: &Operator, id: &str) -> bool {
    let shown = operator.show(id).await;
    shown.is_ok_and(|key: pb::Key| key.revoked_at.is_some())
}

async fn refused(gateway: &Process, key: &str) -> String {
    let refused = gateway.agent(key).await.join().await;
    refused.map_or_else(|status| reason_of(&status), |_| "let in".into())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_failover_loses_is_not_undone() {
    let _alone = alone().await;
    let mut redis = Sentinels::start().await;
    let url = redis.url();
    let site = Site::new();
    let names = ["one", "two", "three"].map(|name| site.launch_at(&url, name, FLAGS));
    let [one, two, three] = names;
    let mut gateways = Vec::from(<[Process; 3]>::from(tokio::join!(
        one.ready(),
        two.ready(),
        three.ready()
    )));
    let operator = gateways[0].operator().await;
    let (revoked, revoked_key) = operator.key("its revoke gets lost").await;
    let (edited, edited_key) = operator.key_for("its edit gets lost", HOUR).await;
    let (deleted, deleted_key) = operator.key("its delete gets lost").await;
    let (_, good_key) = operator.key("good").await;
    operator.revoke(&deleted).await;
    let (mut ending, mut staying, mut asking) = (Vec::new(), Vec::new(), Vec::new());
    let (stop, stopped) = watch::channel(false);
    for gateway in &gateways {
        let there = Shared::open(gateway, &good_key).await;
        ending.push(session(&there.agent(&revoked_key)).await);
        staying.push(session(&there.agent(&edited_key)).await);
        for key in [&good_key, &edited_key] {
            asking.push(Answers::ask(there.agent(key), stopped.clone()));
        }
        staying.push(there.keeper);
    }

    // From here on no replica takes anything.
    let old = redis.master().await;
    for (at, server) in redis.servers.iter().enumerate() {
        if at != old {
            server.pause();
        }
    }
    let outcome = operator.revoke(&revoked).await;
    assert!(outcome.complete && !outcome.durable, "{outcome:?}");
    operator.set_expiry(&edited, 10 * HOUR).await.unwrap();
    operator.delete(&deleted).await.unwrap();
    for watched in &mut ending {
        assert!(watched.ended_by("KEY_REVOKED").await.is_some());
    }
    let killed = Instant::now();
    fail_over(&mut redis).await;
    let promoted = killed.elapsed();
    heard_again(&gateways, Duration::from_secs(1)).await;
    let heard = killed.elapsed();
    // One that saw nothing of it.
    gateways.push(site.launch_at(&url, "four", FLAGS).ready().await);
    let late = gateways[3].operator().await;
    eventually("the revoke is there again", async || {
        is_revoked(&late, &revoked).await
    })
    .await;
    let healed = killed.elapsed();

    let (mut undone, mut shut_out) = (0, 0);
    for gateway in &gateways {
        for key in [&revoked_key, &deleted_key] {
            let why = refused(gateway, key).await;
            undone += usize::from(!["KEY_REVOKED", "UNKNOWN_KEY"].contains(&why.as_str()));
        }
        for key in [&good_key, &edited_key] {
            shut_out += usize::from(gateway.agent(key).await.join().await.is_err());
        }
    }
    stop.send_replace(true);
    let mut false_ends = Vec::new();
    for asked in asking {
        false_ends.extend(asked.await.unwrap().false_ends);
    }
    println!(
        "F7: a revoke, an edit and a delete lost with the master: un-revoked keys after healing {undone}, \
         good keys shut out {shut_out}, false UNAUTHENTICATED {}; another master after {} ms, all \
         gateways there after {} ms, the lost revoke in the store again after {} ms",
        false_ends.len(),
        promoted.as_millis(),
        heard.as_millis(),
        healed.as_millis()
    );
    assert_eq!((undone, shut_out), (0, 0));
    assert!(false_ends.is_empty(), "{false_ends:?}");
    assert!(staying.iter().all(|watched| !watched.has_ended()));
    let deleted = late.show(&deleted).await;
    assert!(
        deleted
            .as_ref()
            .is_err_and(|status| status.code() == Code::NotFound)
            || deleted.is_ok_and(|key| key.revoked_at.is_some())
    );
    assert!(healed < promoted + 2 * MARGIN);
}
