//! `muster store check`.

use std::collections::BTreeMap;
use std::path::Path;

use redb::{Database, ReadableTable, TableDefinition};
use serde_json::Value;

use super::{Ran, Site};
use crate::support::PATIENCE;

type Rows = TableDefinition<'static, &'static [u8; 16], &'static [u8]>;
const KEYS: Rows = Rows::new("keys");
const TOKENS: Rows = Rows::new("tokens");
const FEED: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("feed");
const LIST: TableDefinition<'_, (i64, &[u8; 16]), ()> = TableDefinition::new("keys_by_creation");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("muster_meta");

/// The kinds that were found, each with what they are about.
fn kinds(ran: &Ran) -> BTreeMap<String, Vec<String>> {
    assert_eq!(ran.code, Some(3), "{}{}", ran.out, ran.err);
    let report = ran.json();
    assert_eq!(report["sound"], false);
    let mut kinds = BTreeMap::<String, Vec<String>>::new();
    for finding in report["findings"].as_array().unwrap() {
        let text = |field: &str| finding[field].as_str().unwrap().to_owned();
        assert!(!text("cure").is_empty() && !text("detail").is_empty());
        kinds.entry(text("kind")).or_default().push(text("subject"));
    }
    kinds
}

/// All that is in Redis: hashes as their fields, which a read may put into
/// another order, all else as it lies there.
async fn whole(site: &Site) -> BTreeMap<String, Vec<u8>> {
    let mut raw = site.redis.raw().await;
    let names: Vec<String> = redis::cmd("KEYS")
        .arg("*")
        .query_async(&mut raw)
        .await
        .unwrap();
    let mut all = BTreeMap::new();
    for name in names {
        let ask = |command: &str| redis::cmd(command).arg(&name).to_owned();
        let kind: String = ask("TYPE").query_async(&mut raw).await.unwrap();
        let content = if kind == "hash" {
            let fields = ask("HGETALL").query_async(&mut raw).await;
            let fields: BTreeMap<Vec<u8>, Vec<u8>> = fields.unwrap();
            format!("{fields:?}").into_bytes()
        } else {
            ask("DUMP").query_async(&mut raw).await.unwrap()
        };
        all.insert(name, content);
    }
    all
}

#[tokio::test]
async fn what_gateways_write_is_sound() {
    let site = Site::new();
    let url = site.url();
    let check_redis = ["store", "check", "--store", &url, "-o", "json"];
    let check_file = ["store", "check", "--data-dir", "own", "-o", "json"];
    site.run(&check_redis)
        .await
        .refused(1, &["there is no store"]);
    site.run(&check_file)
        .await
        .refused(1, &["no such directory"]);
    for (name, gateway) in [
        ("own", site.launch_with("own", &[])),
        ("shared", site.launch("shared")),
    ] {
        let gateway = gateway.ready().await;
        let operator = gateway
            .operator_with(gateway.file("admin.token").trim())
            .await;
        let mut ids = Vec::new();
        for n in 0..5 {
            let (id, key) = operator.key(&n.to_string()).await;
            gateway.agent(&key).await.connect().await;
            ids.push(id);
        }
        for id in &ids[..3] {
            operator.revoke(id).await;
        }
        operator.delete(&ids[0]).await.unwrap();
        if name == "own" {
            let told = site.run(&check_file).await;
            told.refused(1, &["another muster is using it"]);
        } else {
            assert!(
                site.run(&check_redis).await.json()["sound"]
                    .as_bool()
                    .unwrap()
            );
        }
        gateway.stop(PATIENCE).await;
    }
    let before = (
        whole(&site).await,
        std::fs::read(site.dir("own/store.redb")).unwrap(),
    );
    for check in [check_file, check_redis] {
        let report = site.run(&check).await;
        report.ok();
        let report = report.json();
        let count = |of: &str| report[of].as_u64().unwrap();
        assert_eq!(
            ["keys", "changes", "tokens", "agents", "registrations"].map(count),
            [5, 9, 1, 5, 4],
            "{report}"
        );
        assert!(count("events") > 0);
        assert_eq!(report["findings"], Value::Array(Vec::new()));
    }
    let after = (
        whole(&site).await,
        std::fs::read(site.dir("own/store.redb")).unwrap(),
    );
    assert!(before == after, "a look changes nothing");
}

#[tokio::test]
async fn what_is_wrong_in_redis_is_found() {
    let site = Site::new();
    let gateway = site.launch("one").ready().await;
    let operator = gateway
        .operator_with(gateway.file("admin.token").trim())
        .await;
    let mut ids = Vec::new();
    for n in 0..6 {
        let (id, key) = operator.key(&n.to_string()).await;
        gateway.agent(&key).await.join().await.unwrap();
        ids.push(id.strip_prefix("key_").unwrap().to_owned());
    }
    let [unrevoked, damaged, unlisted, gone, behind, ahead] = ids.try_into().unwrap();
    let name = |id: &str| format!("{{muster}}:key:{id}");
    site.raw(&["COPY", &name(&unrevoked), "kept"]).await;
    operator.revoke(&format!("key_{unrevoked}")).await;
    site.raw(&["COPY", &name(&behind), "kept2"]).await;
    let rename = muster::proto::admin::v1::EditKeyRequest {
        object_id: format!("key_{behind}"),
        name: Some("renamed".into()),
        expires_at: None,
        if_revision: None,
    };
    operator.keys().edit_key(rename).await.unwrap();
    operator.revoke(&format!("key_{ahead}")).await;
    let request = muster::proto::admin::v1::ListGatewaysRequest::default();
    let listed = operator.gateways().list_gateways(request).await;
    let revision = listed.unwrap().into_inner().revision;
    gateway.stop(PATIENCE).await;

    for words in [
        &["COPY", "kept", &name(&unrevoked), "REPLACE"][..],
        &["COPY", "kept2", &name(&behind), "REPLACE"],
        &["SETRANGE", &name(&damaged), "9", "X"],
        &["DEL", &name(&gone)],
        &["SET", "{muster}:colour", "red"],
        &["SET", "{muster}:agents:index:x", "red"],
        &[
            "HSET",
            "{muster}:meta",
            "revision",
            &(revision - 1).to_string(),
        ],
        &["XDEL", "{muster}:feed", "2-0"],
        &["ZREMRANGEBYRANK", "{muster}:agents:index", "0", "0"],
        &["ZREMRANGEBYRANK", "{muster}:registrations:index", "0", "0"],
        &["DEL", "{muster}:tokens"],
    ] {
        site.raw(words).await;
    }
    let places = redis::cmd("ZRANGE")
        .arg("{muster}:keys")
        .arg(0)
        .arg(-1)
        .to_owned();
    let mut raw = site.redis.raw().await;
    let places: Vec<String> = places.query_async(&mut raw).await.unwrap();
    let place = places.iter().find(|place| place.ends_with(&unlisted));
    site.raw(&["ZREM", "{muster}:keys", place.unwrap()]).await;

    let before = whole(&site).await;
    let url = site.url();
    let check = ["store", "check", "--store", &url];
    let found = kinds(&site.run(&[&check[..], &["-o", "json"]].concat()).await);
    let after = whole(&site).await;
    let names = before.keys().chain(after.keys());
    let changed: Vec<_> = names
        .filter(|name| before.get(*name) != after.get(*name))
        .collect();
    assert!(changed.is_empty(), "a look changed {changed:?}");
    let key = |id: &str| format!("key_{id}");
    assert_eq!(found["REVOKE_LOST"], [key(&unrevoked)]);
    assert_eq!(found["DAMAGED"], [key(&damaged)]);
    assert_eq!(found["NO_ADMIN_TOKEN"].len(), 1);
    let differs: std::collections::BTreeSet<_> = found["DIFFERS"].iter().cloned().collect();
    assert_eq!(differs, [key(&behind), key(&gone)].into());
    let list: std::collections::BTreeSet<_> = found["LIST"].iter().cloned().collect();
    assert_eq!(list, [key(&unlisted), key(&gone)].into());
    assert!(found["REVISION"].contains(&key(&ahead)), "{found:?}");
    assert_eq!(found["FEED"], ["feed entry 3"]);
    assert_eq!(found["INDEX"].len(), 2, "{found:?}");
    // The registration of the key that is gone, its last use; its agent is
    // told by the feed that the key was.
    assert!(found["ORPHAN"].iter().any(|of| of.starts_with(&key(&gone))));
    assert_eq!(
        found["UNKNOWN"],
        ["{muster}:agents:index:x", "{muster}:colour"]
    );

    let told = site.run(&check).await;
    assert_eq!(told.code, Some(3));
    for words in ["REVOKE_LOST", "muster keys revoke KEY", &key(&damaged)] {
        assert!(told.out.contains(words), "{words} in {}", told.out);
    }
}

#[tokio::test]
async fn a_file_is_checked_and_copied_after_a_crash() {
    let site = Site::new();
    let mut gateway = site.launch_with("own", &[]).ready().await;
    let operator = gateway.operator().await;
    for n in 0..3 {
        let (id, _) = operator.key(&n.to_string()).await;
        operator.revoke(&id).await;
    }
    // The file of a running gateway can be checked in a copy.
    std::fs::create_dir(site.dir("copy")).unwrap();
    std::fs::copy(site.dir("own/store.redb"), site.dir("copy/store.redb")).unwrap();
    gateway.kill().await;
    for dir in ["copy", "own"] {
        let file = site.dir(dir).join("store.redb");
        let before = std::fs::read(&file).unwrap();
        let check = ["store", "check", "--data-dir", dir];
        assert!(
            site.run(&check)
                .await
                .ok()
                .contains("read 3 keys, 6 changes")
        );
        assert!(
            std::fs::read(&file).unwrap() == before,
            "a look changes nothing"
        );
    }
    let copy = [
        "store",
        "copy",
        "--from",
        "embedded:own",
        "--to",
        &site.url(),
    ];
    assert!(site.run(&copy).await.ok().contains("3 keys"));
}

/// Changes the store file of a gateway that is stopped.
fn tamper(path: &Path, change: impl FnOnce(&redb::WriteTransaction)) {
    let database = Database::open(path).unwrap();
    let transaction = database.begin_write().unwrap();
    change(&transaction);
    transaction.commit().unwrap();
}

#[tokio::test]
async fn what_is_wrong_in_a_file_is_found() {
    let site = Site::new();
    let gateway = site.launch_with("own", &[]).ready().await;
    let operator = gateway.operator().await;
    let (unrevoked, key) = operator.key("a").await;
    gateway.agent(&key).await.join().await.unwrap();
    let (unlisted, _) = operator.key("b").await;
    let (damaged, _) = operator.key("c").await;
    gateway.stop(PATIENCE).await;
    let file = site.dir("own/store.redb");
    let bytes = |id: &str| -> [u8; 16] { id.as_bytes()[4..].try_into().unwrap() };
    let mut kept = Vec::new();
    tamper(&file, |t| {
        let keys = t.open_table(KEYS).unwrap();
        kept = keys
            .get(&bytes(&unrevoked))
            .unwrap()
            .unwrap()
            .value()
            .to_vec();
    });
    let gateway = site.launch_with("own", &[]).ready().await;
    gateway.operator().await.revoke(&unrevoked).await;
    gateway.stop(PATIENCE).await;
    let check = ["store", "check", "--data-dir", "own", "-o", "json"];
    assert_eq!(site.run(&check).await.json()["sound"], true);

    tamper(&file, |t| {
        let mut keys = t.open_table(KEYS).unwrap();
        keys.insert(&bytes(&unrevoked), kept.as_slice()).unwrap();
        keys.insert(&bytes(&damaged), &b"nonsense"[..]).unwrap();
        let mut list = t.open_table(LIST).unwrap();
        list.retain(|(_, id), ()| *id != bytes(&unlisted)).unwrap();
        t.open_table(FEED).unwrap().remove(2).unwrap();
        t.open_table(TOKENS).unwrap().retain(|_, _| false).unwrap();
        let mut meta = t.open_table(META).unwrap();
        meta.insert("revision", &3_u64.to_be_bytes()[..]).unwrap();
        t.open_table(TableDefinition::<u64, u64>::new("colour"))
            .unwrap();
    });
    let before = std::fs::read(&file).unwrap();
    let found = kinds(&site.run(&check).await);
    assert_eq!(
        std::fs::read(&file).unwrap(),
        before,
        "a look changes nothing"
    );
    assert_eq!(found["REVOKE_LOST"], [unrevoked]);
    assert_eq!(found["DAMAGED"], [damaged]);
    assert_eq!(found["LIST"], [unlisted]);
    assert_eq!(found["FEED"], ["feed entry 3"]);
    assert_eq!(found["REVISION"], ["feed entry 4"]);
    assert_eq!(found["NO_ADMIN_TOKEN"].len(), 1);
    assert_eq!(found["UNKNOWN"], ["colour"]);
    assert!(!found.contains_key("ORPHAN") && !found.contains_key("INDEX"));
    let copy = [
        "store",
        "copy",
        "--from",
        "embedded:own",
        "--to",
        &site.url(),
    ];
    site.run(&copy)
        .await
        .refused(1, &["damaged", "muster store check"]);
}

/// What a muster from before left where a step on Redis failed half way.
#[tokio::test]
async fn an_end_that_the_feed_lacks_is_found_and_mended_by_another_revoke() {
    let site = Site::new();
    let gateway = site.launch("one").ready().await;
    let token = gateway.file("admin.token");
    let operator = gateway.operator_with(token.trim()).await;
    operator.key("before").await;
    let (id, _) = operator.key("k").await;
    operator.revoke(&id).await;
    let mut newest = redis::cmd("XREVRANGE");
    newest.arg("{muster}:feed").arg(&["+", "-", "COUNT", "1"]);
    let mut raw = site.redis.raw().await;
    let newest: Vec<(String, Vec<Vec<u8>>)> = newest.query_async(&mut raw).await.unwrap();
    site.raw(&["XDEL", "{muster}:feed", &newest[0].0]).await;

    let url = site.url();
    let check = ["store", "check", "--store", &url, "-o", "json"];
    let found = kinds(&site.run(&check).await);
    assert_eq!(found["END_UNTOLD"], std::slice::from_ref(&id), "{found:?}");
    assert!(operator.revoke(&id).await.complete);
    let found = kinds(&site.run(&check).await);
    assert!(!found.contains_key("END_UNTOLD"), "{found:?}");
    assert_eq!(found["FEED"].len(), 1, "the hole stays: {found:?}");
    gateway.stop(PATIENCE).await;
}
