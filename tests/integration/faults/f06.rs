//! F6 and F9: the network between one gateway and Redis swallows every byte.

use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::{Code, Status};

use super::{MARGIN, Watched, alone, heard_again, session, try_revoke, view_age};
use crate::support::{Fault, Of, Process, Proxy, SHORT, Site, TestAgent, eventually, reason_of};

// As in SHORT.
const STALE: Duration = Duration::from_secs(2);
const SPREAD: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_secs(4);

/// A gateway behind a proxy, a session of each key, and agents who keep joining.
struct Cut {
    gateway: Process,
    proxy: Proxy,
    revoked: Watched,
    good: Watched,
    /// When the last join of the key that gets revoked began, and of the other.
    joins: [JoinHandle<Joins>; 2],
}

/// What an agent got that kept joining.
struct Joins {
    last_good: Instant,
    refused: Vec<Status>,
}

fn keep_joining(agent: TestAgent, stop: watch::Receiver<bool>) -> JoinHandle<Joins> {
    tokio::spawn(async move {
        let mut joins = Joins {
            last_good: Instant::now(),
            refused: Vec::new(),
        };
        while !*stop.borrow() {
            let begun = Instant::now();
            match agent.join().await {
                Ok(_) => joins.last_good = begun,
                Err(status) => joins.refused.push(status),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        joins
    })
}

async fn gateway(site: &Site, name: &str, mode: &str) -> (Process, Proxy) {
    let proxy = Proxy::start(site.redis.port()).await;
    let url = proxy.way_of(&site.redis.login_url());
    let flags = [SHORT, &["--staleness", mode]].concat();
    let gateway = site.launch_at(&url, name, &flags).ready().await;
    (gateway, proxy)
}

impl Cut {
    async fn new(
        (gateway, proxy): (Process, Proxy),
        (revoked, good): (&str, &str),
        stop: &watch::Receiver<bool>,
    ) -> Self {
        let of = async |key: &str| gateway.agent(key).await;
        let joins = [of(revoked).await, of(good).await];
        Self {
            revoked: session(&of(revoked).await).await,
            good: session(&of(good).await).await,
            joins: joins.map(|agent| keep_joining(agent, stop.clone())),
            gateway,
            proxy,
        }
    }
}

async fn swallows(of: Of) {
    let site = Site::new();
    let one = site.launch("one").ready().await;
    let operator = one.operator().await;
    let (id, revoked_key) = operator.key("revoked").await;
    let (_, good_key) = operator.key("good").await;
    let (stop, stopped) = watch::channel(false);
    let keys = (revoked_key.as_str(), good_key.as_str());
    let mut strict = Cut::new(gateway(&site, "strict", "strict").await, keys, &stopped).await;
    let mut best = Cut::new(gateway(&site, "best", "best_effort").await, keys, &stopped).await;
    let mut here = session(&one.agent(&revoked_key).await).await;

    let fresh = Instant::now() - view_age(&strict.gateway).await;
    for cut in [&strict, &best] {
        cut.proxy.set(Fault::Swallow(of));
    }
    let cut = Instant::now();
    let outcome = try_revoke(&operator, &id, Duration::from_millis(300)).await;
    let outcome = outcome.unwrap();
    assert!(!outcome.complete);
    for gateway in &outcome.gateways {
        let reached = gateway.gateway_name == "one";
        assert_eq!(gateway.applied, reached, "{gateway:?}");
    }
    assert!(here.ended_by("KEY_REVOKED").await.is_some());

    // Strict: at the bound, and no later; nobody knows who is revoked.
    let (mut first, mut last) = (Duration::MAX, Duration::ZERO);
    for watched in [&mut strict.revoked, &mut strict.good] {
        let at = watched.ended_by("STORE_NOT_HEARD").await;
        let at = at.expect("strict has to cut");
        assert!(at - fresh >= STALE, "too early: {:?}", at - fresh);
        (first, last) = (first.min(at - cut), last.max(at - cut));
    }
    assert!(last < STALE + SPREAD + MARGIN, "too late: {last:?}");
    // Best effort: sessions stay, known keys join until the limit.
    eventually("the limit", async || view_age(&best.gateway).await > LIMIT).await;
    let agent = best.gateway.agent(&good_key).await;
    let refused = agent.join().await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    assert!(!best.revoked.has_ended() && !best.good.has_ended());
    let age = view_age(&strict.gateway).await;
    assert!(age > LIMIT - SPREAD, "the age does not rise: {age:?}");
    stop.send_replace(true);
    let mut used = Vec::new();
    for (cut_off, bound) in [(&mut strict, STALE), (&mut best, LIMIT)] {
        for (joining, is_good) in cut_off.joins.iter_mut().zip([false, true]) {
            let joins = joining.await.unwrap();
            let use_of = joins.last_good.saturating_duration_since(cut);
            assert!(use_of < bound + MARGIN, "{use_of:?}");
            used.extend((!is_good).then_some(use_of));
            let lie = |status: &&Status| is_good && status.code() == Code::Unauthenticated;
            assert!(joins.refused.iter().find(lie).is_none());
        }
    }

    let healed = Instant::now();
    for cut_off in [&strict, &best] {
        cut_off.proxy.set(Fault::None);
    }
    let ended = best.revoked.ended_by("KEY_REVOKED").await;
    let missed = ended.expect("what was missed is applied") - healed;
    let gateways = [strict.gateway, best.gateway];
    heard_again(&gateways, STALE).await;
    println!(
        "F6/F9: bytes swallowed on {of:?}: longest use of a revoked key by joins: strict {} ms (bound \
         {}), best effort {} ms (bound {}); strict cuts sessions {} to {} ms after (bound {}); what \
         was missed is applied {} ms after healing",
        used[0].as_millis(),
        STALE.as_millis(),
        used[1].as_millis(),
        LIMIT.as_millis(),
        first.as_millis(),
        last.as_millis(),
        (STALE + SPREAD).as_millis(),
        missed.as_millis()
    );
    assert!(!best.good.has_ended());
}

/// After healing each door knows what it missed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_hangs_on_all_connections() {
    let _alone = alone().await;
    swallows(Of::All).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_hangs_on_the_lease_alone() {
    let _alone = alone().await;
    swallows(Of::Tail).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_hangs_on_the_hint_alone() {
    let _alone = alone().await;
    let site = Site::new();
    let one = site.launch("one").ready().await;
    let operator = one.operator().await;
    let (two, proxy) = gateway(&site, "two", "strict").await;
    let (_, keeper) = operator.key("keeper").await;
    let there = super::Shared::open(&two, &keeper).await;
    proxy.set(Fault::Swallow(Of::Hint));
    let begun = Instant::now();
    let mut took = Vec::new();
    while begun.elapsed() < STALE + SPREAD {
        let (id, key) = operator.key("k").await;
        let agent = there.agent(&key);
        let mut watched = session(&agent).await;
        let revoked = Instant::now();
        assert!(operator.revoke(&id).await.complete);
        let at = watched.ended_by("KEY_REVOKED").await;
        took.push(at.expect("it lives on") - revoked);
        assert_eq!(reason_of(&agent.join().await.unwrap_err()), "KEY_REVOKED");
    }
    let took = super::Figures::of(took);
    println!(
        "F6: hint alone swallowed: missed 0 of {}, from the call to the end: {took}",
        took.0.len()
    );
    assert!(view_age(&two).await < STALE, "the lease does not need it");
}
