//! An unmodified NGINX Agent with Debian's NGINX beside it. Its path comes from
//! `NGINX_AGENT_BIN`; without it the tests say that they were left out.
//!
//! The bounds are those of the issue where it names one, else several times what
//! the agent needs by its own timers: it looks around every 5 s, and its retries
//! lie up to 30 s apart.

use std::time::{Duration, Instant};

use muster::keys::Timestamp;
use muster::proto::admin::v1::{Instance, InstanceStatus, ListInstancesRequest, Session};

use crate::support::{NginxHost, Operator, Process, agent_binary, free_port};

/// From its start to its session: 5 s by its own timer.
const REGISTERS: Duration = Duration::from_secs(60);
/// Retries up to 30 s apart, after a connection's own backoff.
const COMES_BACK: Duration = Duration::from_secs(90);
/// The bound for the end of a stream; some 10 ms are usual.
const CUT: Duration = Duration::from_secs(1);
/// The bound for a new key in the key file.
const NEW_KEY: Duration = Duration::from_secs(10);

const DRAIN: Duration = Duration::from_secs(20);

async fn only_session(operator: &Operator, key: &str) -> Option<Session> {
    let mut sessions = operator.list_sessions(key).await;
    assert!(sessions.len() <= 1, "{sessions:?}");
    sessions.pop()
}

/// The agent's own complaints, and its collector's about our answers. The
/// collector complains of the machine, too (of what it can't measure in a
/// container, say); that is not ours to mend.
fn errors(log: &str) -> Vec<&str> {
    let ours = |line: &&str| {
        let collectors = line.contains("\terror\t") && line.to_lowercase().contains("export");
        line.contains("level=ERROR") || collectors
    };
    log.lines().filter(ours).collect()
}

/// When a line of the agent's log was written.
fn time_of(line: &str) -> Timestamp {
    let text = line.strip_prefix("time=").unwrap();
    Timestamp::parse_rfc3339(text.split(' ').next().unwrap()).unwrap()
}

fn say(what: &str, took: Duration) {
    println!("{what}: {took:.3?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_registers_is_cut_off_and_comes_back_with_another_key() {
    let Some(binary) = agent_binary("real_agent::it_registers_is_cut_off…") else {
        return;
    };
    let data = tempfile::tempdir().unwrap();
    let gateway = Process::start(data.path(), &[]).await;
    let operator = gateway.operator().await;
    let (id, key) = operator.key("first").await;
    let mut host = NginxHost::start(&binary, data.path(), &key).await;

    // It registers.
    let took = host
        .until("a session", REGISTERS, async |_| {
            only_session(&operator, &id).await.is_some()
        })
        .await;
    say("from the agent's start to its session", took);
    let session = only_session(&operator, &id).await.unwrap();
    assert!(session.user_agent.starts_with("nginx-agent/"));
    let agent_id = session.agent_id;
    assert!(agent_id.parse::<uuid::Uuid>().is_ok(), "{agent_id}");

    // All that it reports is taken.
    let found = format!("localhost:{}/status", host.nginx_port());
    for (what, words) in [
        ("it finds its NGINX", found.as_str()),
        ("it sends an overview", "Finished updating file overview"),
        ("it sends its health", "UpdateDataPlaneHealth response"),
    ] {
        let took = host
            .until(what, REGISTERS, async |log| log.contains(words))
            .await;
        say(what, took);
    }
    let exports = "muster_telemetry_exports_total{signal=\"metrics\"}";
    let took = host
        .until("its metrics come", REGISTERS, async |_| {
            gateway.metric(exports).await >= 3.0
        })
        .await;
    say("its metrics come, three exports", took);
    let log = host.log();
    assert_eq!(errors(&log), Vec::<&str>::new(), "its log:\n{log}");

    // A revoke ends its stream.
    let begun = Instant::now();
    let outcome = operator.revoke(&id).await;
    let answered = begun.elapsed();
    let told = &outcome.gateways[0];
    assert!(outcome.complete, "{outcome:?}");
    assert_eq!((told.sessions_closed, told.sessions_closing), (1, 0));
    assert!(told.milliseconds <= 1000, "{outcome:?}");
    assert!(answered <= CUT, "{answered:?}");
    say("the revoke is answered", answered);
    println!(
        "  of which until its session was closed: {} ms",
        told.milliseconds
    );

    // The agent knows it, and why; its retries are refused with the same text.
    let why = |line: &&str| line.contains(&id) && line.contains("was revoked at");
    let refused = |log: &str| {
        log.lines()
            .filter(|line| line.contains("Failed to create connection"))
            .filter(why)
            .count()
    };
    host.until("three retries are refused", COMES_BACK, async |log| {
        refused(&log) >= 3
    })
    .await;
    let log = host.log();
    let end = log
        .lines()
        .filter(|line| line.contains("from subscribe stream"))
        .find(why)
        .unwrap_or_else(|| panic!("its stream's end is not in its log:\n{log}"));
    let revoked = outcome.key.unwrap().revoked_at.unwrap();
    let revoked = Timestamp::from_unix(revoked.seconds, revoked.nanos).unwrap();
    // Both are clocks of this machine.
    let noticed = time_of(end).saturating_since(revoked);
    assert!(noticed <= CUT, "{noticed:?}: {end}");
    say("the agent's log has its stream's end after", noticed);
    println!("  {end}");
    assert!(
        gateway
            .metric("muster_refusals_total{reason=\"KEY_REVOKED\"}")
            .await
            >= 3.0
    );
    assert!(operator.list_sessions("").await.is_empty());

    // Another key brings it back.
    let (other_id, other) = operator.key("second").await;
    host.set_key(&other);
    let took = host
        .until("it comes back with the new key", NEW_KEY, async |_| {
            only_session(&operator, &other_id).await.is_some()
        })
        .await;
    say("from the new key to its session", took);
    let session = only_session(&operator, &other_id).await.unwrap();
    assert_eq!(session.agent_id, agent_id);
    host.stop().await;
    gateway.stop(DRAIN).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_agent_reconnects_after_a_restart_of_the_gateway() {
    let Some(binary) = agent_binary("real_agent::it_comes_back_by_itself…") else {
        return;
    };
    let data = tempfile::tempdir().unwrap();
    let address = format!("127.0.0.1:{}", free_port());
    let mut gateway = Process::start_at(data.path(), &address, &[]).await;
    let (id, key) = gateway.operator().await.key("kept").await;
    let mut host = NginxHost::start(&binary, data.path(), &key).await;
    for restart in ["no", "a clean", "a violent"] {
        match restart {
            "a clean" => {
                gateway.stop(DRAIN).await;
                gateway = Process::start_at(data.path(), &address, &[]).await;
            }
            "a violent" => {
                gateway.kill().await;
                gateway = Process::start_at(data.path(), &address, &[]).await;
            }
            _ => {}
        }
        // The sessions of a gateway die with it: one that is listed is new.
        let operator = gateway.operator().await;
        let took = host
            .until("a session", COMES_BACK, async |_| {
                only_session(&operator, &id).await.is_some()
            })
            .await;
        say(&format!("after {restart} restart, to its session"), took);
    }
    // It was refused nothing meanwhile.
    assert!(!host.log().contains("Unauthenticated"), "{}", host.log());
    host.stop().await;
    gateway.stop(DRAIN).await;
}

/// The NGINX of that configuration: an agent reports every one of the machine.
async fn instance(operator: &Operator, conf: &str) -> Option<Instance> {
    let request = ListInstancesRequest::default();
    let answer = operator.agents().list_instances(request).await.unwrap();
    let mut instances = answer.into_inner().instances.into_iter();
    instances.find(|instance| instance.conf_path == conf)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_nginx_is_listed_and_followed() {
    let Some(binary) = agent_binary("real_agent::its_nginx_is_listed…") else {
        return;
    };
    let data = tempfile::tempdir().unwrap();
    let gateway = Process::start(data.path(), &[]).await;
    let operator = gateway.operator().await;
    let (id, key) = operator.key("k").await;
    let mut host = NginxHost::start(&binary, data.path(), &key).await;
    let conf = host.nginx_conf();
    let status = async || instance(&operator, &conf).await.map(|i| i.status());
    let took = host
        .until("its NGINX is online", REGISTERS, async |_| {
            status().await == Some(InstanceStatus::Online)
        })
        .await;
    say("from the agent's start to its NGINX online", took);
    let instance = instance(&operator, &conf).await.unwrap();
    println!("  {instance:?}");
    assert_eq!(instance.version, host.nginx_version());
    assert_eq!(instance.key_object_id, id);
    assert!(!instance.os_version.is_empty() && !instance.hostname.is_empty());

    host.stop_nginx();
    let took = host
        .until("its NGINX is offline", COMES_BACK, async |_| {
            status().await == Some(InstanceStatus::Offline)
        })
        .await;
    say("from NGINX's stop to offline", took);
    host.kill_agent().await;
    let gone = Instant::now();
    while status().await != Some(InstanceStatus::Unavailable) {
        assert!(gone.elapsed() < COMES_BACK, "its end was not noticed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    say("from the agent's end to unavailable", gone.elapsed());
    gateway.stop(DRAIN).await;
}
