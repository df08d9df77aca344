//! `muster store copy`.

use muster::keys::Timestamp;
use muster::store::redis::CopyTarget;

use super::Site;
use crate::cli::{done, muster};
use crate::support::{PATIENCE, Process, RedisServer, reason_of};

/// A gateway on its own with some history, stopped: its secrets of a valid, a
/// revoked and a deleted key.
async fn history(site: &Site) -> [String; 3] {
    let gateway = site.launch_with("own", &[]).ready().await;
    let operator = gateway.operator().await;
    let (id, valid) = operator.key("valid").await;
    let (revoked, revoked_secret) = operator.key("revoked").await;
    let (deleted, deleted_secret) = operator.key("deleted").await;
    for secret in [&valid, &revoked_secret, &deleted_secret] {
        gateway.agent(secret).await.join().await.unwrap();
    }
    operator
        .set_expiry(&id, std::time::Duration::from_secs(3600))
        .await
        .unwrap();
    let cleanup = muster::proto::admin::v1::SetInstanceCleanupRequest {
        age_out_duration: Some(48),
    };
    let mut settings = operator.settings();
    settings.set_instance_cleanup(cleanup).await.unwrap();
    operator.revoke(&revoked).await;
    operator.revoke(&deleted).await;
    operator.delete(&deleted).await.unwrap();
    gateway.stop(PATIENCE).await;
    [valid, revoked_secret, deleted_secret]
}

#[tokio::test]
async fn a_gateways_data_moves_to_redis() {
    let site = Site::new();
    let [valid, revoked, deleted] = history(&site).await;
    let before = std::fs::read(site.dir("own/store.redb")).unwrap();
    let url = site.url();
    let copy = ["store", "copy", "--from", "embedded:own", "--to", &url];
    let named = [&copy[..], &["--gateway-name", "own"]].concat();
    let told = site.run(&named).await;
    for words in [
        "2 keys, 1 token,",
        "mv own/store.redb",
        "muster serve --data-dir own --store redis://127",
    ] {
        assert!(told.ok().contains(words), "{}", told.out);
    }
    assert_eq!(std::fs::read(site.dir("own/store.redb")).unwrap(), before);
    let check = ["store", "check", "--store", &url];
    assert!(site.run(&check).await.ok().contains("The store is sound"));

    // What it says to type next. The others get in, too, and make no token.
    let gateway = site.launch_with("own", &["--store", &url]).ready().await;
    let ca = site.dir("own");
    let flags = ["--store", &url, "--ca-dir", ca.to_str().unwrap()];
    let second = site.launch_with("two", &flags).ready().await;
    assert!(!site.dir("two").join("admin.token").exists());
    let operator = gateway
        .operator_with(gateway.file("admin.token").trim())
        .await;
    assert_eq!(operator.list_tokens(10).await.len(), 1);
    let mut settings = operator.settings();
    let asked =
        settings.get_instance_cleanup(muster::proto::admin::v1::GetInstanceCleanupRequest {});
    let cleanup = asked.await.unwrap().into_inner().instance_cleanup.unwrap();
    assert_eq!((cleanup.age_out_duration, cleanup.from_store), (48, true));
    for gateway in [&gateway, &second] {
        gateway.agent(&valid).await.connect().await;
        let refused = gateway.agent(&revoked).await.join().await.unwrap_err();
        assert_eq!(reason_of(&refused), "KEY_REVOKED");
        let refused = gateway.agent(&deleted).await.join().await.unwrap_err();
        assert_eq!(reason_of(&refused), "UNKNOWN_KEY", "{refused}");
    }
    let request = muster::proto::admin::v1::ListKeysRequest::default();
    let listed = operator.keys().list_keys(request).await;
    let keys = listed.unwrap().into_inner().keys;
    let names: Vec<_> = keys.iter().map(|key| key.name.as_str()).collect();
    assert_eq!(names, ["valid", "revoked"]);
    let shown = operator.show(&keys[0].object_id).await.unwrap();
    assert_eq!(shown.registered_agents, 2, "one of them before the copy");
    // Changes go on in the order that was.
    let (new, _) = operator.key("new").await;
    operator.revoke(&new).await;
    assert!(site.run(&check).await.ok().contains("The store is sound"));
}

#[tokio::test]
async fn a_copy_that_can_not_be_made_changes_nothing() {
    let site = Site::new();
    let url = site.url();
    let copy = ["store", "copy", "--from", "embedded:own", "--to", &url];
    site.run(&copy)
        .await
        .refused(1, &["own: there is no such directory"]);
    let running = site.launch_with("own", &[]).ready().await;
    site.run(&copy)
        .await
        .refused(1, &["another muster is using it"]);
    running.stop(PATIENCE).await;
    assert_eq!(site.raw(&["DBSIZE"]).await, redis::Value::Int(0));

    site.raw(&["SET", "{muster}:theirs", "x"]).await;
    site.run(&copy)
        .await
        .refused(1, &["{muster}:theirs", "--redis-prefix"]);
    assert_eq!(site.raw(&["DBSIZE"]).await, redis::Value::Int(1));
    site.raw(&["FLUSHALL"]).await;
    let other = site.launch("other").ready().await;
    site.run(&copy)
        .await
        .refused(1, &["something under this prefix"]);
    other.stop(PATIENCE).await;

    for (words, code, told) in [
        (["--from", &url, "--to", "embedded:x"], 2, "embedded:DIR"),
        (
            ["--from", "embedded:own", "--to", "embedded"],
            1,
            "not supported",
        ),
        (
            ["--from", "embedded:own", "--to", "redis://:hunter2@h"],
            2,
            "to (flag --to)",
        ),
        (
            ["--from", "embedded:other", "--to", &url],
            1,
            "knows another store",
        ),
    ] {
        let line = [&["store", "copy"][..], &words].concat();
        site.run(&line).await.refused(code, &[told]);
    }
}

#[tokio::test]
async fn an_interrupted_copy_is_no_store() {
    let site = Site::new();
    history(&site).await;
    let mut source = muster::store::embedded::scan(&site.dir("own/store.redb")).unwrap();
    let options = site.redis.options();
    let target = CopyTarget::begin(&options, Timestamp::from_millis(1), false).await;
    let target = target.ok().unwrap();
    let page = source.pages.recv().await.unwrap().unwrap();
    assert!(target.put(&page).await.unwrap() > 0);
    drop((target, source));

    let url = site.url();
    let (code, log) = site.launch_with("own", &["--store", &url]).ended().await;
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("is not complete"), "{log}");
    let check = ["store", "check", "--store", &url];
    site.run(&check).await.refused(1, &["is not complete"]);
    let copy = ["store", "copy", "--from", "embedded:own", "--to", &url];
    site.run(&copy)
        .await
        .refused(1, &["is not complete", "--again"]);
    let again = [&copy[..], &["--again", "-o", "json"]].concat();
    let done = site.run(&again).await.json();
    assert_eq!(done["keys"], 2);
    assert_eq!(
        done["store"],
        std::fs::read_to_string(site.dir("own/store.id"))
            .unwrap()
            .trim()
    );
    assert!(site.run(&check).await.ok().contains("The store is sound"));
    let _: Process = site.launch_with("own", &["--store", &url]).ready().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_moved_to_redis_is_not_served_from_its_old_file() {
    let redis = RedisServer::start();
    let folder = tempfile::tempdir().unwrap();
    let gateway = Process::start(folder.path(), &[]).await;
    let (_, key) = gateway.operator().await.key("k").await;
    gateway.stop(PATIENCE).await;
    let words = [
        "store",
        "copy",
        "--from",
        "embedded:.",
        "--to",
        &redis.url(),
    ];
    done(muster(folder.path(), &words)).await.ok();

    let (code, log) = Process::launch(folder.path(), &[]).ended().await;
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("--store") && log.contains("store.id"), "{log}");
    let gateway = Process::start(folder.path(), &["--store", &redis.url()]).await;
    gateway.agent(&key).await.join().await.unwrap();
    gateway.stop(PATIENCE).await;
    // The other way out, by hand.
    std::fs::remove_file(folder.path().join("store.id")).unwrap();
    let gateway = Process::start(folder.path(), &[]).await;
    gateway.agent(&key).await.join().await.unwrap();
}
