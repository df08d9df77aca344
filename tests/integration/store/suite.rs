//! What every store must do, run on each backend.

mod changes;
mod ends;
mod records;

use std::time::Duration;

use muster::keys::{Id, KeyStatus, Position, Revision};

use muster::store::embedded::EmbeddedStore;
use muster::store::{
    Change, ChangeError, GatewayId, GatewayInfo, GatewayStore, Heartbeat, KeyEdit, KeyStore,
    Lookup, Outcome, Store,
};

use crate::support::new_key;
use changes::{
    a_setting_stands_until_it_is_set_again, an_edit_of_an_older_state_is_refused_in_its_step,
    changes_since_a_position_are_told_whole_or_not_at_all,
};
use ends::{
    a_lost_delete_is_written_again, a_lost_revoke_is_written_again_as_it_was,
    a_store_tells_whether_it_ever_had_a_key,
};
use records::{
    a_batch_of_events_is_appended_once, a_revoke_of_a_token_is_idempotent,
    agents_replace_page_and_are_forgotten_whole, an_expiry_is_told_by_the_first_who_finds_it,
    events_are_numbered_by_the_store_and_the_last_are_kept,
    last_uses_move_forward_page_and_go_with_their_key,
    registrations_replace_page_and_go_with_their_key, the_audit_trail_is_bounded_by_age_and_number,
    the_audit_trail_is_one_log_that_is_appended_once, the_last_valid_admin_token_is_not_revoked,
    tokens_are_kept, tokens_are_listed_in_order_of_creation_and_page,
    two_admins_who_revoke_each_other_leave_one,
};

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
            case!(the_audit_trail_is_bounded_by_age_and_number);
            case!(the_audit_trail_is_one_log_that_is_appended_once);
            case!(gateways_enrol_renew_and_leave);
            case!(what_a_revoke_did_is_kept_gateway_by_gateway);
            case!(a_claim_stands_once_it_is_made);
            case!(a_lost_revoke_is_written_again_as_it_was);
            case!(a_lost_delete_is_written_again);
            case!(a_store_tells_whether_it_ever_had_a_key);
            case!(tokens_are_kept);
            case!(events_are_numbered_by_the_store_and_the_last_are_kept);
            case!(a_batch_of_events_is_appended_once);
            case!(an_expiry_is_told_by_the_first_who_finds_it);
            case!(tokens_are_listed_in_order_of_creation_and_page);
            case!(a_revoke_of_a_token_is_idempotent);
            case!(the_last_valid_admin_token_is_not_revoked);
            case!(two_admins_who_revoke_each_other_leave_one);
            case!(registrations_replace_page_and_go_with_their_key);
            case!(last_uses_move_forward_page_and_go_with_their_key);
            case!(agents_replace_page_and_are_forgotten_whole);
            case!(an_edit_of_an_older_state_is_refused_in_its_step);
            case!(changes_since_a_position_are_told_whole_or_not_at_all);
            case!(a_setting_stands_until_it_is_set_again);
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

suite!(redis, {
    let server = crate::support::RedisServer::start();
    let store = server.store(|_| {}).await;
    (server, store)
});

fn gateway(name: &str) -> GatewayInfo {
    GatewayInfo {
        id: GatewayId(Id::random().unwrap()),
        name: name.into(),
        version: "0".into(),
    }
}

fn at(epoch_of: Position, revision: u64, gateway: GatewayId) -> Heartbeat {
    let position = Position {
        revision: Revision(revision),
        ..epoch_of
    };
    Heartbeat {
        gateway,
        position,
        applied: position,
        live_sessions: 3,
        standing: muster::store::Standing::default(),
        outcomes: Vec::new(),
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
    store.clock().set_shift_millis(3 * 24 * 3600 * 1000);
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
    assert!(matches!(loaded.lookup, Lookup::Deleted(_)), "a marker");
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
        store.clock().set_shift_millis(n / 2 * 1_000_000);
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

async fn what_a_revoke_did_is_kept_gateway_by_gateway(store: &dyn Store) {
    let (one, two) = (gateway("one"), gateway("two"));
    let start = store.enrol(one.clone()).await.unwrap();
    store.enrol(two.clone()).await.unwrap();
    let (key, other) = (new_key("").id, new_key("").id);
    let outcome = |key, closing| Outcome {
        key,
        revision: Revision(1),
        closed: 2 - closing,
        closing,
        at: store.clock().now(),
    };
    let tell = async |gateway: &GatewayInfo, outcomes: Vec<Outcome>| {
        let beat = Heartbeat {
            outcomes,
            ..at(start, start.revision.0, gateway.id)
        };
        store.renew(beat).await.unwrap();
    };
    assert!(store.reach(key).await.unwrap().outcomes.is_empty());
    let (standing, done) = (outcome(key, 1), outcome(key, 0));
    tell(&one, vec![standing, outcome(other, 0)]).await;
    tell(&two, vec![standing]).await;
    tell(&one, vec![done]).await;
    tell(&one, Vec::new()).await;
    let mut expected = vec![(one.id, done), (two.id, standing)];
    expected.sort_by_key(|(gateway, _)| *gateway);
    assert_eq!(store.reach(key).await.unwrap().outcomes, expected);
}

async fn a_claim_stands_once_it_is_made(store: &dyn Store) {
    let (one, two) = tokio::join!(store.claim("c", "1"), store.claim("c", "2"));
    let standing = one.unwrap();
    assert_eq!(two.unwrap(), standing);
    assert!(["1", "2"].contains(&standing.as_str()), "{standing}");
    assert_eq!(store.claim("c", "3").await.unwrap(), standing);
    assert_eq!(store.claim("other", "3").await.unwrap(), "3");
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
