//! REST answers as its own document says: schemathesis makes up requests from
//! it, good ones and bad ones, and holds every answer against it: no 5xx, no
//! status, header, type or body that is not in the document.
//!
//! `SCHEMATHESIS` says where it is; without it the test says that it was left
//! out. `tests/run` installs and names it.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use muster::proto::admin::v1::{ListGatewaysRequest, Role};
use tokio::process::Command;

use crate::agent_api::agents::join_with_nginx;
use crate::support::{Operator, Process, Stream};

/// The variable with its path.
const VARIABLE: &str = "SCHEMATHESIS";
/// Requests come from this, but for ids, which are the gateway's.
const SEED: &str = "20261124";
/// Requests of a call in a phase, at most.
const EXAMPLES: &str = "25";
/// It takes a minute; a busy machine may take longer.
const BOUND: Duration = Duration::from_secs(600);
/// What is known before the gateway runs.
const CONFIG: &str = include_str!("openapi/schemathesis.toml");

/// Ids of rows that are there, by the name of their dictionary.
type Rows = Vec<(&'static str, Vec<String>)>;

/// Rows of every kind and state; sessions live as long as their streams.
async fn furnish(gateway: &Process, operator: &Operator) -> (Rows, Vec<Stream>) {
    let (mut keys, mut agents, mut streams) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..8 {
        let (id, key) = operator.key(&format!("key {number}")).await;
        for _ in 0..2 {
            let agent = gateway.agent(&key).await;
            join_with_nginx(&agent, "1.27.0").await;
            streams.push(agent.subscribe().await.unwrap());
            agents.push(agent.id.to_string());
        }
        if number % 4 == 3 {
            operator.revoke(&id).await;
            gateway.agent(&key).await.join().await.unwrap_err();
        }
        keys.push(id);
    }
    let moment = Duration::from_millis(500);
    keys.push(operator.key_for("was short", moment).await.0);
    gateway
        .agent("dpk_nonsense")
        .await
        .join()
        .await
        .unwrap_err();
    let mut tokens = Vec::new();
    for role in [Role::Viewer, Role::Operator, Role::Admin] {
        tokens.push(operator.token(role).await.0);
    }
    operator.revoke_token(&tokens[0]).await.unwrap();
    let mut instances = Vec::new();
    for key in &keys {
        let of_key = crate::agent_api::agents::instances(operator, key).await;
        instances.extend(of_key.into_iter().map(|instance| instance.object_id));
    }
    let sessions = operator.list_sessions("").await.into_iter();
    let gateways = operator
        .gateways()
        .list_gateways(ListGatewaysRequest::default())
        .await
        .unwrap();
    let gateways = gateways.into_inner().gateways.into_iter();
    let rows = vec![
        ("namespaces", vec!["default".into()]),
        ("no", vec!["false".into()]),
        ("keys", keys),
        ("agents", agents),
        ("instances", instances),
        ("sessions", sessions.map(|row| row.session_id).collect()),
        ("gateways", gateways.map(|row| row.gateway_id).collect()),
        ("tokens", tokens),
    ];
    (rows, streams)
}

fn write_config(path: &Path, rows: &Rows) {
    let mut text = format!("{CONFIG}\n[dictionaries]\n");
    for (name, values) in rows {
        assert!(!values.is_empty(), "there are no {name}");
        text += &format!("{name} = {{ values = {values:?} }}\n");
    }
    std::fs::write(path, text).unwrap();
}

#[tokio::test]
async fn rest_answers_as_its_document_says() {
    let Some(tool) = std::env::var_os(VARIABLE).filter(|path| !path.is_empty()) else {
        // Not by a macro: the output of a test that passes is not shown.
        let _ = writeln!(
            std::io::stderr(),
            "LEFT OUT: REST against its document: set {VARIABLE} to the path of schemathesis to run it"
        );
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("gw");
    let gateway = Process::start(&data, &[]).await;
    let operator = gateway.operator().await;
    let (rows, _streams) = furnish(&gateway, &operator).await;
    let config = dir.path().join("schemathesis.toml");
    write_config(&config, &rows);
    let port = gateway.file("admin.url");
    let port = port.trim().rsplit_once(':').unwrap().1.to_owned();
    let mut command = Command::new(tool);
    command
        .arg("--config-file")
        .arg(&config)
        .args(["run", &format!("https://localhost:{port}/api/openapi.json")])
        .arg("--tls-verify")
        .arg(data.join("ca.pem"))
        .args(["--seed", SEED, "--max-examples", EXAMPLES])
        .args(["--generation-database", "none", "--no-color"])
        .env("REST_TOKEN", gateway.token().trim())
        .current_dir(dir.path())
        .kill_on_drop(true);
    let begun = std::time::Instant::now();
    let output = tokio::time::timeout(BOUND, command.output()).await;
    let output = output.expect("schemathesis did not end").unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    println!("seed {SEED}, {:?}", begun.elapsed());
    assert!(output.status.success(), "{told}\n{complaint}");
    // It counts a run without a single request as a success.
    assert!(told.contains("Test cases:"), "{told}\n{complaint}");
    // The token has held out: else all it saw was 401.
    operator.list_tokens(10).await;
    let log = gateway.stop(Duration::from_secs(20)).await;
    assert!(!log.contains("panicked"), "{log}");
}
