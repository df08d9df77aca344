//! `muster keys …` against the fake.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::fake::{self, Fake, key};
use super::{three, type_in, type_with};
use crate::proto::admin::v1::{KeyStatus, TelemetrySender};

#[test]
fn a_created_key_goes_alone_to_stdout() {
    let fake = three();
    let done = type_in(&fake, &["keys", "create", "new"]);
    assert_eq!(done.code, 0, "{}", done.err);
    let secret = fake.state.lock().secrets[0].clone();
    assert_eq!(done.out, format!("{secret}\n"));
    assert!(done.err.contains("shown this once"), "{}", done.err);
    assert!(done.err.contains("muster agent-config"));
    assert!(!done.err.contains(&secret));

    let done = type_in(
        &fake,
        &[
            "keys",
            "create",
            "new",
            "--expires-at",
            "2027-01-31T00:00:00Z",
            "-o",
            "json",
        ],
    );
    let secret = fake.state.lock().secrets[1].clone();
    assert_eq!(
        done.json(),
        json!({
            "name": "new",
            "object_id": "key_0000000000000009",
            "key": secret,
            "expires_at": "2027-01-31T00:00:00Z",
            "durable": true,
            "replicas_acknowledged": 1,
        })
    );
    assert_eq!(done.err, "");
}

#[test]
fn a_key_file_is_private_new_and_not_left_behind() {
    let fake = three();
    let path = fake.dir.path().join("web.key");
    let out = path.to_str().unwrap();
    let done = type_in(&fake, &["keys", "create", "new", "--key-out", out]);
    let secret = fake.state.lock().secrets[0].clone();
    assert_eq!((done.code, done.out.as_str()), (0, ""));
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        format!("{secret}\n")
    );
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    // It is there: no key is made, and the file stays as it was.
    let done = type_in(&fake, &["keys", "create", "new", "--key-out", out]);
    assert_eq!(done.code, 1);
    assert!(done.err.contains("no key was created"), "{}", done.err);
    assert_eq!(fake.state.lock().secrets.len(), 1);
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        format!("{secret}\n")
    );

    // The create is refused: no file is left.
    let other = fake.dir.path().join("other.key");
    let done = type_in(
        &fake,
        &["keys", "create", "", "--key-out", other.to_str().unwrap()],
    );
    assert_eq!(done.code, 1);
    assert!(done.err.contains("1 to 128 characters"));
    assert!(!other.exists());
}

#[test]
fn a_list_is_all_pages() {
    let fake = three();
    let done = type_in(&fake, &["keys", "list"]);
    assert_eq!(done.out.lines().count(), 4, "{}", done.out);
    assert!(
        done.out
            .starts_with("ID                    STATUS  EXPIRES")
    );
    let rows = type_in(&fake, &["keys", "list", "-o", "json"]).json();
    assert_eq!(
        rows[2],
        json!({
            "object_id": "key_0000000000000003",
            "name": "web",
            "status": "valid",
            "revoked": false,
            "expires_at": "2100-01-01T00:00:00Z",
            "created_at": "2023-11-14T22:13:20Z",
            "modified_at": "2023-11-14T22:13:20Z",
            "revision": 5,
        })
    );
    assert_eq!(rows.as_array().unwrap().len(), 3);

    fake.state.lock().unreadable.push("key_bad".to_owned());
    let done = type_in(
        &fake,
        &["keys", "list", "--status", "revoked", "-o", "json"],
    );
    assert_eq!((done.code, done.out.as_str()), (0, "[]\n"));
    assert!(
        done.err.contains("1 key is damaged") && done.err.contains("key_bad"),
        "{}",
        done.err
    );
    let done = type_in(&fake, &["keys", "list", "--status", "revoked"]);
    assert_eq!(done.out, "");
    assert!(done.err.contains("No key matches."));
}

#[test]
fn a_key_is_shown_with_its_agents_senders_and_last_use() {
    let mut keys = vec![key(0, "idle"), key(0, "new"), key(2, "busy")];
    for (key, n) in keys.iter_mut().zip(1..) {
        key.object_id = format!("key_{n:016}");
    }
    keys[1].last_used_at = None;
    let fake = Fake::start(keys);
    let show = |name| type_in(&fake, &["keys", "show", name]).out;
    let told = show("idle");
    let last_use = "  last used 2023-11-14T22:15:00Z (";
    assert!(
        told.contains(last_use) && told.contains(" ago)\n"),
        "{told}"
    );
    assert!(told.ends_with("  telemetry 0 senders in the last 5 minutes\n"));
    assert!(show("new").contains("  last used never\n"));

    let sender = |n: u8, agent_id: &str| TelemetrySender {
        address: format!("192.0.2.{n}"),
        agent_id: agent_id.to_owned(),
        first_export: fake::time(1_700_000_000),
        last_export: fake::time(1_700_000_060 - i64::from(n)),
        exports: u64::from(n),
    };
    let agent = "00000000-0000-0000-0000-00000000000a";
    fake.state.lock().senders = vec![sender(1, agent), sender(20, ""), sender(3, "")];
    let told = show("busy");
    assert!(told.contains("  last used now\n"), "{told}");
    assert!(told.contains("  sessions  2 live on all gateways\n"));
    assert!(told.contains("  agents    2 registered with it, 2 ever\n"));
    let (_, table) = told
        .split_once("  telemetry 3 senders in the last 5 minutes\n\n")
        .unwrap();
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("SENDER      AGENT  "), "{table}");
    assert!(
        lines[1].starts_with(&format!("192.0.2.1   {agent}  1 ")),
        "{table}"
    );
    assert!(lines[2].starts_with("192.0.2.20  -  "), "{table}");
    assert_eq!(lines[3..], ["and 1 more that exported before"]);

    let rows = type_in(&fake, &["keys", "show", "new", "busy", "-o", "json"]).json();
    assert_eq!(rows[0]["last_used_at"], json!(null));
    assert_eq!(
        rows[1],
        json!({
            "object_id": "key_0000000000000003",
            "name": "busy",
            "status": "valid",
            "revoked": false,
            "expires_at": "2100-01-01T00:00:00Z",
            "created_at": "2023-11-14T22:13:20Z",
            "modified_at": "2023-11-14T22:13:20Z",
            "revision": 5,
            "last_used_at": "2023-11-14T22:15:00Z",
            "live_sessions": 2,
            "current_agents": 2,
            "registered_agents": 2,
            "telemetry_senders_total": 3,
            "revocation": null,
            "telemetry_senders": [
                {
                    "address": "192.0.2.1",
                    "agent_id": agent,
                    "first_export": "2023-11-14T22:13:20Z",
                    "last_export": "2023-11-14T22:14:19Z",
                    "exports": 1,
                },
                {
                    "address": "192.0.2.20",
                    "agent_id": "",
                    "first_export": "2023-11-14T22:13:20Z",
                    "last_export": "2023-11-14T22:14:00Z",
                    "exports": 20,
                },
            ],
        })
    );
}

#[test]
fn a_key_is_named_by_id_or_unambiguous_name() {
    let fake = three();
    let done = type_in(&fake, &["keys", "show", "db"]);
    assert!(done.out.contains("  name      db\n"), "{}", done.out);
    let done = type_in(&fake, &["keys", "show", "web"]);
    assert_eq!(done.code, 1);
    for id in ["key_0000000000000001", "key_0000000000000003"] {
        assert!(done.err.contains(id), "{}", done.err);
    }
    let done = type_in(
        &fake,
        &[
            "keys",
            "show",
            "nobody",
            "key_0000000000000001",
            "-o",
            "json",
        ],
    );
    assert_eq!(done.code, 1);
    assert_eq!(done.json().as_array().unwrap().len(), 1);
    assert!(
        done.err.contains("error: nobody: no key has the name"),
        "{}",
        done.err
    );

    let secret = crate::keys::mint(crate::keys::Kind::DataPlaneKey).unwrap();
    for line in [
        &["keys", "show", "db", secret.expose()][..],
        &["keys", "revoke", "--yes", secret.expose()],
        &["keys", "edit", secret.expose(), "--name", "x"],
        &["sessions", "list", "--key", secret.expose()],
    ] {
        let done = type_in(&fake, line);
        assert_eq!((done.code, done.out.as_str()), (2, ""));
        assert!(done.err.contains("not its id"), "{}", done.err);
        assert!(!done.err.contains(&secret.expose()[21..]), "{}", done.err);
    }
}

#[test]
fn edits_are_shown() {
    let fake = three();
    let done = type_in(&fake, &["keys", "edit", "db", "--name", "db-\u{1b}[2Jeu"]);
    assert!(
        done.out.contains("  name      db-\\u{1b}[2Jeu\n"),
        "{}",
        done.out
    );
    let done = type_in(
        &fake,
        &[
            "keys",
            "edit",
            "key_0000000000000002",
            "--expires-in",
            "90d",
            "-o",
            "json",
        ],
    );
    assert_eq!(done.json()["name"], "db-\u{1b}[2Jeu");
}

#[test]
fn a_change_that_no_replica_has_is_told() {
    let fake = three();
    fake.state.lock().undurable = true;
    for words in [
        &["create", "new"][..],
        &["edit", "db", "--name", "db2"],
        &["revoke", "db2", "--yes"],
        &["delete", "db2"],
    ] {
        let words = [&["keys"], words, &["-o", "json"]].concat();
        let done = type_in(&fake, &words);
        assert_eq!(done.code, 0, "{}", done.err);
        let told = "warning: written, but no replica has it yet: a failover may lose it\n";
        assert!(done.err.contains(told), "{words:?}: {}", done.err);
        let answer = done.json();
        let row = answer.get(0).unwrap_or(&answer);
        assert_eq!(row["durable"], false, "{answer}");
        assert_eq!(row["replicas_acknowledged"], 0);
    }
}

#[test]
fn a_revoke_tells_asks_and_tells() {
    let fake = three();
    let dir = fake.dir.path();
    let done = type_with(dir, &["keys", "revoke", "db"], None);
    assert_eq!(done.code, 2);
    assert!(done.err.contains("--yes"), "{}", done.err);

    let done = type_with(dir, &["keys", "revoke", "db"], Some("\n"));
    assert_eq!(done.code, 1);
    assert!(done.err.contains("cuts 2 live sessions"), "{}", done.err);
    assert!(done.err.contains("can't be undone") && done.err.contains("[y/N]"));
    assert!(done.err.contains("nothing was revoked"));
    assert!(fake.state.lock().keys[1].revoked_at.is_none());

    let done = type_with(dir, &["keys", "revoke", "db"], Some("y\n"));
    assert_eq!(done.code, 0, "{}", done.err);
    assert_eq!(
        done.out,
        "key_0000000000000002 \"db\": revoked; 2 sessions closed in 12 ms\n"
    );

    // Again: it changes nothing, so nothing is asked.
    let done = type_with(dir, &["keys", "revoke", "db"], Some("n\n"));
    assert_eq!(done.code, 0);
    assert!(
        done.err.contains("has been revoked already"),
        "{}",
        done.err
    );

    let line = [
        "keys",
        "revoke",
        "nobody",
        "key_0000000000000001",
        "--yes",
        "-o",
        "json",
    ];
    let done = type_in(&fake, &line);
    assert_eq!(done.code, 1);
    let rows = done.json();
    assert_eq!(rows[0]["outcome"], "failed");
    assert_eq!(rows[1]["outcome"], "revoked");
    assert_eq!(rows[1]["sessions_closed"], 1);
    assert_eq!(rows[1]["complete"], true);
    assert_eq!(rows[1]["gateways"][0]["gateway_name"], "one");
}

#[test]
fn deletes_are_decided_one_by_one() {
    let mut keys: Vec<_> = (1..=60).map(|n| key(n, &format!("k{n}"))).collect();
    for key in &mut keys[..59] {
        key.status = KeyStatus::Expired.into();
    }
    let fake = Fake::start(keys);
    let ids: Vec<String> = (1..=60).map(|n| format!("key_{n:016}")).collect();
    let line = ["keys", "delete"].into_iter();
    let line: Vec<&str> = line
        .chain(ids.iter().map(String::as_str))
        .chain(["k1"])
        .collect();
    let done = type_in(&fake, &line);
    assert_eq!(done.code, 1);
    assert_eq!(done.out.lines().count(), 59, "{}", done.out);
    assert!(
        done.err
            .contains("\"k60\": the key is valid; revoke it first"),
        "{}",
        done.err
    );
    assert_eq!(fake.state.lock().keys.len(), 1);
    let done = type_in(&fake, &["keys", "delete", "k60", "-o", "json"]);
    assert_eq!(
        done.json(),
        json!([{
            "object_id": "key_0000000000000060",
            "name": "k60",
            "outcome": "failed",
            "failure_reason": "the key is valid; revoke it first",
        }])
    );
}
