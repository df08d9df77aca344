//! Long lists: walks that neither miss nor repeat a row, pages that stay pages,
//! edits that lose nobody else's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use muster::keys::{Id, KeyId, Timestamp};
use muster::store::embedded::EmbeddedStore;
use muster::store::{AgentRecord, InstanceBatch, InstanceRecord, InstanceStore, KeyStore};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Answer, RedisServer, RestCaller, TestGateway, new_key};

const KEYS: &str = "/data-plane-keys";

/// Walks a list to its end, page by page; each may be asked of another gateway.
/// Returns the ids in order, and the pages' sizes.
async fn walk(rests: &[&RestCaller], path: &str) -> (Vec<String>, Vec<usize>) {
    let (mut ids, mut sizes) = (Vec::new(), Vec::new());
    let mut token = String::new();
    loop {
        let rest = rests[sizes.len() % rests.len()];
        let answer = rest.get(&format!("{path}{token}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let page = answer.json();
        let items = page["items"].as_array().unwrap();
        ids.extend(
            items
                .iter()
                .map(|row| row["object_id"].as_str().unwrap().to_owned()),
        );
        sizes.push(items.len());
        match page.get("next_page_token") {
            None => return (ids, sizes),
            Some(next) => token = format!("&page_token={}", next.as_str().unwrap()),
        }
    }
}

/// Each of `there` once, and nothing twice.
fn whole(ids: &[String], there: &BTreeSet<String>, what: &str) {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for id in ids {
        *seen.entry(id).or_default() += 1;
    }
    let twice: Vec<_> = seen.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "{what}: repeated {twice:?}");
    let missed: Vec<_> = there
        .iter()
        .filter(|id| !seen.contains_key(id.as_str()))
        .collect();
    assert!(missed.is_empty(), "{what}: missed {missed:?}");
}

/// Makes keys and deletes others until told to stop; returns how many of each.
async fn churn(store: Arc<dyn KeyStore>, mut doomed: Vec<KeyId>, stop: Arc<AtomicBool>) -> usize {
    let mut changes = 0;
    while !stop.load(Ordering::SeqCst) {
        let made = store
            .create(new_key(&format!("new {changes}")))
            .await
            .unwrap();
        if changes % 2 == 0 {
            doomed.push(made.change.change.key());
        }
        if let Some(key) = doomed.pop() {
            store.revoke(key).await.unwrap();
            store.delete(key).await.unwrap();
        }
        changes += 1;
        tokio::task::yield_now().await;
    }
    changes
}

/// `count` keys, of which every tenth is to go later: those that stay, and those.
async fn fill(store: &dyn KeyStore, count: usize) -> (BTreeSet<String>, Vec<KeyId>) {
    let (mut stay, mut go) = (BTreeSet::new(), Vec::new());
    for number in 0..count {
        // Names repeat, so that places are told apart by more than them.
        let made = store
            .create(new_key(&format!("key {}", number % 97)))
            .await
            .unwrap();
        let key = made.change.change.key();
        if number % 10 == 0 {
            go.push(key);
        } else {
            stay.insert(key.to_string());
        }
    }
    (stay, go)
}

/// Memory of this process, which other tests share.
fn resident_kib() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    number.unwrap().trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_walk_over_100_000_keys_neither_misses_nor_repeats_while_others_come_and_go() {
    const COUNT: usize = 100_000;
    let store = EmbeddedStore::in_memory().unwrap();
    let begun = Instant::now();
    let (stay, go) = fill(&store, COUNT).await;
    println!("{COUNT} keys made in {:?}", begun.elapsed());
    let gateway = TestGateway::over(Arc::new(store.clone()), |_| {}).await;
    let rest = gateway.rest();

    let before = resident_kib();
    rest.get(&format!("{KEYS}?limit=0")).await;
    println!("the list takes {} KiB", resident_kib() - before);
    // All at once is 3,000 at most, and no page is more than its limit.
    let all = rest.get(&format!("{KEYS}?paginated=false")).await.json();
    assert_eq!(
        (&all["total"], &all["count"]),
        (&json!(COUNT), &json!(COUNT))
    );
    assert_eq!(all["items"].as_array().unwrap().len(), 3_000);
    assert!(all.get("next_page_token").is_none());
    assert_eq!(rest.get(&format!("{KEYS}?limit=1001")).await.status, 400);

    let stop = Arc::new(AtomicBool::new(false));
    let churning = tokio::spawn(churn(Arc::new(store), go, Arc::clone(&stop)));
    let begun = Instant::now();
    let path = format!("{KEYS}?limit=1000&sort_fields=name&sort_dir=Ascending");
    let (ids, sizes) = walk(&[&rest], &path).await;
    let took = begun.elapsed();
    stop.store(true, Ordering::SeqCst);
    let changes = churning.await.unwrap();
    println!(
        "{} pages in {took:?} while {changes} keys came",
        sizes.len()
    );
    whole(&ids, &stay, "by name");
    assert!(sizes.iter().all(|size| *size <= 1_000), "{sizes:?}");
    assert!(changes > 0, "nothing changed meanwhile");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn walks_of_every_order_go_over_several_gateways_while_keys_come_and_go() {
    let redis = RedisServer::start();
    let (mut stores, mut gateways) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        let store = Arc::new(redis.store(|_| {}).await);
        gateways.push(TestGateway::over(store.clone(), |_| {}).await);
        stores.push(store);
    }
    let (stay, go) = fill(&*stores[0], 400).await;
    let rests = [gateways[0].rest(), gateways[1].rest()];
    let rests = [&rests[0], &rests[1]];
    let stop = Arc::new(AtomicBool::new(false));
    let churning = tokio::spawn(churn(stores[1].clone(), go, Arc::clone(&stop)));
    let valid = "filter_fields=status&filter_ops=IN&filter_values=valid";
    for order in [
        "",
        "sort_fields=name&sort_dir=Ascending",
        "sort_fields=name",
        "sort_fields=status,name&sort_dir=Ascending",
        "sort_fields=created_at",
        "sort_fields=expires_at&sort_dir=Ascending",
        valid,
        &format!("{valid}&sort_fields=expires_at"),
    ] {
        let (ids, sizes) = walk(&rests, &format!("{KEYS}?limit=50&{order}")).await;
        whole(&ids, &stay, order);
        assert!(sizes.len() >= 8, "{order}: {sizes:?}");
    }
    stop.store(true, Ordering::SeqCst);
    assert!(churning.await.unwrap() > 0);
}

#[tokio::test]
async fn a_page_token_is_for_the_list_that_gave_it_out() {
    let gateway = TestGateway::start().await;
    let rest = gateway.rest();
    let operator = gateway.operator().await;
    for name in ["a", "b", "c"] {
        operator.key(name).await;
    }
    let sorted = format!("{KEYS}?sort_fields=name&limit=1");
    let page = rest.get(&sorted).await.json();
    let token = page["next_page_token"].as_str().unwrap();
    let with = |query: &str| format!("{KEYS}?page_token={token}{query}");
    // Its size is the reader's own business.
    let next = rest.get(&with("&sort_fields=name&limit=2")).await.json();
    assert_eq!(next["items"][0]["name"], "b");
    assert_eq!(
        (&next["start_index"], next.get("next_page_token")),
        (&json!(2), None)
    );
    for other in [
        "",
        "&sort_fields=name&sort_dir=Ascending",
        "&sort_fields=status",
        "&sort_fields=name&filter_fields=name&filter_ops=IN&filter_values=a",
        "&sort_fields=name&offset=1",
        "&sort_fields=name&paginated=false",
    ] {
        let refused = rest.get(&with(other)).await;
        assert_eq!(refused.status, 400, "{other}: {refused:?}");
        assert!(refused.error().contains("page_token"), "{refused:?}");
    }
    let elsewhere = rest.get(&format!("/instances?page_token={token}")).await;
    assert_eq!(elsewhere.status, 400);
    for garbage in ["", "x", "00", "%00", &"ab".repeat(2_000)] {
        let path = format!("{KEYS}?page_token={garbage}");
        assert_eq!(rest.get(&path).await.status, 400, "{garbage}");
    }
    // The last page has none, and a look at the counts alone.
    for path in [format!("{KEYS}?limit=3"), format!("{KEYS}?limit=0")] {
        let page = rest.get(&path).await.json();
        assert!(page.get("next_page_token").is_none(), "{page}");
    }
}

/// `count` agents of one instance each, under one of two keys.
async fn crowd(store: &EmbeddedStore, count: u128) -> BTreeSet<Uuid> {
    let keys = [(); 2].map(|()| KeyId(Id::random().unwrap()));
    let at = Timestamp::from_millis(1_700_000_000_000);
    let agents: Vec<AgentRecord> = (0..count)
        .map(|number| AgentRecord {
            agent: Uuid::from_u128(number.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)),
            key: keys[usize::from(number % 2 == 0)],
            hostname: format!("host-{}", number % 1_000),
            os_version: "ubuntu_jammy".into(),
            agent_version: "v3".into(),
            in_container: false,
            labels: BTreeMap::new(),
            first_seen: at,
            last_seen: at,
            reported_at: at,
            last_address: std::net::Ipv4Addr::LOCALHOST.into(),
            instances: vec![InstanceRecord {
                reported_id: "nginx".into(),
                version: "1.29.0".into(),
                plus_release: String::new(),
                binary_path: "/usr/sbin/nginx".into(),
                conf_path: "/etc/nginx/nginx.conf".into(),
                health: None,
                reported: true,
                registered_at: at,
                last_reported: at,
            }],
        })
        .collect();
    let ids = agents.iter().map(|agent| agent.agent).collect();
    for agents in agents.chunks(1_000) {
        let batch = InstanceBatch {
            agents: agents.to_vec(),
            ..InstanceBatch::default()
        };
        store.save_instances(batch).await.unwrap();
    }
    ids
}

#[tokio::test]
async fn lists_of_50_000_instances_answer_one_page() {
    const COUNT: u128 = 50_000;
    let store = EmbeddedStore::in_memory().unwrap();
    let agents = crowd(&store, COUNT).await;
    let gateway = TestGateway::over(Arc::new(store), |_| {}).await;
    let rest = gateway.rest();
    let rows = async |path: &str| {
        let begun = Instant::now();
        let page = rest.get(path).await.json();
        println!("{path}: {:?}", begun.elapsed());
        assert_eq!(page["total"], json!(COUNT), "{path}");
        let items = page["items"].as_array().unwrap().len();
        assert_eq!(page["items_per_page"], items);
        items
    };
    assert_eq!(rows("/instances").await, 100);
    assert_eq!(
        rows("/instances?limit=1000&sort_fields=hostname,status").await,
        1_000
    );
    assert_eq!(
        rows("/instances?paginated=false&sort_fields=last_reported").await,
        3_000
    );
    assert_eq!(rows("/agents").await, 100);
    assert_eq!(rows("/instances?limit=0").await, 0);

    // A walk over those of one host name has each once.
    let one = "filter_fields=hostname&filter_ops=IN&filter_values=host-7%7Chost-8";
    let path = format!("/instances?limit=30&{one}&sort_fields=hostname");
    let (ids, sizes) = walk(&[&rest], &path).await;
    assert_eq!((ids.len(), sizes.len()), (100, 4));
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 100);
    // One that is deleted half way takes none of the others along.
    let first = rest.get(&path).await.json();
    let gone = format!("/instances/{}", ids[0]);
    assert_eq!(rest.call("DELETE", &gone, None).await.status, 204);
    let token = first["next_page_token"].as_str().unwrap();
    let second = rest.get(&format!("{path}&page_token={token}")).await.json();
    assert_eq!(second["items"][0]["object_id"], json!(ids[30]));
    assert_eq!(agents.len(), usize::try_from(COUNT).unwrap());
}

fn etag(answer: &Answer) -> String {
    let lines = answer.headers.lines();
    let mut tags = lines.filter_map(|line| line.strip_prefix("etag: "));
    tags.next().unwrap().to_owned()
}

#[tokio::test]
async fn the_second_of_two_edits_of_a_key_is_refused() {
    let gateway = TestGateway::start().await;
    let rest = gateway.rest();
    let (id, _) = gateway.operator().await.key("k").await;
    let one = format!("{KEYS}/{id}");
    let full = format!("/api/v1/namespaces/default{one}");
    let edit = async |tag: &[&str], body: Value| {
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(tag.iter().map(|tag| ("if-match", *tag)));
        rest.raw("PATCH", &full, &headers, &body.to_string()).await
    };
    // Both look, then both edit.
    let tag = etag(&rest.get(&one).await);
    assert_eq!(tag, etag(&rest.get(&one).await), "a look changes nothing");
    let of = [tag.as_str()];
    let (first, second) = tokio::join!(
        edit(&of, json!({"name": "first"})),
        edit(&of, json!({"name": "second"}))
    );
    let mut statuses = [first.status, second.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412]);
    let (won, lost) = if first.status == 200 {
        (first, second)
    } else {
        (second, first)
    };
    assert!(lost.error().contains("was changed meanwhile"), "{lost:?}");
    let now = rest.get(&one).await;
    assert_eq!(
        (now.json()["name"].clone(), etag(&now)),
        (won.json()["name"].clone(), etag(&won))
    );
    assert_ne!(etag(&won), tag);
    // Who has looked again may.
    let again = edit(&[&etag(&now)], json!({"name": "third"})).await;
    assert_eq!(
        (again.status, again.json()["name"].clone()),
        (200, json!("third"))
    );
    // Any state will do, or nothing is said of it.
    assert_eq!(edit(&["*"], json!({"name": "fourth"})).await.status, 200);
    assert_eq!(edit(&[], json!({"name": "fifth"})).await.status, 200);
    for wrong in [
        &["7"][..],
        &["\"x\""],
        &["W/\"7\""],
        &["\"1\", \"2\""],
        &["\"1\"", "\"2\""],
    ] {
        let refused = edit(wrong, json!({"name": "x"})).await;
        assert_eq!(refused.status, 400, "{wrong:?}: {refused:?}");
        assert!(refused.error().contains("If-Match"), "{refused:?}");
    }
    assert_eq!(rest.get(&one).await.json()["name"], "fifth");
}
