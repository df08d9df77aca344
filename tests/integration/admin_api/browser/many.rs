//! With 10,000 keys and 50,000 instances no page shows more than a page of a
//! list, nor asks for more.

use std::sync::Arc;

use muster::keys::KeyId;
use muster::store::embedded::EmbeddedStore;
use muster::store::{
    AgentRecord, Health, InstanceBatch, InstanceRecord, InstanceStore, KeyStore, Registration,
    StoreClock,
};
use uuid::Uuid;

use crate::support::{Browser, TestGateway, chromedriver, new_key};

const KEYS: usize = 10_000;
const AGENTS: u128 = 25_000;
/// Of each agent.
const INSTANCES: usize = 2;
/// Rows of a page at most.
const ROWS: u64 = 200;

fn agent(number: u128, key: KeyId, clock: &StoreClock) -> (AgentRecord, Registration) {
    let now = clock.now();
    let instance = |n: usize| InstanceRecord {
        reported_id: format!("nginx-{n}"),
        version: "1.27.0".into(),
        plus_release: String::new(),
        binary_path: "/usr/sbin/nginx".into(),
        conf_path: "/etc/nginx/nginx.conf".into(),
        health: Some(Health::Healthy),
        reported: true,
        registered_at: now,
        last_reported: now,
    };
    let address = "127.0.0.1".parse().unwrap();
    let record = AgentRecord {
        agent: Uuid::from_u128(number),
        key,
        hostname: format!("host-{number}"),
        os_version: "debian_bookworm".into(),
        agent_version: "3.11.3".into(),
        in_container: false,
        labels: [].into(),
        first_seen: now,
        last_seen: now,
        reported_at: now,
        last_address: address,
        instances: (0..INSTANCES).map(instance).collect(),
    };
    let registration = Registration {
        key,
        agent: record.agent,
        first_seen: now,
        last_seen: now,
        last_address: address,
        joins: 1,
    };
    (record, registration)
}

async fn fill(store: &EmbeddedStore) -> Vec<KeyId> {
    let mut keys = Vec::with_capacity(KEYS);
    for number in 0..KEYS {
        let key = new_key(&format!("key {number}"));
        keys.push(key.id);
        store.create(key).await.unwrap();
    }
    for from in (0..AGENTS).step_by(5_000) {
        let batch = (from..from + 5_000).map(|number| {
            // Half of them under one key.
            let place = if number % 2 == 0 {
                0
            } else {
                number as usize % KEYS
            };
            agent(number, keys[place], store.clock())
        });
        let (agents, registrations) = batch.unzip();
        let batch = InstanceBatch {
            agents,
            registrations,
            ..InstanceBatch::default()
        };
        store.save_instances(batch).await.unwrap();
    }
    keys
}

#[tokio::test]
async fn no_page_shows_or_asks_for_more_than_a_page_of_a_list() {
    let Some(driver) = chromedriver("a large fleet in the console") else {
        return;
    };
    let store = Arc::new(EmbeddedStore::in_memory().unwrap());
    let keys = fill(&store).await;
    let gateway = TestGateway::over(store, |_| {}).await;
    let token = gateway.file("admin.token");
    let mut browser = Browser::signed_in(&driver, &gateway, token.trim()).await;
    let one = Uuid::from_u128(0);
    for (page, count) in [
        ("keys".to_owned(), Some("10,000 keys")),
        (format!("keys/{}", keys[0]), None),
        ("instances".to_owned(), Some("50,000 instances")),
        ("agents".to_owned(), Some("25,000 agents")),
        (format!("agents/{one}"), None),
        ("sessions".to_owned(), None),
        ("rejections".to_owned(), None),
        ("gateways".to_owned(), None),
        ("audit".to_owned(), None),
        ("tokens".to_owned(), None),
    ] {
        browser.requests().await;
        let begun = std::time::Instant::now();
        browser.visit(&format!("/#/{page}")).await;
        browser.settled().await;
        if let Some(count) = count {
            browser.see(count).await;
        }
        println!("#/{page}: shown after {:?}", begun.elapsed());
        let rows = browser.eval(
            "return document.querySelectorAll('tbody tr').length",
            vec![],
        );
        let rows = rows.await.as_u64().unwrap();
        assert!(rows <= ROWS, "#/{page} shows {rows} rows");
        if count.is_some() {
            assert!(rows >= 20, "#/{page} shows {rows} rows");
        }
        pages_are_small(&page, &browser.requests().await);
    }

    // The next page is the next request.
    browser.visit("/#/instances").await;
    browser.settled().await;
    browser.requests().await;
    browser.click("button", "Next page").await;
    browser.see("51–100 of 50,000").await;
    let requests = browser.requests().await;
    pages_are_small("instances, next page", &requests);
    let asked = requests
        .iter()
        .filter(|request| request.contains("/instances?"));
    assert_eq!(asked.count(), 1, "{requests:?}");
    browser.close().await;
}

/// No request asks for more than a page, and none walks a list: at most two
/// times the same list, for what differs in its filters (a key's agents now and
/// ever), or once more for events of the moment.
fn pages_are_small(page: &str, requests: &[String]) {
    let lists: Vec<&String> = requests
        .iter()
        .filter(|request| request.contains("limit=") || request.contains("paginated="))
        .collect();
    for request in &lists {
        let limit = request.split("limit=").nth(1).unwrap_or("3000");
        let limit: String = limit.chars().take_while(char::is_ascii_digit).collect();
        let limit: u64 = limit.parse().unwrap_or(u64::MAX);
        assert!(limit <= ROWS, "#/{page}: {request}");
        assert!(!request.contains("paginated=false"), "#/{page}: {request}");
    }
    let mut offsets: Vec<(&str, &str)> = Vec::new();
    for request in &lists {
        let path = request.split('?').next().unwrap();
        let offset = request.split("offset=").nth(1).unwrap_or("1");
        let offset = offset.split('&').next().unwrap();
        for (other, at) in &offsets {
            let same = *other == path && *at != offset;
            assert!(!same, "#/{page}: more than one page of {path}: {lists:?}");
        }
        offsets.push((path, offset));
    }
}
