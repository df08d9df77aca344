//! The commands that administer a gateway.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use muster::keys::Timestamp;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

use super::{Site, done, fields, mode, muster, names};
use crate::support::{PATIENCE, reason_of, within};

#[tokio::test]
async fn a_created_key_goes_alone_to_stdout_and_admits_an_agent() {
    let site = Site::start().await;
    let made = site.run(&["keys", "create", "web"]).await;
    let key = made.ok().strip_suffix('\n').unwrap();
    assert!(key.starts_with("dpk_") && !key.contains(char::is_whitespace));
    assert!(made.err.contains("shown this once"), "{}", made.err);
    assert!(!made.err.contains(&key[21..]));
    site.gateway.agent(key).await.join().await.unwrap();

    let made = site
        .run(&[
            "keys",
            "create",
            "web2",
            "--expires-in",
            "90d",
            "-o",
            "json",
        ])
        .await;
    assert_eq!(made.err, "");
    let made = made.json();
    let told = [
        "durable",
        "expires_at",
        "key",
        "name",
        "object_id",
        "replicas_acknowledged",
    ];
    assert_eq!(fields(&made), told);
    assert_eq!(made["name"], "web2");
    assert!(made["object_id"].as_str().unwrap().starts_with("key_"));
    let key = made["key"].as_str().unwrap();
    site.gateway.agent(key).await.join().await.unwrap();
}

#[tokio::test]
async fn a_key_file_is_private_and_one_that_exists_costs_no_key() {
    let site = Site::start().await;
    let words = ["keys", "create", "web", "--key-out", "web.key"];
    let made = site.run(&words).await;
    assert_eq!(made.ok(), "");
    let file = site.path("web.key");
    assert_eq!(mode(&file), 0o600);
    let key = fs::read_to_string(&file).unwrap();
    // An agent reads the file as it is, without the line's end.
    let agent = site.gateway.agent(key.trim_end()).await;
    agent.join().await.unwrap();
    site.run(&words)
        .await
        .refused(1, &["web.key", "no key was created"]);
    assert_eq!(site.keys().await.len(), 1);
    assert_eq!(fs::read_to_string(&file).unwrap(), key);
}

#[tokio::test]
async fn keys_are_listed_filtered_shown_and_edited() {
    let site = Site::start().await;
    assert_eq!(site.run(&["keys", "list", "-o", "json"]).await.ok(), "[]\n");
    let (web, secret) = site.key("web").await;
    let (old, _) = site.key("old").await;
    site.run(&["keys", "create", "soon", "--expires-in", "10d"])
        .await
        .ok();
    site.run(&["keys", "revoke", "old", "--yes"]).await.ok();

    let row = |rows: &[Value], id: &str| {
        let mut rows = rows.iter();
        rows.find(|row| row["object_id"] == id).unwrap().clone()
    };
    let rows = site.keys().await;
    assert_eq!(rows.len(), 3);
    let valid = [
        "created_at",
        "expires_at",
        "modified_at",
        "name",
        "object_id",
        "revision",
        "revoked",
        "status",
    ];
    assert_eq!(fields(&row(&rows, &web)), valid);
    let revoked = row(&rows, &old);
    assert_eq!(revoked["revoked"], true);
    assert!(revoked["revoked_at"].is_string(), "{revoked}");

    for (filter, found) in [
        (["--status", "valid"], vec!["soon", "web"]),
        (["--status", "revoked"], vec!["old"]),
        (["--status", "expired"], vec![]),
        (["--expiring", "30d"], vec!["soon"]),
        (["--expiring", "1d"], vec![]),
    ] {
        let words = [&["keys", "list", "-o", "json"][..], &filter].concat();
        assert_eq!(names(&site.run(&words).await.json()), found, "{filter:?}");
    }
    let table = site.run(&["keys", "list"]).await;
    assert_eq!(table.ok().lines().count(), 4, "{}", table.out);
    assert!(table.out.starts_with("ID ") && !table.out.contains('\u{1b}'));

    let words = [
        "keys",
        "edit",
        "web",
        "--name",
        "web-eu",
        "--expires-in",
        "20d",
    ];
    site.run(&words).await.ok();
    let shown = site.run(&["keys", "show", &web]).await;
    assert!(shown.ok().contains("name      web-eu\n"), "{}", shown.out);
    let shown = site.run(&["keys", "show", "web-eu", "-o", "json"]).await;
    let row = &shown.json()[0];
    let at = |field: &str| Timestamp::parse_rfc3339(row[field].as_str().unwrap()).unwrap();
    // The span is the operator's clock's, the edit's moment the gateway's.
    let life = at("expires_at").saturating_since(at("modified_at"));
    let days = Duration::from_secs(20 * 86_400);
    assert!(life.abs_diff(days) < PATIENCE, "{row}");
    assert!(!shown.out.contains(&secret[21..]));
    site.run(&["keys", "edit", "old", "--expires-in", "20d"])
        .await
        .refused(1, &["revoked"]);
    site.run(&["keys", "create", ""]).await.refused(1, &["128"]);
}

#[tokio::test]
async fn a_revoke_is_confirmed_and_says_what_it_closed() {
    let site = Site::start().await;
    let (id, key) = site.key("web").await;
    let agent = site.gateway.agent(&key).await;
    let mut stream = agent.connect().await;
    let deleted = site.run(&["keys", "delete", "web"]).await;
    deleted.refused(1, &[&id]);

    let asked = site.run(&["keys", "revoke", "web"]).await;
    asked.refused(2, &["--yes", "Nothing was revoked"]);
    assert_eq!(site.keys().await[0]["status"], "valid");

    let revoked = site.run(&["keys", "revoke", "web", "--yes"]).await;
    let told = format!("{id} \"web\": revoked; 1 session closed in ");
    assert!(revoked.ok().starts_with(&told), "{}", revoked.out);
    assert!(revoked.err.contains("a revoke cuts 1 live session"));
    assert_eq!(reason_of(&stream.end().await), "KEY_REVOKED");

    // Once more: nothing is done again, and it says where that revoke stands.
    let again = site
        .run(&["keys", "revoke", "web", "--yes", "-o", "json"])
        .await;
    assert!(again.err.contains("has been revoked already"));
    let again = &again.json()[0];
    assert_eq!(again["outcome"], "revoked", "{again}");
    assert_eq!(again["complete"], true, "{again}");
    assert_eq!(again["sessions_closed"], 1, "{again}");
    assert_eq!(again["gateways"].as_array().unwrap().len(), 1);
    let revoked_at = &site.keys().await[0]["revoked_at"];
    assert_eq!(&again["revoked_at"], revoked_at);

    let deleted = site.run(&["keys", "delete", "web"]).await;
    assert_eq!(deleted.ok(), format!("{id} \"web\": deleted\n"));
    assert!(site.keys().await.is_empty());
    site.run(&["keys", "show", &id]).await.refused(1, &[&id]);
}

/// `script` gives the command a terminal; the test types the answer when it has
/// read the question.
#[tokio::test]
async fn on_a_terminal_a_revoke_asks() {
    let site = Site::start().await;
    site.key("web").await;
    for (answer, status) in [("n\n", "valid"), ("y\n", "revoked")] {
        let line = format!("{} keys revoke web", env!("CARGO_BIN_EXE_muster"));
        let mut script = Command::new("script")
            .args(["--quiet", "--return", "--command", &line])
            .arg("/dev/null")
            .current_dir(site.dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("script (of bsdutils) is needed for a terminal");
        let mut screen = BufReader::new(script.stdout.take().unwrap());
        let mut seen = Vec::new();
        // The question ends in "[y/N] ", the first bracket closed.
        within("the question", screen.read_until(b']', &mut seen))
            .await
            .unwrap();
        let mut keyboard = script.stdin.take().unwrap();
        keyboard.write_all(answer.as_bytes()).await.unwrap();
        let mut rest = String::new();
        within("the end", screen.read_to_string(&mut rest))
            .await
            .unwrap();
        let ended = within("the end", script.wait()).await.unwrap();
        let seen = String::from_utf8_lossy(&seen) + rest.as_str();
        assert!(seen.contains("Revoke it? [y/N]"), "{seen}");
        assert_eq!(ended.success(), status == "revoked", "{seen}");
        assert_eq!(site.keys().await[0]["status"], status, "{seen}");
    }
}

#[tokio::test]
async fn sessions_and_gateways_are_listed_and_a_session_is_disconnected() {
    let site = Site::start().await;
    let (id, key) = site.key("web").await;
    let (other, _) = site.key("other").await;
    let none = site.run(&["sessions", "list"]).await;
    assert_eq!(none.ok(), "");
    let mut agent = site.gateway.agent(&key).await;
    let mut stream = agent.connect().await;
    let sessions = site.run(&["sessions", "list", "-o", "json"]).await.json();
    assert_eq!(sessions.as_array().unwrap().len(), 1);
    let session = &sessions[0];
    assert_eq!(session["key_object_id"], id.as_str());
    assert_eq!(session["agent_id"], agent.id.to_string());
    let of_other = ["sessions", "list", "--key", &other, "-o", "json"];
    assert_eq!(site.run(&of_other).await.ok(), "[]\n");

    let gateways = site.run(&["gateways", "list", "-o", "json"]).await.json();
    assert_eq!(gateways.as_array().unwrap().len(), 1);
    assert_eq!(gateways[0]["gateway_id"], session["gateway_id"]);
    assert_eq!(gateways[0]["live_sessions"], 1);
    assert_eq!(gateways[0]["answering"], true);
    assert!(
        site.run(&["gateways", "list"])
            .await
            .ok()
            .contains("(answering)")
    );

    let session_id = session["session_id"].as_str().unwrap();
    let cut = site.run(&["sessions", "disconnect", session_id]).await;
    assert!(cut.ok().contains("closed in"), "{}", cut.out);
    stream.end().await;
    let again = site.run(&["sessions", "disconnect", session_id]).await;
    again.refused(1, &[session_id]);
    // It is the agent's session that ended, not its key.
    agent = site.gateway.agent(&key).await;
    agent.join().await.unwrap();
}

#[tokio::test]
async fn a_name_of_two_keys_is_told_apart_and_a_pasted_secret_is_not_echoed() {
    let site = Site::start().await;
    let (first, secret) = site.key("twin").await;
    let (second, _) = site.key("twin").await;
    for words in [
        &["keys", "show", "twin"][..],
        &["keys", "edit", "twin", "--name", "x"],
        &["keys", "delete", "twin"],
        &["sessions", "list", "--key", "twin"],
    ] {
        site.run(words).await.refused(1, &[&first, &second]);
    }
    let revoked = site.run(&["keys", "revoke", "twin", "--yes"]).await;
    revoked.refused(1, &[&first, &second]);
    assert!(site.keys().await.iter().all(|key| key["revoked"] == false));
    for words in [
        &["keys", "show", &secret][..],
        &["keys", "revoke", &secret, "--yes"],
        &["keys", "delete", &secret],
        &["sessions", "list", "--key", &secret],
        &["sessions", "disconnect", &secret],
        &["agent-config", "--key-file", &secret],
        &["keys", "list", "--token-file", &secret],
    ] {
        let done = site.run(words).await;
        done.refused(2, &[]);
        assert!(!done.err.contains(&secret[21..40]), "{}", done.err);
    }
}

#[tokio::test]
async fn escape_sequences_in_a_name_are_printed_harmlessly() {
    let site = Site::start().await;
    let name = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{202e}";
    let made = site.run(&["keys", "create", name]).await;
    made.ok();
    // A name is any 1 to 128 characters, so nothing may print one raw.
    let row = site.keys().await[0].clone();
    let id = row["object_id"].as_str().unwrap();
    let harmless = |text: &str| !text.contains(['\u{1b}', '\u{7}', '\u{202e}']);
    for words in [
        &["keys", "list"][..],
        &["keys", "show", id],
        &["keys", "revoke", id, "--yes"],
        &["keys", "delete", id],
    ] {
        let shown = site.run(words).await;
        assert!(harmless(shown.ok()) && harmless(&shown.err), "{words:?}");
        assert!(shown.out.contains("\\u{1b}]0;owned"), "{:?}", shown.out);
    }
    // JSON has escapes of its own.
    assert_eq!(row["name"], name);
    assert!(harmless(&made.err), "{:?}", made.err);
    let absent = site.run(&["keys", "show", name]).await;
    assert!(harmless(&absent.err), "{:?}", absent.err);
}

#[tokio::test]
async fn without_a_gateway_all_ways_to_name_one_are_told() {
    let dir = tempfile::tempdir().unwrap();
    for words in [
        &["keys", "list"][..],
        &["keys", "create", "web", "--key-out", "web.key"],
        &["sessions", "list"],
        &["gateways", "list"],
    ] {
        let told = done(muster(dir.path(), words)).await;
        told.refused(
            2,
            &[
                "--data-dir",
                "--admin-url URL --token-file FILE --ca FILE",
                "MUSTER_ADMIN_URL, MUSTER_TOKEN_FILE and MUSTER_CA",
            ],
        );
    }
    assert!(!dir.path().join("web.key").exists());
    let site = Site::start().await;
    let away = tempfile::tempdir().unwrap();
    let data = site.path("muster-data");
    let url = fs::read_to_string(data.join("admin.url")).unwrap();
    let list = || muster(away.path(), &["keys", "list", "-o", "json"]);

    let mut by_variables = list();
    by_variables
        .env("MUSTER_ADMIN_URL", url.trim())
        .env("MUSTER_TOKEN_FILE", data.join("admin.token"))
        .env("MUSTER_CA", data.join("ca.pem"));
    assert_eq!(done(by_variables).await.ok(), "[]\n");
    let mut by_flags = list();
    by_flags
        .args(["--admin-url", url.trim(), "--token-file"])
        .arg(data.join("admin.token"))
        .arg("--ca")
        .arg(data.join("ca.pem"));
    assert_eq!(done(by_flags).await.ok(), "[]\n");
    let mut by_directory = list();
    by_directory.env("MUSTER_DATA_DIR", &data);
    assert_eq!(done(by_directory).await.ok(), "[]\n");

    // A gateway that has gone is said to be gone.
    site.gateway.stop(PATIENCE).await;
    let mut gone = list();
    gone.env("MUSTER_DATA_DIR", &data);
    done(gone).await.refused(1, &["is `muster serve` running"]);
}

#[tokio::test]
async fn agent_config_prints_a_block_that_connects() {
    let site = Site::start().await;
    let printed = site
        .run(&["agent-config", "--key-file", "web.key", "-o", "json"])
        .await;
    let block = &printed.json()["command"];
    let address = fs::read_to_string(site.path("muster-data/agent.address")).unwrap();
    let (host, port) = address.trim().rsplit_once(':').unwrap();
    assert_eq!(block["server"]["host"], host);
    assert_eq!(block["server"]["port"].to_string(), port);
    // Absolute: an agent is not where the operator is.
    let here = fs::canonicalize(site.dir.path()).unwrap();
    assert_eq!(block["auth"]["tokenpath"], json!(here.join("web.key")));
    assert_eq!(block["tls"]["ca"], json!(here.join("muster-data/ca.pem")));
    assert_eq!(block["tls"]["skip_verify"], false);
    let text = site.run(&["agent-config"]).await;
    assert!(
        text.ok().contains("\ncommand:\n  server:\n"),
        "{}",
        text.out
    );
    assert!(text.out.contains("\"/etc/nginx-agent/muster.key\""));
    let other = ["agent-config", "--agent-address", "muster.example.com:443"];
    let other = site.run(&other).await;
    assert!(other.ok().contains("host: \"muster.example.com\""));
}
