//! An unmodified NGINX Agent that does not get in, as its operator finds out
//! why: `muster rejections list` names it, the reason and the cure, and the cure
//! helps.
//!
//! The bounds are the agent's own timers several times over, as in
//! `real_agent.rs`.

use std::path::Path;
use std::time::Duration;

use muster::gateway::rejections::Reason;
use muster::proto::admin::v1::{Rejection, Session};

use crate::admin_api::bad_input::forge;
use crate::cli::{done, muster};
use crate::support::{NginxHost, Operator, Process, TestGateway, agent_binary, eventually};

/// From its start, or a new key, to its next try.
const TRIES: Duration = Duration::from_secs(90);
const DRAIN: Duration = Duration::from_secs(20);
const EXPORTS: &str = "muster_telemetry_exports_total{signal=\"metrics\"}";

fn say(what: &str, took: Duration) {
    println!("{what}: {took:.3?}");
}

/// The group of that reason and key (empty: none). There may be two: until the
/// agent has introduced itself, its collector exports without its id.
async fn group(operator: &Operator, reason: Reason, key: &str) -> Option<Rejection> {
    let list = operator.list_rejections().await;
    let wanted = |r: &Rejection| r.reason == reason.as_str() && r.key_object_id == key;
    list.into_iter()
        .filter(wanted)
        .max_by_key(|r| r.agent_id.len())
}

async fn session(operator: &Operator, key: &str) -> Option<Session> {
    operator.list_sessions(key).await.pop()
}

/// The words on the terminal: a row with these cells, and what to do about it.
async fn told(data_dir: &Path, reason: Reason, cells: &[&str]) {
    let list = [
        "rejections",
        "list",
        "--data-dir",
        data_dir.to_str().unwrap(),
    ];
    let listed = done(muster(data_dir, &list)).await;
    let text = listed.ok();
    let is_row = |line: &&str| {
        let mut words = line.split_whitespace();
        cells.iter().all(|cell| words.any(|word| word == *cell))
    };
    let row = text.lines().find(is_row);
    let row = row.unwrap_or_else(|| panic!("no row {cells:?} in:\n{text}"));
    println!("  {row}");
    let word = reason.as_str();
    let said = format!("\n{word}: {} {}\n", reason.meaning(), reason.cure());
    assert!(text.contains(&said), "{said} is not in:\n{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_does_not_open_is_named_with_its_agent_and_the_cure() {
    let Some(binary) = agent_binary("real_agent_refusals::a_key_that_does_not_open…") else {
        return;
    };
    let data = tempfile::tempdir().unwrap();
    let gateway = Process::start(data.path(), &[]).await;
    let operator = gateway.operator().await;
    let elsewhere = TestGateway::start().await;
    let (_, unknown) = elsewhere.operator().await.key("of another muster").await;
    let (known, good) = operator.key("k").await;
    let (revoked, revoked_key) = operator.key("revoked").await;
    operator.revoke(&revoked).await;

    let wrong_secret = forge(&known, &unknown);
    let mut host = NginxHost::start(&binary, data.path(), &unknown).await;
    let mut agents = Vec::new();
    for (what, key, reason, named) in [
        ("an unknown key", &unknown, Reason::UnknownKey, ""),
        ("a wrong secret", &wrong_secret, Reason::UnknownKey, &known),
        ("a revoked key", &revoked_key, Reason::KeyRevoked, &revoked),
    ] {
        host.set_key(key);
        let took = host
            .until(what, TRIES, async |_| {
                let group = group(&operator, reason, named).await;
                group.is_some_and(|group| !group.agent_id.is_empty())
            })
            .await;
        say(&format!("{what}, until it is in the list"), took);
        let agent = group(&operator, reason, named).await.unwrap().agent_id;
        let shown = if named.is_empty() { "-" } else { named };
        let cells = [reason.as_str(), shown, &agent, "127.0.0.1"];
        told(data.path(), reason, &cells).await;
        agents.push(agent);
    }
    assert!(operator.list_sessions("").await.is_empty());

    // The cure, and who it was.
    host.set_key(&good);
    let took = host
        .until("it comes in", TRIES, async |_| {
            session(&operator, &known).await.is_some()
        })
        .await;
    say("the cure, a good key, until its session", took);
    let agent = session(&operator, &known).await.unwrap().agent_id;
    assert_eq!(agents, [agent.clone(), agent.clone(), agent]);
    host.stop().await;
    gateway.stop(DRAIN).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_ca_on_the_host_is_named_by_address() {
    let Some(binary) = agent_binary("real_agent_refusals::a_wrong_ca…") else {
        return;
    };
    let data = tempfile::tempdir().unwrap();
    let gateway = Process::start(data.path(), &[]).await;
    let operator = gateway.operator().await;
    let (id, key) = operator.key("k").await;
    let wrong = TestGateway::start().await.file("ca.pem");
    let mut host = NginxHost::start_trusting(&binary, data.path(), &key, &wrong).await;
    let reason = Reason::TlsCertificateRefused;
    let took = host
        .until("its refusal is in the list", TRIES, async |_| {
            group(&operator, reason, "").await.is_some()
        })
        .await;
    say("a wrong CA, from the agent's start to the list", took);
    let group = group(&operator, reason, "").await.unwrap();
    assert_eq!(
        (group.address.as_str(), group.agent_id.as_str()),
        ("127.0.0.1", "")
    );
    told(
        data.path(),
        reason,
        &[reason.as_str(), "-", "-", "127.0.0.1"],
    )
    .await;
    // No other reason beside it: it did not get as far as its key.
    let list = operator.list_rejections().await;
    assert!(list.iter().all(|r| r.reason == reason.as_str()), "{list:?}");

    host.set_ca(&std::fs::read_to_string(data.path().join("ca.pem")).unwrap());
    host.restart_agent().await;
    let took = host
        .until("it comes in", TRIES, async |_| {
            session(&operator, &id).await.is_some()
        })
        .await;
    say(
        "the cure, the right CA and a restart, until its session",
        took,
    );
    host.stop().await;
    gateway.stop(DRAIN).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn telemetry_under_the_old_key_is_named_until_the_agent_is_restarted() {
    let Some(binary) = agent_binary("real_agent_refusals::telemetry_under_the_old_key…") else {
        return;
    };
    let data = tempfile::tempdir().unwrap();
    let gateway = Process::start(data.path(), &[]).await;
    let operator = gateway.operator().await;
    let (old, old_key) = operator.key("old").await;
    let (new, new_key) = operator.key("new").await;
    let mut host = NginxHost::start(&binary, data.path(), &old_key).await;
    host.until("its telemetry comes", TRIES, async |_| {
        gateway.metric(EXPORTS).await >= 1.0
    })
    .await;
    host.set_key(&new_key);
    let took = host
        .until("its session moves", TRIES, async |_| {
            session(&operator, &new).await.is_some()
        })
        .await;
    say("from the new key to its session", took);
    let agent = session(&operator, &new).await.unwrap().agent_id;

    // Its collector still has the old key, which still opens.
    let before = gateway.metric(EXPORTS).await;
    host.until("its telemetry goes on", TRIES, async |_| {
        gateway.metric(EXPORTS).await > before
    })
    .await;
    operator.revoke(&old).await;
    let reason = Reason::StaleTelemetryKey;
    let took = host
        .until("it is named stale", TRIES, async |_| {
            group(&operator, reason, &old).await.is_some()
        })
        .await;
    say(
        "from the old key's revoke to STALE_TELEMETRY_KEY in the list",
        took,
    );
    let stale = group(&operator, reason, &old).await.unwrap();
    let who = if stale.agent_id.is_empty() {
        "-"
    } else {
        &agent
    };
    told(
        data.path(),
        reason,
        &[reason.as_str(), &old, who, "127.0.0.1"],
    )
    .await;
    // The agent's own log has the cure, too, and its session stands.
    let cure = "restart nginx-agent to move its telemetry to the new key";
    host.until("its log has the cure", TRIES, async |log| {
        log.contains(cure)
    })
    .await;
    assert!(session(&operator, &new).await.is_some());

    host.kill_agent().await;
    // What was under way when it ended is counted by then.
    eventually("its session goes", async || {
        operator.list_sessions("").await.is_empty()
    })
    .await;
    let refused = async || {
        let list = operator.list_rejections().await;
        let stale = list.iter().filter(|r| r.reason == reason.as_str());
        stale.map(|r| r.count).sum::<u64>()
    };
    let (stale, taken) = (refused().await, gateway.metric(EXPORTS).await);
    host.restart_agent().await;
    let took = host
        .until("its telemetry is taken", TRIES, async |_| {
            gateway.metric(EXPORTS).await >= taken + 5.0
        })
        .await;
    say("from the restart to five exports taken", took);
    assert_eq!(refused().await, stale, "nothing stale since");
    println!("  refused before the restart: {stale}, after it: none");
    host.stop().await;
    gateway.stop(DRAIN).await;
}
