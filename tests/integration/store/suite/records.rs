//! Tokens, events, registrations and agents: what a store keeps besides keys.

use muster::keys::{Id, KeyId, KeyStatus, Kind, Timestamp, TokenId, mint};
use muster::store::{
    AgentRecord, AppendOnce, AuditEntry, AuditResult, EventKind, InstanceBatch, NewEvent,
    Registration, Role, Store, TokenChangeError, TokenRecord,
};
use uuid::Uuid;

use super::DAY;
use crate::support::new_key;

pub async fn tokens_are_kept(store: &dyn Store) {
    for role in [Role::Viewer, Role::Operator, Role::Admin] {
        let token = TokenRecord {
            expires_at: Some(store.clock().now().saturating_add(DAY)),
            ..new_token(store, role)
        };
        assert_eq!(store.token(token.id).await.unwrap(), None);
        store.put_token(token.clone()).await.unwrap();
        assert_eq!(store.token(token.id).await.unwrap(), Some(token.clone()));
        // A write of the same id must not undo a revoke.
        store.put_token(token).await.unwrap_err();
    }
}

fn new_token(store: &dyn Store, role: Role) -> TokenRecord {
    let minted = mint(Kind::AdminToken).unwrap();
    TokenRecord {
        id: TokenId(minted.id),
        name: "t".into(),
        digest: minted.digest,
        role,
        created_at: store.clock().now(),
        expires_at: None,
        revoked_at: None,
    }
}

/// A token in the store.
async fn put(store: &dyn Store, role: Role) -> TokenId {
    let token = new_token(store, role);
    store.put_token(token.clone()).await.unwrap();
    token.id
}

pub async fn tokens_are_listed_in_order_of_creation_and_page(store: &dyn Store) {
    let mut ids = Vec::new();
    for n in 0..10 {
        // Two at each moment: the id breaks the tie.
        store.clock().set_shift_millis(n / 2 * 1_000_000);
        ids.push(put(store, Role::Viewer).await);
    }
    store.revoke_token(ids[3]).await.unwrap();
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = store.tokens(after, 3).await.unwrap();
        assert!(page.records.len() <= 3 && page.unreadable.is_empty());
        seen.extend(page.records.iter().map(|r| (r.created_at, r.id)));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert!(seen.is_sorted());
    let mut listed: Vec<_> = seen.into_iter().map(|(_, id)| id).collect();
    listed.sort();
    ids.sort();
    assert_eq!(listed, ids);
    let whole = store.tokens(None, 10).await.unwrap();
    assert!(whole.next.is_none(), "a full page may be the last");
}

pub async fn a_revoke_of_a_token_is_idempotent(store: &dyn Store) {
    let id = put(store, Role::Operator).await;
    let first = store.revoke_token(id).await.unwrap();
    assert_eq!(first.status(store.clock().now()), KeyStatus::Revoked);
    store.clock().set_shift_millis(1_000_000);
    assert_eq!(store.revoke_token(id).await.unwrap(), first);
    assert_eq!(store.token(id).await.unwrap(), Some(first));
    let nobody = new_token(store, Role::Viewer).id;
    assert!(matches!(
        store.revoke_token(nobody).await,
        Err(TokenChangeError::NotFound(id)) if id == nobody
    ));
}

pub async fn the_last_valid_admin_token_is_not_revoked(store: &dyn Store) {
    let last = |result| matches!(result, Err(TokenChangeError::LastAdmin(_)));
    put(store, Role::Operator).await;
    let one = put(store, Role::Admin).await;
    assert!(last(store.revoke_token(one).await));
    // One that expires counts until then.
    let brief = TokenRecord {
        expires_at: Some(store.clock().now().saturating_add(DAY)),
        ..new_token(store, Role::Admin)
    };
    store.put_token(brief.clone()).await.unwrap();
    store.clock().set_shift_millis(2 * 24 * 3600 * 1000);
    assert!(last(store.revoke_token(one).await));
    // Expired, it opens nothing: it may go.
    store.revoke_token(brief.id).await.unwrap();
    let two = put(store, Role::Admin).await;
    store.revoke_token(one).await.unwrap();
    assert!(last(store.revoke_token(two).await));
}

pub async fn two_admins_who_revoke_each_other_leave_one(store: &dyn Store) {
    let (one, two) = (put(store, Role::Admin).await, put(store, Role::Admin).await);
    let (a, b) = tokio::join!(store.revoke_token(one), store.revoke_token(two));
    assert!(a.is_ok() != b.is_ok(), "{a:?} {b:?}");
}

fn event(store: &dyn Store, detail: &str) -> NewEvent {
    NewEvent {
        at: store.clock().now(),
        kind: EventKind::KeyCreated,
        key: None,
        agent: None,
        detail: detail.into(),
        gateway: "g".into(),
    }
}

/// Appends a batch of that many; whether it was done.
async fn append(store: &dyn Store, writer: Id, number: u64, count: usize) -> bool {
    let events = (0..count).map(|n| event(store, &format!("{number}.{n}")));
    let once = AppendOnce::Batch { writer, number };
    let done = store.append_events(events.collect(), once, 5).await;
    done.unwrap()
}

pub async fn events_are_numbered_by_the_store_and_the_last_are_kept(store: &dyn Store) {
    let empty = store.events_after(0, 9).await.unwrap();
    assert_eq!((empty.events.len(), empty.upto, empty.last), (0, 0, 0));
    let (one, two) = (Id::random().unwrap(), Id::random().unwrap());
    assert!(append(store, one, 1, 2).await);
    assert!(append(store, two, 1, 1).await);
    assert!(append(store, one, 2, 4).await);
    let ids = async |after, limit| {
        let page = store.events_after(after, limit).await.unwrap();
        let ids: Vec<_> = page.events.iter().map(|event| event.id).collect();
        (ids, page.upto, page.last)
    };
    assert_eq!(ids(0, 9).await, (vec![3, 4, 5, 6, 7], 7, 7));
    assert_eq!(ids(0, 2).await, (vec![3, 4], 4, 7));
    assert_eq!(ids(4, 2).await, (vec![5, 6], 6, 7));
    assert_eq!(ids(6, 2).await, (vec![7], 7, 7));
    assert_eq!(ids(7, 2).await, (vec![], 7, 7));
    assert_eq!(ids(u64::MAX, 2).await, (vec![], 7, 7));
    let page = store.events_after(2, 1).await.unwrap();
    assert_eq!(page.events[0].detail, "1.0");
    assert_eq!(page.events[0].gateway, "g");
    let (_, position) = store.gateways().await.unwrap();
    assert_eq!(page.epoch, position.epoch);
}

pub async fn a_batch_of_events_is_appended_once(store: &dyn Store) {
    let writer = Id::random().unwrap();
    assert!(append(store, writer, 1, 2).await);
    assert!(!append(store, writer, 1, 2).await, "the answer got lost");
    assert!(append(store, writer, 2, 1).await);
    assert!(!append(store, writer, 2, 1).await);
    assert_eq!(store.events_after(0, 9).await.unwrap().last, 3);
}

pub async fn an_expiry_is_told_by_the_first_who_finds_it(store: &dyn Store) {
    let at = Timestamp::from_millis;
    let tell = async |from: Option<i64>, until, count: usize| {
        let events = (0..count).map(|_| event(store, "expired")).collect();
        let once = AppendOnce::Expiries {
            from: from.map(at),
            until: at(until),
        };
        store.append_events(events, once, 9).await.unwrap()
    };
    assert_eq!(store.expiries_until().await.unwrap(), None);
    // Who begins moves no number.
    assert!(tell(None, 10, 0).await);
    assert!(!tell(None, 20, 0).await);
    assert!(!tell(None, 20, 1).await);
    assert_eq!(store.expiries_until().await.unwrap(), Some(at(10)));
    let (one, two) = tokio::join!(tell(Some(10), 30, 1), tell(Some(10), 31, 1));
    assert!(one != two, "one of two");
    assert!(!tell(Some(10), 40, 1).await);
    let until = store.expiries_until().await.unwrap().unwrap();
    assert_eq!(until, if one { at(30) } else { at(31) });
    assert_eq!(store.events_after(0, 9).await.unwrap().last, 1);
}

pub async fn registrations_replace_page_and_go_with_their_key(store: &dyn Store) {
    let (one, two) = (new_key("").id, new_key("").id);
    let row = |key, agent, joins| Registration {
        key,
        agent: Uuid::from_u128(agent),
        first_seen: store.clock().now(),
        last_seen: store.clock().now(),
        last_address: "::1".parse().unwrap(),
        joins,
    };
    let save = async |registrations| {
        let batch = InstanceBatch {
            registrations,
            ..InstanceBatch::default()
        };
        store.save_instances(batch).await.unwrap();
    };
    let mut rows: Vec<_> = (0..10).map(|n| row(one, n, 1)).collect();
    rows.push(row(two, 3, 1));
    save(rows).await;
    save(vec![row(one, 3, 7)]).await;
    let mut seen = Vec::new();
    loop {
        let after = seen.last().map(|r: &Registration| (r.key, r.agent));
        let page = store.registrations(after, 4).await.unwrap();
        if page.is_empty() {
            break;
        }
        seen.extend(page);
    }
    assert_eq!(seen.len(), 11);
    assert!(seen.is_sorted_by_key(|r| (r.key, r.agent)));
    let joins = seen.iter().filter(|r| r.joins == 7).count();
    assert_eq!(joins, 1, "replaced, not added");
    store.forget_registrations(one).await.unwrap();
    let left = store.registrations(None, 100).await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!((left[0].key, left[0].joins), (two, 1));
}

pub async fn agents_replace_page_and_are_forgotten_whole(store: &dyn Store) {
    let key = new_key("").id;
    let agent = |n, hostname: &str| AgentRecord {
        agent: Uuid::from_u128(n),
        key,
        hostname: hostname.into(),
        os_version: String::new(),
        agent_version: String::new(),
        in_container: false,
        labels: [("a".to_owned(), "b".to_owned())].into(),
        first_seen: store.clock().now(),
        last_seen: store.clock().now(),
        reported_at: store.clock().now(),
        last_address: "127.0.0.1".parse().unwrap(),
        instances: Vec::new(),
    };
    let registration = Registration {
        key,
        agent: Uuid::from_u128(3),
        first_seen: store.clock().now(),
        last_seen: store.clock().now(),
        last_address: "127.0.0.1".parse().unwrap(),
        joins: 1,
    };
    let batch = InstanceBatch {
        agents: (0..5).map(|n| agent(n, "one")).collect(),
        registrations: vec![registration],
        ..InstanceBatch::default()
    };
    store.save_instances(batch).await.unwrap();
    let batch = InstanceBatch {
        agents: vec![agent(2, "two")],
        forgotten: vec![Uuid::from_u128(3)],
        ..InstanceBatch::default()
    };
    let gone = store.save_instances(batch.clone()).await.unwrap();
    assert_eq!(gone, [Uuid::from_u128(3)]);
    let gone = store.save_instances(batch).await.unwrap();
    assert!(gone.is_empty(), "another was first");
    let first = store.agents(None, 2).await.unwrap();
    let rest = store.agents(Some(first[1].agent), 9).await.unwrap();
    let all: Vec<_> = first.into_iter().chain(rest).collect();
    let names: Vec<_> = all.iter().map(|a| a.hostname.as_str()).collect();
    assert_eq!(names, ["one", "one", "two", "one"]);
    assert_eq!(all[0].labels["a"], "b");
    assert!(store.registrations(None, 9).await.unwrap().is_empty());
}

pub async fn last_uses_move_forward_page_and_go_with_their_key(store: &dyn Store) {
    assert!(store.key_uses(None, 9).await.unwrap().is_empty());
    let at = Timestamp::from_millis;
    let save = async |uses: Vec<(KeyId, Timestamp)>| {
        let batch = InstanceBatch {
            uses,
            ..InstanceBatch::default()
        };
        store.save_instances(batch).await.unwrap();
    };
    let mut keys: Vec<_> = (0..5).map(|_| new_key("").id).collect();
    keys.sort();
    save(keys.iter().map(|key| (*key, at(5))).collect()).await;
    // Another gateway may know better.
    save(vec![(keys[0], at(4)), (keys[1], at(6))]).await;
    let first = store.key_uses(None, 2).await.unwrap();
    assert_eq!(first, [(keys[0], at(5)), (keys[1], at(6))]);
    store.forget_registrations(keys[3]).await.unwrap();
    let rest = store.key_uses(Some(keys[1]), 9).await.unwrap();
    assert_eq!(rest, [(keys[2], at(5)), (keys[4], at(5))]);
}

fn deed(store: &dyn Store, target: &str) -> AuditEntry {
    AuditEntry {
        at: store.clock().now(),
        actor: "ci (tok_1)".into(),
        action: "key.edit".into(),
        target: Some(target.into()),
        detail: "name: \"x\"".into(),
        from: "127.0.0.1:1".into(),
        door: "rest".into(),
        gateway: "g".into(),
        result: AuditResult::Refused,
        reason: Some("no".into()),
    }
}

pub async fn the_audit_trail_is_one_log_that_is_appended_once(store: &dyn Store) {
    let (one, two) = (Id::random().unwrap(), Id::random().unwrap());
    let put = async |writer, number, targets: &[&str]| {
        let deeds = targets.iter().map(|target| deed(store, target)).collect();
        store.append_audit(deeds, writer, number).await.unwrap()
    };
    assert!(put(one, 1, &["a", "b"]).await);
    assert!(!put(one, 1, &["a", "b"]).await, "the answer got lost");
    assert!(put(two, 1, &["c"]).await);
    assert!(put(one, 2, &["d", "e"]).await);
    let page = async |before, limit| {
        let page = store.audit_before(before, limit).await.unwrap();
        let rows = page.records.iter();
        let rows: Vec<_> = rows
            .map(|r| (r.id, r.deed.target.clone().unwrap()))
            .collect();
        (rows, page.next)
    };
    let all = [(5, "e"), (4, "d"), (3, "c"), (2, "b"), (1, "a")].map(|(n, t)| (n, t.to_owned()));
    assert_eq!(page(None, 9).await, (all.to_vec(), None));
    assert_eq!(page(None, 5).await, (all.to_vec(), None));
    assert_eq!(page(None, 2).await, (all[..2].to_vec(), Some(4)));
    assert_eq!(page(Some(4), 2).await, (all[2..4].to_vec(), Some(2)));
    assert_eq!(page(Some(2), 2).await, (all[4..].to_vec(), None));
    assert_eq!(page(Some(1), 2).await, (Vec::new(), None));
    let record = &store.audit_before(None, 1).await.unwrap().records[0];
    let expected = AuditEntry {
        at: record.deed.at,
        ..deed(store, "e")
    };
    assert_eq!(record.deed, expected);
}

pub async fn the_audit_trail_is_bounded_by_age_and_number(store: &dyn Store) {
    let writer = Id::random().unwrap();
    let mut moments = Vec::new();
    for n in 1..=5 {
        store
            .clock()
            .set_shift_millis(i64::try_from(n).unwrap() * 1_000_000);
        moments.push(store.clock().now());
        store
            .append_audit(vec![deed(store, "t")], writer, n)
            .await
            .unwrap();
    }
    let left = async || {
        let page = store.audit_before(None, 9).await.unwrap();
        page.records.iter().map(|r| r.id).collect::<Vec<_>>()
    };
    store.trim_audit(moments[1], 9).await.unwrap();
    assert_eq!(left().await, [5, 4, 3, 2]);
    store.trim_audit(moments[1], 2).await.unwrap();
    assert_eq!(left().await, [5, 4]);
    // The newest stays: it shows where the numbers are.
    let late = Timestamp::from_millis(i64::MAX);
    store.trim_audit(late, 9).await.unwrap();
    assert_eq!(left().await, [5]);
    assert!(
        store
            .append_audit(vec![deed(store, "t")], writer, 6)
            .await
            .unwrap()
    );
    assert_eq!(left().await, [6, 5]);
}
