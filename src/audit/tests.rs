//! Order, filters, bounds, over the store in memory.

use super::*;
use crate::store::embedded::EmbeddedStore;

fn audit(store: &EmbeddedStore) -> Audit {
    let clock = crate::store::KeyStore::clock(store).clone();
    let keep = Duration::from_secs(3_600);
    Audit::new(Arc::new(store.clone()), clock, "g", keep, Arc::default()).unwrap()
}

fn origin() -> Origin {
    Origin {
        actor: "tok_1 (ci)".into(),
        from: "127.0.0.1:1".into(),
        door: "rest",
    }
}

fn action(name: &'static str, target: &str, result: DeedResult) -> Action {
    Action {
        name,
        target: Some(target.into()),
        detail: String::new(),
        result,
        reason: None,
    }
}

async fn targets(audit: &Audit, filter: &AuditFilter) -> Vec<String> {
    let page = audit.page(filter, None, 100).await.unwrap();
    let targets = page.records.into_iter().map(|record| record.deed.target);
    targets.flatten().collect()
}

#[tokio::test]
async fn the_newest_comes_first_and_pages_go_on() {
    let store = EmbeddedStore::in_memory().unwrap();
    let audit = audit(&store);
    for n in 0..25 {
        let deed = action("key.edit", &n.to_string(), DeedResult::Ok);
        audit.note(&origin(), deed).await;
    }
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let page = audit
            .page(&AuditFilter::default(), before, 10)
            .await
            .unwrap();
        seen.extend(page.records.into_iter().map(|r| r.id));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(seen, (1..=25).rev().collect::<Vec<_>>());
    let whole = audit.page(&AuditFilter::default(), None, 25).await.unwrap();
    assert_eq!((whole.records.len(), whole.next), (25, None));
}

#[tokio::test]
async fn filters_hold_together() {
    let store = EmbeddedStore::in_memory().unwrap();
    let audit = audit(&store);
    for (name, target, result) in [
        ("key.edit", "a", DeedResult::Ok),
        ("key.revoke", "b", DeedResult::Refused),
        ("keyring.edit", "c", DeedResult::Ok),
    ] {
        audit.note(&origin(), action(name, target, result)).await;
    }
    let filter = |change: fn(&mut AuditFilter)| {
        let mut filter = AuditFilter::default();
        change(&mut filter);
        filter
    };
    let of = async |change| targets(&audit, &filter(change)).await;
    assert_eq!(of(|f| f.action = Some("key".into())).await, ["b", "a"]);
    assert_eq!(of(|f| f.action = Some("key.edit".into())).await, ["a"]);
    assert_eq!(of(|f| f.result = Some(DeedResult::Refused)).await, ["b"]);
    assert_eq!(of(|f| f.target = Some("c".into())).await, ["c"]);
    assert_eq!(of(|f| f.actor = Some("ci".into())).await.len(), 3);
    assert!(of(|f| f.actor = Some("me".into())).await.is_empty());
    let late = Timestamp::from_millis(i64::MAX);
    let later = AuditFilter {
        since: Some(late),
        ..AuditFilter::default()
    };
    assert!(targets(&audit, &later).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn equal_refusals_make_one_record_a_minute() {
    let store = EmbeddedStore::in_memory().unwrap();
    let audit = audit(&store);
    let refused = || action("key.delete", "a", DeedResult::Refused);
    for _ in 0..40 {
        audit.note(&origin(), refused()).await;
    }
    audit
        .note(&origin(), action("key.delete", "b", DeedResult::Refused))
        .await;
    assert_eq!(targets(&audit, &AuditFilter::default()).await, ["b", "a"]);
    tokio::time::advance(Duration::from_secs(61)).await;
    audit.note(&origin(), refused()).await;
    let page = audit.page(&AuditFilter::default(), None, 1).await.unwrap();
    let detail = &page.records[0].deed.detail;
    assert_eq!(detail, "and 39 times before since the last record");
    // What is done is told each time.
    for _ in 0..3 {
        audit
            .note(&origin(), action("key.edit", "c", DeedResult::Ok))
            .await;
    }
    assert_eq!(targets(&audit, &AuditFilter::default()).await.len(), 6);
}

#[tokio::test]
async fn old_records_are_forgotten_and_the_newest_never() {
    let store = EmbeddedStore::in_memory().unwrap();
    let audit = audit(&store);
    for n in 0..5 {
        let deed = action("key.edit", &n.to_string(), DeedResult::Ok);
        audit.note(&origin(), deed).await;
    }
    let late = Timestamp::from_millis(i64::MAX);
    store
        .trim_audit(Timestamp::from_millis(0), 3)
        .await
        .unwrap();
    assert_eq!(
        targets(&audit, &AuditFilter::default()).await,
        ["4", "3", "2"]
    );
    store.trim_audit(late, 3).await.unwrap();
    assert_eq!(targets(&audit, &AuditFilter::default()).await, ["4"]);
}
