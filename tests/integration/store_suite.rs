//! What every store must do, run on each backend.

use std::time::Duration;

use muster::keys::{Id, KeyId, KeyStatus, Kind, Position, Revision, TokenId, mint};
use muster::store::embedded::EmbeddedStore;
use muster::store::{
    AgentRecord, Change, ChangeError, Event, EventKind, EventLog, GatewayId, GatewayInfo,
    Heartbeat, InstanceBatch, KeyEdit, KeyStore, Lookup, NewKey, Registration, Role, Store,
    TokenChangeError, TokenRecord,
};
use uuid::Uuid;

const DAY: Duration = Duration::from_secs(24 * 3600);

macro_rules! KeyChangeOf {
    ($kind:ident $rest:tt) => {
        muster::store::KeyChange {
            change: Change::$kind $rest,
            ..
        }
    };
}
/// Runs the suite on a backend: `open` makes an empty store.
macro_rules! suite {
    ($backend:ident, $open:expr) => {
        mod $backend {
            macro_rules! case {
                ($name:ident) => {
                    #[tokio::test]
                    async fn $name() {
                        let (_keep, store) = $open;
                        super::$name(&store).await;
                    }
                };
            }
            case!(changes_raise_the_revision_by_one_and_enter_the_feed);
            case!(a_key_is_loaded_as_it_was_written);
            case!(edits_are_judged_in_their_step);
            case!(a_revoke_is_idempotent_and_names_the_enrolled);
            case!(deletes_leave_no_trace_to_the_outside);
            case!(lists_are_in_order_of_creation_and_page);
            case!(the_feed_wakes_who_waits);
            case!(gateways_enrol_renew_and_leave);
            case!(tokens_are_kept);
            case!(the_last_events_are_kept);
            case!(tokens_are_listed_in_order_of_creation_and_page);
            case!(a_revoke_of_a_token_is_idempotent);
            case!(the_last_valid_admin_token_is_not_revoked);
            case!(two_admins_who_revoke_each_other_leave_one);
            case!(registrations_replace_page_and_go_with_their_key);
            case!(agents_replace_page_and_are_forgotten_whole);
        }
    };
}

suite!(embedded_file, {
    let folder = tempfile::tempdir().unwrap();
    let store = muster::store::embedded::EmbeddedStore::open(&folder.path().join("s.redb"));
    (folder, store.unwrap())
});
suite!(
    embedded_memory,
    (
        (),
        muster::store::embedded::EmbeddedStore::in_memory().unwrap()
    )
);

fn new_key(name: &str) -> NewKey {
    let minted = mint(Kind::DataPlaneKey).unwrap();
    NewKey {
        id: KeyId(minted.id),
        digest: minted.digest,
        name: name.into(),
        expires_at: None,
    }
}

fn gateway(name: &str) -> GatewayInfo {
    GatewayInfo {
        id: GatewayId(Id::random().unwrap()),
        name: name.into(),
        version: "0".into(),
    }
}

fn at(epoch_of: Position, revision: u64, gateway: GatewayId) -> Heartbeat {
    Heartbeat {
        gateway,
        position: Position {
            revision: Revision(revision),
            ..epoch_of
        },
        live_sessions: 3,
    }
}

async fn changes_raise_the_revision_by_one_and_enter_the_feed(store: &dyn Store) {
    let info = gateway("g");
    let start = store.enrol(info.clone()).await.unwrap();
    let key = new_key("k");
    let id = key.id;
    store.create(key).await.unwrap();
    let rename = KeyEdit {
        name: Some("n".into()),
        ..KeyEdit::default()
    };
    store.edit(id, rename).await.unwrap();
    store.revoke(id).await.unwrap();
    store.revoke(id).await.unwrap();
    store.delete(id).await.unwrap();
    let feed = store
        .renew(at(start, start.revision.0, info.id))
        .await
        .unwrap();
    let mut expected = start.revision;
    for entry in &feed.entries {
        expected = expected.next();
        assert_eq!(entry.position.revision, expected);
        assert_eq!(entry.position.epoch, start.epoch);
        assert_eq!(entry.change.key(), id);
    }
    assert!(matches!(
        feed.entries.as_slice(),
        [
            KeyChangeOf!(Created(_)),
            KeyChangeOf!(Edited(_)),
            KeyChangeOf!(Revoked(_)),
            KeyChangeOf!(Deleted { .. })
        ]
    ));
    assert_eq!(feed.position.revision, expected);
    let rest = store
        .renew(at(start, expected.0 - 1, info.id))
        .await
        .unwrap();
    assert_eq!(rest.entries.len(), 1);
}

async fn a_key_is_loaded_as_it_was_written(store: &dyn Store) {
    let key = new_key("äöü");
    let written = store.create(key.clone()).await.unwrap();
    let loaded = store.load(key.id).await.unwrap();
    let Lookup::Present(record) = loaded.lookup else {
        panic!("{loaded:?}");
    };
    assert_eq!(record.digest, key.digest);
    assert_eq!(record.name, "äöü");
    assert_eq!(record.status(store.clock().now()), KeyStatus::Valid);
    assert_eq!(record.revision, written.change.position.revision);
    assert_eq!(loaded.epoch, written.change.position.epoch);
    let Change::Created(announced) = written.change.change else {
        panic!("not a creation");
    };
    assert_eq!(announced, record);
    let absent = store.load(new_key("").id).await.unwrap();
    assert!(matches!(absent.lookup, Lookup::Absent));
    let same_id = store.create(key).await;
    assert!(matches!(same_id, Err(ChangeError::Store(_))));
}

async fn edits_are_judged_in_their_step(store: &dyn Store) {
    let key = new_key("k");
    let id = key.id;
    store.create(key).await.unwrap();
    let until = |days: u32| KeyEdit {
        expires_at: Some(store.clock().now().saturating_add(days * DAY)),
        ..KeyEdit::default()
    };
    let before = store.load(id).await.unwrap();
    assert!(matches!(
        store.edit(id, until(400)).await,
        Err(ChangeError::Rule(_))
    ));
    assert!(matches!(
        store.edit(id, until(0)).await,
        Err(ChangeError::Rule(_))
    ));
    let after = store.load(id).await.unwrap();
    assert_eq!(
        format!("{before:?}"),
        format!("{after:?}"),
        "nothing changed"
    );
    store.edit(id, until(2)).await.unwrap();
    store.clock().set_offset_millis(3 * 24 * 3600 * 1000);
    assert!(matches!(
        store.edit(id, until(1)).await,
        Err(ChangeError::Expired { .. })
    ));
    store.revoke(id).await.unwrap();
    assert!(matches!(
        store.edit(id, until(1)).await,
        Err(ChangeError::Revoked(_))
    ));
    let nobody = store.edit(new_key("").id, until(1)).await;
    assert!(matches!(nobody, Err(ChangeError::NotFound(_))));
}

async fn a_revoke_is_idempotent_and_names_the_enrolled(store: &dyn Store) {
    let info = gateway("g");
    store.enrol(info.clone()).await.unwrap();
    let key = new_key("k");
    let id = key.id;
    store.create(key).await.unwrap();
    let first = store.revoke(id).await.unwrap();
    let again = store.revoke(id).await.unwrap();
    assert_eq!(first.change.position, again.change.position);
    assert_eq!(first.enrolled.len(), 1);
    assert_eq!(first.enrolled[0].info.id, info.id);
    let (Change::Revoked(one), Change::Revoked(two)) = (first.change.change, again.change.change)
    else {
        panic!("not revokes");
    };
    assert_eq!(one, two);
    assert!(one.revoked_at.is_some());
    let nobody = store.revoke(new_key("").id).await;
    assert!(matches!(nobody, Err(ChangeError::NotFound(_))));
}

async fn deletes_leave_no_trace_to_the_outside(store: &dyn Store) {
    let key = new_key("k");
    let id = key.id;
    store.create(key).await.unwrap();
    assert!(matches!(
        store.delete(id).await,
        Err(ChangeError::StillValid(_))
    ));
    store.revoke(id).await.unwrap();
    store.delete(id).await.unwrap();
    let loaded = store.load(id).await.unwrap();
    assert!(matches!(loaded.lookup, Lookup::Deleted), "a marker");
    assert!(store.list(None, 10).await.unwrap().records.is_empty());
    for result in [
        store.revoke(id).await,
        store.delete(id).await,
        store.edit(id, KeyEdit::default()).await,
    ] {
        assert!(matches!(result, Err(ChangeError::NotFound(_))));
    }
}

async fn lists_are_in_order_of_creation_and_page(store: &dyn Store) {
    let mut ids = Vec::new();
    for n in 0..10 {
        // Two at each moment: the id breaks the tie.
        store.clock().set_offset_millis(n / 2 * 1_000_000);
        let key = new_key(&n.to_string());
        ids.push(key.id);
        store.create(key).await.unwrap();
    }
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = store.list(after, 3).await.unwrap();
        assert!(page.records.len() <= 3 && page.unreadable.is_empty());
        seen.extend(page.records.iter().map(|r| (r.created_at, r.id)));
        // A key that comes while we read does not disturb what follows.
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
}

async fn the_feed_wakes_who_waits(store: &dyn Store) {
    let info = gateway("g");
    let start = store.enrol(info.clone()).await.unwrap();
    let (_, ()) = tokio::join!(
        async { store.create(new_key("k")).await.unwrap() },
        store.changed(start),
    );
    let feed = store
        .renew(at(start, start.revision.0, info.id))
        .await
        .unwrap();
    assert_eq!(feed.entries.len(), 1);
}

async fn gateways_enrol_renew_and_leave(store: &dyn Store) {
    let (one, two) = (gateway("one"), gateway("two"));
    let start = store.enrol(one.clone()).await.unwrap();
    store.enrol(two.clone()).await.unwrap();
    store.create(new_key("k")).await.unwrap();
    store.renew(at(start, 1, one.id)).await.unwrap();
    let (gateways, position) = store.gateways().await.unwrap();
    assert!(gateways.is_sorted_by_key(|g| g.info.id));
    assert_eq!(gateways.len(), 2);
    let renewed = gateways.iter().find(|g| g.info.id == one.id).unwrap();
    assert_eq!((renewed.applied, renewed.live_sessions), (Revision(1), 3));
    assert_eq!(position.revision, Revision(1));
    store.leave(one.id).await.unwrap();
    let (gateways, _) = store.gateways().await.unwrap();
    assert_eq!(gateways.len(), 1);
    assert_eq!(gateways[0].info.name, "two");
}

async fn tokens_are_kept(store: &dyn Store) {
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

async fn tokens_are_listed_in_order_of_creation_and_page(store: &dyn Store) {
    let mut ids = Vec::new();
    for n in 0..10 {
        // Two at each moment: the id breaks the tie.
        store.clock().set_offset_millis(n / 2 * 1_000_000);
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

async fn a_revoke_of_a_token_is_idempotent(store: &dyn Store) {
    let id = put(store, Role::Operator).await;
    let first = store.revoke_token(id).await.unwrap();
    assert_eq!(first.status(store.clock().now()), KeyStatus::Revoked);
    store.clock().set_offset_millis(1_000_000);
    assert_eq!(store.revoke_token(id).await.unwrap(), first);
    assert_eq!(store.token(id).await.unwrap(), Some(first));
    let nobody = new_token(store, Role::Viewer).id;
    assert!(matches!(
        store.revoke_token(nobody).await,
        Err(TokenChangeError::NotFound(id)) if id == nobody
    ));
}

async fn the_last_valid_admin_token_is_not_revoked(store: &dyn Store) {
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
    store.clock().set_offset_millis(2 * 24 * 3600 * 1000);
    assert!(last(store.revoke_token(one).await));
    // Expired, it opens nothing: it may go.
    store.revoke_token(brief.id).await.unwrap();
    let two = put(store, Role::Admin).await;
    store.revoke_token(one).await.unwrap();
    assert!(last(store.revoke_token(two).await));
}

async fn two_admins_who_revoke_each_other_leave_one(store: &dyn Store) {
    let (one, two) = (put(store, Role::Admin).await, put(store, Role::Admin).await);
    let (a, b) = tokio::join!(store.revoke_token(one), store.revoke_token(two));
    assert!(a.is_ok() != b.is_ok(), "{a:?} {b:?}");
}

async fn the_last_events_are_kept(store: &dyn Store) {
    let event = |id| Event {
        id,
        at: store.clock().now(),
        kind: EventKind::KeyCreated,
        key: None,
        agent: None,
        detail: id.to_string(),
    };
    let log = |ids: std::ops::Range<u64>, until| EventLog {
        events: ids.map(event).collect(),
        expiries_until: until,
    };
    let until = Some(store.clock().now());
    store.save_events(log(1..8, None), 5).await.unwrap();
    store.save_events(log(8..9, until), 5).await.unwrap();
    store.save_events(log(0..0, None), 5).await.unwrap();
    let kept = store.events().await.unwrap();
    let ids: Vec<_> = kept.events.iter().map(|event| event.id).collect();
    assert_eq!(ids, [4, 5, 6, 7, 8]);
    assert_eq!(kept.expiries_until, until);
}

async fn registrations_replace_page_and_go_with_their_key(store: &dyn Store) {
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

async fn agents_replace_page_and_are_forgotten_whole(store: &dyn Store) {
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
    store.save_instances(batch).await.unwrap();
    let first = store.agents(None, 2).await.unwrap();
    let rest = store.agents(Some(first[1].agent), 9).await.unwrap();
    let all: Vec<_> = first.into_iter().chain(rest).collect();
    let names: Vec<_> = all.iter().map(|a| a.hostname.as_str()).collect();
    assert_eq!(names, ["one", "one", "two", "one"]);
    assert_eq!(all[0].labels["a"], "b");
    assert!(store.registrations(None, 9).await.unwrap().is_empty());
}

/// Only the file can be opened twice.
#[tokio::test]
async fn the_file_keeps_everything() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.redb");
    let store = EmbeddedStore::open(&path).unwrap();
    let (kept, revoked) = (new_key("kept"), new_key("revoked"));
    store.create(kept.clone()).await.unwrap();
    store.create(revoked.clone()).await.unwrap();
    let written = store.revoke(revoked.id).await.unwrap();
    drop(store);
    let store = EmbeddedStore::open(&path).unwrap();
    let (_, position) = store.gateways().await.unwrap();
    assert_eq!(position, written.change.position);
    let statuses: Vec<_> = store.list(None, 10).await.unwrap().records;
    assert_eq!(statuses.len(), 2);
    assert!(statuses.iter().any(|r| r.revoked_at.is_some()));
}
