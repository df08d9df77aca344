//! Several gateways on one Redis, as real processes.

use std::time::Duration;

use muster::proto::admin::v1 as pb;
use tonic::Code;

use crate::support::{
    PATIENCE, Process, RedisServer, Site, eventually, free_port, get_from_ops, reason_of, within,
};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_key_is_one_key_on_all_gateways() {
    let site = Site::new();
    let gateways = site.three().await;
    let operator = gateways[0].operator().await;
    let (id, key) = operator.key("shared").await;
    let (other, other_key) = operator.key("other").await;
    let (mut streams, mut bystanders) = (Vec::new(), Vec::new());
    for gateway in &gateways {
        streams.push(gateway.agent(&key).await.connect().await);
        bystanders.push(gateway.agent(&other_key).await.connect().await);
    }

    // Revoked on one: its sessions end on all, and none gets back in on any.
    gateways[1].operator().await.revoke(&id).await;
    for stream in &mut streams {
        let end = stream.end().await;
        assert_eq!(end.code(), Code::Unauthenticated, "{end}");
        assert_eq!(reason_of(&end), "KEY_REVOKED");
    }
    for gateway in &gateways {
        let refused = gateway.agent(&key).await.join().await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
        assert_eq!(reason_of(&refused), "KEY_REVOKED");
    }

    // Its expiry edited on one: the others' timers follow.
    operator
        .set_expiry(&other, Duration::from_secs(1))
        .await
        .unwrap();
    for stream in &mut bystanders {
        let end = stream.end().await;
        assert_eq!(reason_of(&end), "KEY_EXPIRED", "{end}");
    }
}

#[tokio::test]
async fn an_extended_key_stays_on_all_gateways() {
    let site = Site::new();
    let gateways = site.three().await;
    let operator = gateways[0].operator().await;
    let (id, key) = operator.key_for("k", HOUR).await;
    let mut streams = Vec::new();
    for gateway in &gateways {
        streams.push(gateway.agent(&key).await.connect().await);
    }
    operator.set_expiry(&id, 10 * HOUR).await.unwrap();
    let sample = format!("muster_key_expires_in_seconds{{key=\"{id}\"}}");
    for gateway in &gateways {
        eventually("the new expiry arrives", async || {
            gateway.metric(&sample).await > 9.0 * HOUR.as_secs_f64()
        })
        .await;
    }
}

#[tokio::test]
async fn three_that_start_at_once_make_one_token_and_all_take_it() {
    let site = Site::new();
    let gateways = site.three().await;
    let names = ["one", "two", "three"];
    let maker = |name: &&&str| site.dir(name).join("admin.token").exists();
    let makers: Vec<_> = names.iter().filter(maker).collect();
    let [maker] = makers.as_slice() else {
        panic!("made by {makers:?}");
    };
    let token = site.token();
    for gateway in &gateways {
        let operator = gateway.operator_with(token.trim()).await;
        assert_eq!(operator.list_tokens(10).await.len(), 1);
    }
    for name in names.iter().filter(|name| *name != *maker) {
        let note = std::fs::read_to_string(site.dir(name).join("admin.token.elsewhere"));
        assert_eq!(note.unwrap().trim(), **maker);
    }
    assert_eq!(gateways[0].file("store.id"), gateways[1].file("store.id"));

    // The losers' commands work with the winner's token, as they are told.
    let loser = names.iter().find(|name| *name != *maker).unwrap();
    let mut list = tokio::process::Command::new(env!("CARGO_BIN_EXE_muster"));
    list.args(["tokens", "list", "--data-dir"])
        .arg(site.dir(loser))
        .env("MUSTER_TOKEN_FILE", site.dir(maker).join("admin.token"));
    let listed = within("a command", list.output()).await.unwrap();
    assert!(listed.status.success(), "{listed:?}");
}

#[tokio::test]
async fn the_command_line_serves_a_key_through_any_gateway() {
    let site = Site::new();
    let gateways = site.three().await;
    let token_file = site.dir("token");
    std::fs::write(&token_file, site.token()).unwrap();
    let run = async |gateway: &str, words: &[&str]| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_muster"));
        command.args(words).arg("--data-dir").arg(site.dir(gateway));
        command.env("MUSTER_TOKEN_FILE", &token_file);
        let output = within("a command", command.output()).await.unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        let failed = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {told}{failed}");
        told
    };
    let key = run("one", &["keys", "create", "web"]).await;
    assert!(run("two", &["keys", "list"]).await.contains("web"));
    let mut stream = gateways[2].agent(key.trim()).await.connect().await;
    run("two", &["keys", "edit", "web", "--name", "edge"]).await;
    assert!(
        run("three", &["keys", "show", "edge"])
            .await
            .contains("edge")
    );
    let told = run("two", &["gateways", "list"]).await;
    for name in ["one", "two", "three"] {
        assert!(told.contains(name), "{told}");
    }
    run("two", &["keys", "revoke", "edge", "--yes"]).await;
    assert_eq!(reason_of(&stream.end().await), "KEY_REVOKED");
    run("three", &["keys", "delete", "edge"]).await;
    assert!(!run("one", &["keys", "list"]).await.contains("edge"));
}

#[tokio::test]
async fn a_restarted_gateway_goes_on_and_knows_what_happened_without_it() {
    let site = Site::new();
    let first = site.launch("one").ready().await;
    let second = site.launch("two").ready().await;
    let operator = first.operator().await;
    let (_, kept) = operator.key("kept").await;
    let (revoked, revoked_key) = operator.key("revoked").await;
    second.agent(&revoked_key).await.join().await.unwrap();
    second.stop(PATIENCE).await;
    operator.revoke(&revoked).await;

    let second = site.launch("two").ready().await;
    assert!(!site.dir("two").join("admin.token").exists());
    second.agent(&kept).await.connect().await;
    let refused = second.agent(&revoked_key).await.join().await.unwrap_err();
    assert_eq!(reason_of(&refused), "KEY_REVOKED");
    second.operator().await.show(&revoked).await.unwrap();
}

#[tokio::test]
async fn a_gateway_with_another_ca_does_not_start() {
    let site = Site::new();
    let first = site.launch("one").ready().await;
    let url = site.redis.url();
    let log = site.refusal("two", &["--store", &url]).await;
    for words in ["is not the one of the store's other gateways", "ca.key"] {
        assert!(log.contains(words), "{log}");
    }

    // Its agents would not trust muster's CA anyway.
    let file = |name: &str| site.dir("one").join(name).to_str().unwrap().to_owned();
    let (cert, key) = (file("server.pem"), file("server.key"));
    let own = ["--store", &url, "--tls-cert", &cert, "--tls-key", &key];
    let second = site.launch_with("two", &own).ready().await;
    second.stop(PATIENCE).await;

    // What the error says helps.
    for name in ["ca.pem", "ca.key"] {
        std::fs::copy(site.dir("ca").join(name), site.dir("two").join(name)).unwrap();
    }
    let second = site.launch_with("two", &["--store", &url]).ready().await;
    assert_eq!(second.file("ca.pem"), first.file("ca.pem"));
    let (_, key) = first.operator().await.key("k").await;
    second.agent(&key).await.join().await.unwrap();
}

#[tokio::test]
async fn what_does_not_pass_ends_a_start_at_once() {
    let site = Site::new();
    let mut raw = site.redis.raw().await;
    let acl = "SETUSER anna on >right ~* &* +@all";
    let mut set = redis::cmd("ACL");
    set.arg(acl.split(' ').collect::<Vec<_>>());
    let () = set.query_async(&mut raw).await.unwrap();
    let place = site.redis.url().trim_start_matches("redis://").to_owned();
    let wrong = format!("redis://anna:hunter2@{place}");
    let log = site.refusal("one", &["--store", &wrong]).await;
    assert!(log.contains("Redis refused the login"), "{log}");
    assert!(!log.contains("hunter2"), "{log}");

    let file = site.dir("password").to_str().unwrap().to_owned();
    let url = format!("redis://anna@{place}");
    let by_file = ["--store", &url, "--redis-password-file", &file];
    let log = site.refusal("one", &by_file).await;
    assert!(log.contains("there is no such file"), "{log}");
    std::fs::write(&file, "right\n").unwrap();
    let gateway = site.launch_with("one", &by_file).ready().await;
    let log = site.refusal("one", &by_file).await;
    assert!(
        log.contains("is in use by another muster (process "),
        "{log}"
    );
    gateway.stop(PATIENCE).await;

    let mut set = redis::cmd("SET");
    let set = set.arg("{theirs}:meta").arg("x");
    let () = set.query_async(&mut raw).await.unwrap();
    let foreign = ["--store", &site.redis.url(), "--redis-prefix", "theirs"];
    let log = site.refusal("new", &foreign).await;
    assert!(log.contains("is not muster's"), "{log}");

    let () = redis::cmd("FLUSHALL").query_async(&mut raw).await.unwrap();
    let mut set = redis::cmd("HSET");
    let set = set.arg("{muster}:meta").arg(&["format", "2"]);
    let () = set.query_async(&mut raw).await.unwrap();
    let log = site.refusal("one", &by_file).await;
    assert!(log.contains("run a newer muster"), "{log}");
}

#[tokio::test]
async fn a_gateway_waits_for_redis() {
    let folder = tempfile::tempdir().unwrap();
    let (redis_port, ops) = (free_port(), format!("127.0.0.1:{}", free_port()));
    let url = format!("redis://127.0.0.1:{redis_port}/0");
    let flags = ["--store", &url, "--ops-listen", &ops];
    let waits = async || {
        let answer = get_from_ops(&ops, "/readyz").await.unwrap_or_default();
        answer.starts_with("HTTP/1.1 503") && answer.contains("not ready: the store failed: Redis")
    };

    let launched = Process::launch(folder.path(), &flags);
    eventually("it says why it is not ready", waits).await;
    let health = get_from_ops(&ops, "/healthz").await.unwrap();
    assert!(health.starts_with("HTTP/1.1 200"), "{health}");
    launched.terminate().await;
    let (code, log) = launched.ended().await;
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("the store is not reachable yet"), "{log}");

    let launched = Process::launch(folder.path(), &flags);
    eventually("it says why it is not ready", waits).await;
    let _redis = RedisServer::start_on(redis_port);
    let gateway = launched.ready().await;
    let (_, key) = gateway.operator().await.key("k").await;
    gateway.agent(&key).await.connect().await;
    eventually("it is ready", async || {
        gateway.get("/readyz").await.contains("ready\n")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_started_again_after_a_kill_takes_its_own_place() {
    let site = Site::new();
    let mut gateways = site.three().await;
    let operator = gateways[1].operator().await;
    let (id, key) = operator.key("k").await;
    let mut stream = gateways[1].agent(&key).await.connect().await;
    gateways[0].kill().await;
    let name = gateways[0].dir().file_name().unwrap().to_str().unwrap();
    let again = site.launch(name).ready().await;
    let mut gateways_of_store = operator.gateways();
    let listed = gateways_of_store.list_gateways(pb::ListGatewaysRequest::default());
    let listed = listed.await.unwrap().into_inner().gateways;
    assert_eq!(listed.len(), 3, "{listed:?}");
    let outcome = operator.revoke(&id).await;
    assert!(outcome.complete, "{outcome:?}");
    assert_eq!(reason_of(&stream.end().await), "KEY_REVOKED");
    again.stop(PATIENCE).await;
}
