//! Ends of keys that a store lost and gets back, and a store without keys.

use muster::keys::{KeyRecord, Timestamp};
use muster::store::{Change, ChangeError, KeyChange, Lookup, NewKey, Store, Written};

use crate::support::new_key;

async fn create(store: &dyn Store, key: NewKey) -> KeyRecord {
    match store.create(key).await.unwrap().change.change {
        Change::Created(record) => record,
        other => panic!("{other:?}"),
    }
}

fn revoked(record: KeyRecord) -> Change {
    Change::Revoked(KeyRecord {
        revoked_at: Some(Timestamp::from_millis(1_234)),
        ..record
    })
}

async fn written(store: &dyn Store, end: &Change, is_new: bool) -> KeyChange {
    let Written {
        change,
        is_new: was,
        ..
    } = store.reassert(end.clone()).await.unwrap();
    assert_eq!(was, is_new, "{change:?}");
    change
}

pub async fn a_lost_revoke_is_written_again_as_it_was(store: &dyn Store) {
    let there = create(store, new_key("there")).await;
    let mut gone = create(store, new_key("gone")).await;
    gone.id = new_key("another").id;
    for record in [there, gone] {
        let end = revoked(record.clone());
        let first = written(store, &end, true).await;
        // By another gateway, which saw it too.
        let again = written(store, &end, false).await;
        assert_eq!(again.position, first.position);
        let Lookup::Present(found) = store.load(record.id).await.unwrap().lookup else {
            panic!("not there");
        };
        assert_eq!(found.revoked_at, Some(Timestamp::from_millis(1_234)));
        assert_eq!((found.name, found.digest), (record.name, record.digest));
        assert_eq!(found.revision, first.position.revision);
        let listed = store.list(None, 9).await.unwrap().records;
        assert!(listed.iter().any(|key| key.id == record.id));
    }
}

pub async fn a_lost_delete_is_written_again(store: &dyn Store) {
    let record = create(store, new_key("k")).await;
    let end = Change::Deleted {
        key: record.id,
        expires_at: record.expires_at,
    };
    let first = written(store, &end, true).await;
    let again = written(store, &end, false).await;
    assert_eq!(again.position, first.position);
    // Who saw only its revoke does not bring it back.
    let late = written(store, &revoked(record.clone()), false).await;
    assert!(matches!(late.change, Change::Deleted { .. }));
    let lookup = store.load(record.id).await.unwrap().lookup;
    assert!(matches!(lookup, Lookup::Deleted(_)), "{lookup:?}");
    assert!(store.list(None, 9).await.unwrap().records.is_empty());

    let nothing = Change::Deleted {
        key: new_key("never").id,
        expires_at: record.expires_at,
    };
    let refused = store.reassert(nothing).await;
    assert!(matches!(refused, Err(ChangeError::NotFound(_))));
    let other = create(store, new_key("valid")).await;
    let no_end = store.reassert(Change::Edited(other)).await;
    assert!(matches!(no_end, Err(ChangeError::Store(_))), "{no_end:?}");
}

pub async fn a_store_tells_whether_it_ever_had_a_key(store: &dyn Store) {
    let unknown = new_key("unknown").id;
    let had_keys = async || store.load(unknown).await.unwrap().had_keys;
    assert!(!had_keys().await);
    let record = create(store, new_key("k")).await;
    assert!(had_keys().await);
    store.revoke(record.id).await.unwrap();
    store.delete(record.id).await.unwrap();
    assert!(had_keys().await, "all are deleted: it knows what it says");
}
