//! All keys at once, for lists that filter and sort, and for questions by name.
//!
//! Invariant: a list is what the store had when it was asked: what changed
//! since the last time is read from the feed, or all where that is not possible.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use tokio::sync::Mutex;

use crate::keys::{KeyId, KeyRecord, Position};
use crate::store::{Change, FeedStore, KeyCursor, StoreError};

/// Rows read at a time.
const PAGE: usize = 1_000;

/// All keys, in the order of their creation, by their id and by their name.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    by_place: BTreeMap<KeyCursor, Arc<KeyRecord>>,
    place_of: HashMap<KeyId, KeyCursor>,
    by_name: BTreeMap<String, BTreeSet<KeyCursor>>,
    unreadable: BTreeSet<KeyId>,
}

impl Keys {
    /// In the order of their creation.
    pub fn values(&self) -> impl Iterator<Item = &Arc<KeyRecord>> + Clone {
        self.by_place.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_place.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_place.is_empty()
    }

    /// Those of exactly this name after `after`, in order of creation.
    pub fn named(
        &self,
        name: &str,
        after: Option<KeyCursor>,
    ) -> impl Iterator<Item = &Arc<KeyRecord>> {
        let places = self.by_name.get(name).into_iter().flatten();
        places
            .filter(move |place| after.is_none_or(|after| **place > after))
            .filter_map(|place| self.by_place.get(place))
    }

    /// Those whose record could not be read when all were.
    pub fn unreadable(&self) -> impl Iterator<Item = &KeyId> {
        self.unreadable.iter()
    }

    fn insert(&mut self, record: KeyRecord) {
        self.remove(record.id);
        let places = self.by_name.entry(record.name.clone()).or_default();
        let place = place(&record);
        places.insert(place);
        self.place_of.insert(record.id, place);
        self.by_place.insert(place, Arc::new(record));
    }

    fn remove(&mut self, id: KeyId) {
        self.unreadable.remove(&id);
        let Some(place) = self.place_of.remove(&id) else {
            return;
        };
        let Some(old) = self.by_place.remove(&place) else {
            return;
        };
        if let Some(places) = self.by_name.get_mut(&old.name) {
            places.remove(&place);
            if places.is_empty() {
                self.by_name.remove(&old.name);
            }
        }
    }
}

fn place(record: &KeyRecord) -> KeyCursor {
    KeyCursor {
        created_at: record.created_at,
        id: record.id,
    }
}

/// The rows of the last list.
#[derive(Default)]
pub(super) struct Listing {
    last: Mutex<Option<Rows>>,
}

struct Rows {
    /// All changes up to here are in.
    position: Position,
    keys: Arc<Keys>,
}

impl Listing {
    pub async fn all(&self, store: &dyn FeedStore) -> Result<Arc<Keys>, StoreError> {
        // One reads for all callers at once.
        let mut last = self.last.lock().await;
        if let Some(mut rows) = last.take()
            && rows.catch_up(store).await?
        {
            return Ok(Arc::clone(&last.insert(rows).keys));
        }
        let rows = Rows::read(store).await?;
        Ok(Arc::clone(&last.insert(rows).keys))
    }
}

impl Rows {
    async fn read(store: &dyn FeedStore) -> Result<Self, StoreError> {
        // Asked before the rows are read: a change that is in a row already is
        // taken in once more, and none is left out.
        let (_, position) = store.gateways().await?;
        let mut keys = Keys::default();
        let mut after = None;
        loop {
            let page = store.list(after, PAGE).await?;
            if !page.unreadable.is_empty() {
                tracing::error!(keys = ?page.unreadable, "damaged records: these keys admit nobody");
            }
            page.records
                .into_iter()
                .for_each(|record| keys.insert(record));
            keys.unreadable.extend(page.unreadable);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Ok(Self {
            position,
            keys: Arc::new(keys),
        })
    }

    /// Takes in what changed; false: the feed does not reach back so far.
    async fn catch_up(&mut self, store: &dyn FeedStore) -> Result<bool, StoreError> {
        loop {
            let Some(feed) = store.changes(self.position).await? else {
                return Ok(false);
            };
            let Some(last) = feed.entries.last().map(|entry| entry.position) else {
                return Ok(true);
            };
            // Copied only while a list still looks at it.
            let keys = Arc::make_mut(&mut self.keys);
            for entry in feed.entries {
                match entry.change {
                    Change::Created(record) | Change::Edited(record) | Change::Revoked(record) => {
                        keys.insert(record);
                    }
                    Change::Deleted { key, .. } => {
                        keys.remove(key);
                    }
                }
            }
            self.position = last;
            if last.revision >= feed.position.revision {
                return Ok(true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Kind, mint};
    use crate::store::embedded::EmbeddedStore;
    use crate::store::{KeyEdit, KeyStore, NewKey};

    async fn create(store: &EmbeddedStore, name: &str) -> KeyId {
        let minted = mint(Kind::DataPlaneKey).unwrap();
        let id = KeyId(minted.id);
        let key = NewKey {
            id,
            digest: minted.digest,
            name: name.into(),
            expires_at: None,
        };
        store.create(key).await.unwrap();
        id
    }

    #[tokio::test]
    async fn names_follow_what_changes() {
        let store = EmbeddedStore::in_memory().unwrap();
        let listing = Listing::default();
        let named = async |name: &str| {
            let all = listing.all(&store).await.unwrap();
            let ids: Vec<_> = all.named(name, None).map(|key| key.id).collect();
            ids
        };
        let (one, two) = (create(&store, "web").await, create(&store, "web").await);
        let both = BTreeSet::from([one, two]);
        assert_eq!(
            named("web").await.into_iter().collect::<BTreeSet<_>>(),
            both
        );
        let first = named("web").await[0];
        let all = listing.all(&store).await.unwrap();
        let after = all.named("web", None).next().map(|key| place(key));
        let rest: Vec<_> = all.named("web", after).map(|key| key.id).collect();
        assert_eq!(rest.len(), 1);
        assert!(!rest.contains(&first));
        let edit = KeyEdit {
            name: Some("mail".into()),
            ..KeyEdit::default()
        };
        store.edit(one, edit).await.unwrap();
        assert_eq!(
            (named("web").await, named("mail").await),
            (vec![two], vec![one])
        );
        store.revoke(two).await.unwrap();
        let all = listing.all(&store).await.unwrap();
        assert!(all.named("web", None).next().unwrap().revoked_at.is_some());
        store.delete(two).await.unwrap();
        assert!(named("web").await.is_empty() && named("never").await.is_empty());
        assert_eq!(listing.all(&store).await.unwrap().len(), 1);
    }
}
