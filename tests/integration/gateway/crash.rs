//! What a gateway leaves behind when it is killed, and how it stops when told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use muster::proto::admin::v1 as pb;
use tokio::sync::mpsc;
use tonic::Code;

use crate::support::{Operator, Process, eventually, reason_of, within};

const ROUNDS: usize = 8;
/// Writers side by side: some change is always under way when the kill comes.
const WRITERS: usize = 4;

/// What the gateway has acknowledged of one key.
#[derive(Clone)]
struct Known {
    secret: String,
    revoke: Revoke,
}

#[derive(Clone, Copy, PartialEq)]
enum Revoke {
    NotAsked,
    Asked,
    Acknowledged,
}

type Ledger = Arc<Mutex<HashMap<String, Known>>>;

/// Creates keys and revokes every second one until the gateway is gone; a word
/// to `acknowledged` for each change that is.
async fn write(operator: Operator, ledger: Ledger, acknowledged: mpsc::UnboundedSender<()>) {
    let mut keys = operator.keys();
    for turn in 0.. {
        let request = pb::CreateKeyRequest {
            name: format!("key {turn}"),
            expires_at: None,
        };
        let Ok(created) = keys.create_key(request).await else {
            return;
        };
        let created = created.into_inner();
        let object_id = created.key.unwrap().object_id;
        let note = |revoke| {
            let known = Known {
                secret: created.secret.clone(),
                revoke,
            };
            ledger.lock().unwrap().insert(object_id.clone(), known);
        };
        note(Revoke::NotAsked);
        let _ = acknowledged.send(());
        if turn % 2 == 1 {
            note(Revoke::Asked);
            let request = pb::RevokeKeyRequest {
                object_id: object_id.clone(),
                wait: None,
            };
            if keys.revoke_key(request).await.is_err() {
                return;
            }
            note(Revoke::Acknowledged);
            let _ = acknowledged.send(());
        }
    }
}

async fn all_keys(operator: &Operator) -> HashMap<String, pb::Key> {
    let mut all = HashMap::new();
    let mut page_token = String::new();
    loop {
        let request = pb::ListKeysRequest {
            page_size: 1000,
            page_token,
            ..Default::default()
        };
        let page = operator.keys().list_keys(request).await.unwrap();
        let page = page.into_inner();
        assert_eq!(page.unreadable, Vec::<String>::new());
        all.extend(
            page.keys
                .into_iter()
                .map(|key| (key.object_id.clone(), key)),
        );
        if page.next_page_token.is_empty() {
            return all;
        }
        page_token = page.next_page_token;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_loses_no_acknowledged_change() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::default();
    let mut gateway = Process::start(dir.path(), &[]).await;
    for round in 0..ROUNDS {
        let (sender, mut acknowledged) = mpsc::unbounded_channel();
        let mut writers = Vec::new();
        for _ in 0..WRITERS {
            let operator = gateway.operator().await;
            let writer = write(operator, ledger.clone(), sender.clone());
            writers.push(tokio::spawn(writer));
        }
        drop(sender);
        // Not the same moment in each round, and never a quiet one.
        for _ in 0..5 + 7 * round {
            within("a change", acknowledged.recv()).await.unwrap();
        }
        gateway.kill().await;
        within("the writers' end", join_all(writers)).await;
        gateway = Process::start(dir.path(), &[]).await;
        check(&gateway, &ledger, (round + 1) * WRITERS).await;
    }
}

/// Every acknowledged change is there, and at most `in_flight` others.
async fn check(gateway: &Process, ledger: &Ledger, in_flight: usize) {
    let operator = gateway.operator().await;
    let listed = all_keys(&operator).await;
    let known = ledger.lock().unwrap().clone();
    let agent = gateway.agent("").await;
    let (mut admitted, mut refused, mut open) = (0, 0, 0);
    for (id, Known { secret, revoke }) in &known {
        let key = listed
            .get(id)
            .unwrap_or_else(|| panic!("{id} was acknowledged and is lost"));
        let revoked = key.revoked_at.is_some();
        match revoke {
            Revoke::NotAsked => assert!(!revoked, "{id} was revoked by nobody"),
            Revoke::Acknowledged => assert!(revoked, "the revoke of {id} is lost"),
            Revoke::Asked => open += 1,
        }
        // What is listed is what agents meet.
        match agent.with_key(Some(secret)).join().await {
            Ok(_) => {
                assert!(!revoked, "{id} is revoked and admits");
                admitted += 1;
            }
            Err(status) => {
                assert!(revoked, "{id}: {status}");
                assert_eq!(reason_of(&status), "KEY_REVOKED");
                refused += 1;
            }
        }
    }
    let unacknowledged = listed.len() - known.len();
    println!(
        "killed: {} creates acknowledged, all there; {admitted} admit, {refused} are refused; \
         not acknowledged: {open} revokes, {unacknowledged} creates that are there",
        known.len()
    );
    assert!(unacknowledged <= in_flight, "keys that nobody made");
}

/// The drain time of the embedded store.
const DRAIN: Duration = Duration::from_secs(2);
/// What a busy machine may add to it.
const MARGIN: Duration = Duration::from_secs(10);

#[tokio::test]
async fn sigterm_drains_the_agents_and_exits_0() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = Process::start(dir.path(), &[]).await;
    let (_, key) = gateway.operator().await.key("web").await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        streams.push(gateway.agent(&key).await.connect().await);
    }
    gateway.terminate().await;
    for status in join_all(streams.iter_mut().map(|stream| stream.end())).await {
        // A code that agents retry.
        assert_eq!(status.code(), Code::Unavailable, "{status}");
    }
    let (code, log) = gateway.ended(DRAIN + MARGIN).await;
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains("panicked"), "{log}");
}

#[tokio::test]
async fn a_second_sigterm_exits_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = Process::start(dir.path(), &["--drain-time", "60s"]).await;
    let (_, key) = gateway.operator().await.key("web").await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        streams.push(gateway.agent(&key).await.connect().await);
    }
    gateway.terminate().await;
    eventually("it says that it stops", async || {
        gateway.get("/readyz").await.starts_with("HTTP/1.1 503")
    })
    .await;
    gateway.terminate().await;
    // The drain would take far longer.
    let (code, log) = gateway.ended(MARGIN).await;
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("second signal"), "{log}");
    assert!(!log.contains("panicked"), "{log}");
}
