//! F8: Redis comes back empty, or is emptied.

use std::time::Duration;

use tokio::sync::watch;

use super::{Answers, Shared, alone, session};
use crate::support::{Launched, RedisServer, Saved, Site, eventually, free_port, get_from_ops};

const ASKED: Duration = Duration::from_secs(3);

/// A gateway that starts over an emptied Redis serves nobody: it ends, with the
/// cause, or says that it is not ready.
async fn serves_nobody(launched: Launched, ops: &str) {
    let said = async {
        loop {
            if let Ok(answer) = get_from_ops(ops, "/readyz").await {
                assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
                if answer.contains("not the store that this gateway knows") {
                    return;
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = said => {}
        (code, log) = launched.ended() => {
            assert_eq!(code, Some(1), "{log}");
            assert!(log.contains("not the store that this gateway knows"), "{log}");
        }
    }
}

async fn emptied(how: &str, empty: impl AsyncFnOnce(&mut RedisServer)) {
    let mut site = Site::new();
    let gateways = site.three_with(&["--feed-interval=200ms"]).await;
    let operator = gateways[0].operator().await;
    let (_, known) = operator.key("known").await;
    let (_, fresh) = operator.key("not yet used").await;
    let (stop, stopped) = watch::channel(false);
    let (mut shared, mut sessions, mut asking) = (Vec::new(), Vec::new(), Vec::new());
    for gateway in &gateways {
        let there = Shared::open(gateway, &known).await;
        sessions.push(session(&there.agent(&known)).await);
        shared.push(there);
    }
    empty(&mut site.redis).await;
    for there in &shared {
        for key in [&known, &fresh] {
            asking.push(Answers::ask(there.agent(key), stopped.clone()));
        }
    }
    let alarm = async || {
        let text = gateways[0].get("/metrics").await;
        let failures = text
            .lines()
            .find_map(|l| l.strip_prefix("muster_store_failures_total "));
        failures.is_some_and(|failures| failures != "0")
    };
    eventually("the fault shows in the metrics", alarm).await;
    tokio::time::sleep(ASKED).await;
    stop.send_replace(true);
    let (mut false_ends, mut good, mut ours) = (Vec::new(), 0, 0);
    for asked in asking {
        let answers = asked.await.unwrap();
        good += answers.good;
        ours += answers.ours;
        false_ends.extend(answers.false_ends);
    }
    let cut = sessions
        .iter()
        .filter(|watched| watched.has_ended())
        .count();
    println!(
        "F8: {how}: sessions wrongly cut {cut} of {}, false UNAUTHENTICATED {} of {} ({ours} UNAVAILABLE)",
        sessions.len(),
        false_ends.len(),
        good + ours
    );
    assert!(false_ends.is_empty(), "{false_ends:?}");
    assert_eq!(cut, 0);
    assert!(good > 0 && ours > 0);

    // And with the gateways started again: nobody is there to tell a lie.
    for (mut gateway, name) in gateways.into_iter().zip(["one", "two", "three"]) {
        gateway.kill().await;
        let ops = format!("127.0.0.1:{}", free_port());
        let flags = ["--ops-listen", ops.as_str()];
        let launched = site.launch_at(&site.redis.login_url(), name, &flags);
        serves_nobody(launched, &ops).await;
    }
    println!("F8: {how}, gateways started again: none serves, each says why");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_emptied_and_no_good_key_is_refused() {
    let _alone = alone().await;
    emptied("FLUSHALL", async |redis| {
        let mut raw = redis.raw().await;
        let () = redis::cmd("FLUSHALL").query_async(&mut raw).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_comes_back_empty_and_no_good_key_is_refused() {
    let _alone = alone().await;
    emptied("an empty restart", async |redis| Saved::lose_all(redis)).await;
}
