//! Edits of a known state, what changed since then, and settings.

use std::time::Duration;

use muster::keys::{Epoch, Position, Revision};
use muster::store::{Change, ChangeError, KeyEdit, Lookup, Store};

use crate::support::new_key;

fn rename(name: &str, if_revision: Option<Revision>) -> KeyEdit {
    KeyEdit {
        name: Some(name.into()),
        if_revision,
        ..KeyEdit::default()
    }
}

pub async fn an_edit_of_an_older_state_is_refused_in_its_step(store: &dyn Store) {
    let made = store.create(new_key("k")).await.unwrap();
    let (id, first) = (made.change.change.key(), made.change.position.revision);
    store.create(new_key("other")).await.unwrap();
    // Of several who edit one state, one wins.
    let edits = ["a", "b", "c"].map(|name| store.edit(id, rename(name, Some(first))));
    let mut won = Vec::new();
    for result in futures_util::future::join_all(edits).await {
        match result {
            Ok(written) => won.push(written.change.position.revision),
            Err(ChangeError::RevisionMismatch { key, edited, now }) => {
                assert_eq!((key, edited), (id, first));
                assert!(now > first, "the revision that won");
            }
            Err(other) => panic!("{other}"),
        }
    }
    let [now] = won[..] else {
        panic!("{won:?} won");
    };
    // Before any other rule: who does not know of a revoke is told to look again.
    store.revoke(id).await.unwrap();
    let late = KeyEdit {
        expires_at: Some(store.clock().now().saturating_add(Duration::from_secs(9))),
        ..rename("late", Some(now))
    };
    let refused = store.edit(id, late).await;
    assert!(matches!(refused, Err(ChangeError::RevisionMismatch { .. })));
    let Lookup::Present(record) = store.load(id).await.unwrap().lookup else {
        panic!("it is there");
    };
    assert_ne!(record.name, "late");
    let known = rename("known", Some(record.revision));
    store.edit(id, known).await.unwrap();
    store.edit(id, rename("whatever", None)).await.unwrap();
}

pub async fn changes_since_a_position_are_told_whole_or_not_at_all(store: &dyn Store) {
    let (_, begin) = store.gateways().await.unwrap();
    let changes = async |after| store.changes(after).await.unwrap();
    let none = changes(begin).await.unwrap();
    assert_eq!((none.entries.len(), none.position), (0, begin));
    let made = store.create(new_key("k")).await.unwrap();
    let id = made.change.change.key();
    store.revoke(id).await.unwrap();
    store.delete(id).await.unwrap();
    let feed = changes(begin).await.unwrap();
    let told: Vec<_> = feed.entries.iter().map(|entry| &entry.change).collect();
    let [
        Change::Created(_),
        Change::Revoked(_),
        Change::Deleted { key, .. },
    ] = told[..]
    else {
        panic!("{told:?}");
    };
    assert_eq!(*key, id);
    assert_eq!(feed.entries[2].position, feed.position);
    let rest = changes(feed.entries[0].position).await.unwrap();
    assert_eq!(rest.entries.len(), 2);
    // Of another history nothing can be told.
    let elsewhere = Position {
        epoch: Epoch(begin.epoch.0 ^ 1),
        ..begin
    };
    assert!(changes(elsewhere).await.is_none());
}

pub async fn a_setting_stands_until_it_is_set_again(store: &dyn Store) {
    assert_eq!(store.setting("a").await.unwrap(), None);
    assert_eq!(store.set("a", "1").await.unwrap(), None);
    let before = store.set("a", "2").await.unwrap();
    assert_eq!(before.as_deref(), Some("1"));
    assert_eq!(store.setting("a").await.unwrap().as_deref(), Some("2"));
    assert_eq!(store.setting("b").await.unwrap(), None);
    // It is no claim of that name, nor the other way round.
    assert_eq!(store.claim("b", "x").await.unwrap(), "x");
    assert_eq!(store.setting("b").await.unwrap(), None);
}
