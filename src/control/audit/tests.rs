//! Order, filters, bounds, over the store in memory.

use std::task::Poll;

use super::*;
use crate::keys::Id;
use crate::keys::Timestamp;
use crate::store::embedded::EmbeddedStore;

fn audit(store: &EmbeddedStore) -> Audit {
    let clock = crate::store::KeyStore::clock(store).clone();
    let keep = Duration::from_secs(3_600);
    Audit::new(Arc::new(store.clone()), clock, "g", keep, Arc::default()).unwrap()
}

/// As `note` of one thing.
async fn note(audit: &Audit, action: Action) {
    audit.note(&origin(), vec![action]).await;
}

async fn records(audit: &Audit) -> Vec<AuditEntry> {
    let filter = AuditFilter::default();
    let page = audit.page(&filter, None, 1000).await.unwrap();
    page.records.into_iter().map(|record| record.deed).collect()
}

fn origin() -> Origin {
    Origin {
        actor: "tok_1 (ci)".into(),
        from: "127.0.0.1:1".into(),
        door: "rest",
    }
}

fn action(name: &'static str, target: &str, result: AuditResult) -> Action {
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
        let deed = action("key.edit", &n.to_string(), AuditResult::Ok);
        note(&audit, deed).await;
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
        ("key.edit", "a", AuditResult::Ok),
        ("key.revoke", "b", AuditResult::Refused),
        ("keyring.edit", "c", AuditResult::Ok),
    ] {
        note(&audit, action(name, target, result)).await;
    }
    let filter = |change: fn(&mut AuditFilter)| {
        let mut filter = AuditFilter::default();
        change(&mut filter);
        filter
    };
    let of = async |change| targets(&audit, &filter(change)).await;
    assert_eq!(of(|f| f.action = Some("key".into())).await, ["b", "a"]);
    assert_eq!(of(|f| f.action = Some("key.edit".into())).await, ["a"]);
    assert_eq!(of(|f| f.result = Some(AuditResult::Refused)).await, ["b"]);
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
async fn equal_refusals_make_one_record_and_one_that_says_how_often() {
    let store = EmbeddedStore::in_memory().unwrap();
    let audit = Arc::new(audit(&store));
    let refused = || action("key.delete", "a", AuditResult::Refused);
    for _ in 0..40 {
        note(&audit, refused()).await;
    }
    note(&audit, action("key.delete", "b", AuditResult::Refused)).await;
    assert_eq!(targets(&audit, &AuditFilter::default()).await, ["b", "a"]);
    // What is done, or may have been, is told each time.
    for result in [AuditResult::Ok, AuditResult::Unknown].repeat(3) {
        note(&audit, action("key.edit", "c", result)).await;
    }
    assert_eq!(records(&audit).await.len(), 8);
    // Nobody comes again: the count is told all the same, once.
    let stop = CancellationToken::new();
    let running = tokio::spawn(Arc::clone(&audit).run(stop.clone()));
    tokio::time::sleep(Duration::from_secs(185)).await;
    let all = records(&audit).await;
    assert_eq!(all.len(), 9);
    assert_eq!(all[0].target.as_deref(), Some("a"));
    assert_eq!(all[0].detail, "39 more like it since the first");
    // And at a stop at once.
    note(&audit, refused()).await;
    note(&audit, refused()).await;
    stop.cancel();
    running.await.unwrap();
    let all = records(&audit).await;
    assert_eq!(all.len(), 11);
    assert_eq!(all[0].detail, "1 more like it since the first");
}

#[tokio::test(start_paused = true)]
async fn a_caller_in_a_loop_makes_few_records_whatever_he_asks_for() {
    let store = EmbeddedStore::in_memory().unwrap();
    let audit = Arc::new(audit(&store));
    let stop = CancellationToken::new();
    let running = tokio::spawn(Arc::clone(&audit).run(stop.clone()));
    let mut tried = 0;
    for _ in 0..120 {
        for _ in 0..20 {
            tried += 1;
            let target = format!("key_{tried}");
            note(&audit, action("key.delete", &target, AuditResult::Refused)).await;
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    stop.cancel();
    running.await.unwrap();
    let all = records(&audit).await;
    // Two hours: 60 each, one for the rest of each, and its count.
    assert!((120..=126).contains(&all.len()), "{}", all.len());
    let counted = all.iter().filter_map(|deed| {
        let (count, _) = deed.detail.split_once(" more like it")?;
        count.parse::<usize>().ok()
    });
    let single = all.iter().filter(|deed| deed.detail.is_empty()).count();
    assert_eq!(single + counted.sum::<usize>(), tried, "none is left out");
    // Another actor has his own.
    audit
        .sign_in("127.0.0.1:2".into(), "nobody".into(), Some("no".into()))
        .await;
    let newest = records(&audit).await.remove(0);
    assert_eq!(
        (newest.actor.as_str(), newest.action.as_str()),
        ("nobody", SIGN_IN)
    );
    assert_eq!(newest.reason.as_deref(), Some("no"));
}

#[tokio::test]
async fn a_call_comes_to_its_end_though_its_caller_went_away() {
    let store = EmbeddedStore::in_memory().unwrap();
    let audit = Arc::new(audit(&store));
    let (release, released) = tokio::sync::oneshot::channel::<()>();
    let trail = Arc::clone(&audit);
    let mut call = Box::pin(audit.to_the_end(async move {
        released.await.unwrap();
        note(&trail, action("key.revoke", "a", AuditResult::Ok)).await;
    }));
    // Begun, then dropped, as a connection does that is closed.
    assert!(
        std::future::poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx)))
            .await
            .is_pending()
    );
    drop(call);
    release.send(()).unwrap();
    let stop = CancellationToken::new();
    stop.cancel();
    Arc::clone(&audit).run(stop).await;
    assert_eq!(targets(&audit, &AuditFilter::default()).await, ["a"]);
}

#[tokio::test]
async fn a_late_record_hides_no_newer_one() {
    let store = EmbeddedStore::in_memory().unwrap();
    let audit = audit(&store);
    let clock = crate::store::KeyStore::clock(&store);
    clock.set_shift_millis(3_600_000);
    let since = clock.now();
    note(&audit, action("key.edit", "young", AuditResult::Ok)).await;
    // One that waited for the store, on another gateway.
    let mut late = audit.deed(&origin(), action("key.edit", "late", AuditResult::Ok));
    late.at = since.saturating_sub(Duration::from_secs(600));
    let writer = Id::random().unwrap();
    store.append_audit(vec![late], writer, 1).await.unwrap();
    let filter = AuditFilter {
        since: Some(since),
        ..AuditFilter::default()
    };
    assert_eq!(targets(&audit, &filter).await, ["young"]);
}

#[tokio::test]
async fn old_records_are_forgotten_and_the_newest_never() {
    let store = EmbeddedStore::in_memory().unwrap();
    let audit = audit(&store);
    for n in 0..5 {
        let deed = action("key.edit", &n.to_string(), AuditResult::Ok);
        note(&audit, deed).await;
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
