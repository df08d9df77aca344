//! The last changes of keys that this gateway saw or made, whatever became of
//! the store since.
//!
//! Must not know: the store, gates. Invariant: bounded; one change a key, the
//! last one, but nothing takes the place of a key's end, and only a delete that
//! of a revoke.

use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};

use crate::keys::{KeyId, KeyRecord};
use crate::store::Change;

/// Keys whose last change is kept.
const KEPT: usize = 10_000;

/// The last changes.
#[derive(Default)]
pub(super) struct RecentChanges {
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    changes: HashMap<KeyId, (u64, Change)>,
    /// The keys of `changes` by when they changed, oldest first.
    order: BTreeMap<u64, KeyId>,
    next: u64,
}

impl RecentChanges {
    /// Keeps a change, and drops the oldest where there are too many.
    pub fn note(&self, change: &Change) {
        let mut memory = self.memory.lock();
        let key = change.key();
        let number = memory.next;
        memory.next += 1;
        let kept = match memory.changes.remove(&key) {
            Some((before, old)) => {
                memory.order.remove(&before);
                later(old, change)
            }
            None => change.clone(),
        };
        memory.changes.insert(key, (number, kept));
        memory.order.insert(number, key);
        if memory.changes.len() > KEPT
            && let Some((_, oldest)) = memory.order.pop_first()
        {
            memory.changes.remove(&oldest);
        }
    }

    /// The last change of a key.
    pub fn of(&self, key: KeyId) -> Option<Change> {
        let memory = self.memory.lock();
        memory.changes.get(&key).map(|(_, change)| change.clone())
    }

    /// A key as its last change left it, unless that deleted it.
    pub fn record(&self, key: KeyId) -> Option<KeyRecord> {
        match self.of(key)? {
            Change::Created(record) | Change::Edited(record) | Change::Revoked(record) => {
                Some(record)
            }
            Change::Deleted { .. } => None,
        }
    }

    /// All that is kept.
    pub fn all(&self) -> Vec<Change> {
        let memory = self.memory.lock();
        let changes = memory.changes.values();
        changes.map(|(_, change)| change.clone()).collect()
    }
}

/// What is kept of two changes of one key.
fn later(old: Change, new: &Change) -> Change {
    let deletes = matches!(new, Change::Deleted { .. });
    if deletes || !is_end(&old) || (is_end(new) && !matches!(old, Change::Deleted { .. })) {
        new.clone()
    } else {
        old
    }
}

/// Whether it says that the key has ended for good.
pub(super) fn is_end(change: &Change) -> bool {
    match change {
        Change::Created(record) | Change::Edited(record) | Change::Revoked(record) => {
            record.revoked_at.is_some()
        }
        Change::Deleted { .. } => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Digest, Id, Revision, Timestamp};

    fn record(number: usize) -> KeyRecord {
        let at = Timestamp::from_millis(0);
        KeyRecord {
            namespace: "default".into(),
            id: KeyId(Id::parse(&format!("{number:016}")).unwrap()),
            name: "k".into(),
            digest: Digest::DUMMY,
            created_at: at,
            modified_at: at,
            expires_at: at,
            revoked_at: None,
            revision: Revision(1),
        }
    }

    fn revoked(number: usize, name: &str) -> KeyRecord {
        KeyRecord {
            revoked_at: Some(Timestamp::from_millis(9)),
            name: name.into(),
            ..record(number)
        }
    }

    fn deleted(number: usize) -> Change {
        Change::Deleted {
            key: record(number).id,
            expires_at: Timestamp::from_millis(0),
        }
    }

    #[test]
    fn an_end_stays() {
        let recent = RecentChanges::default();
        let last = || recent.of(record(1).id).unwrap();
        recent.note(&Change::Created(record(1)));
        recent.note(&Change::Revoked(revoked(1, "a")));
        recent.note(&Change::Edited(record(1)));
        assert!(is_end(&last()), "a late edit does not un-revoke");
        recent.note(&Change::Edited(revoked(1, "b")));
        assert!(
            matches!(last(), Change::Edited(r) if r.name == "b"),
            "its name may change"
        );
        recent.note(&deleted(1));
        recent.note(&Change::Revoked(revoked(1, "c")));
        assert!(matches!(last(), Change::Deleted { .. }));
        assert_eq!(recent.all().len(), 1);
    }

    #[test]
    fn the_oldest_goes_first() {
        let recent = RecentChanges::default();
        for number in 0..KEPT {
            recent.note(&Change::Created(record(number)));
        }
        recent.note(&Change::Edited(record(0)));
        recent.note(&deleted(KEPT));
        recent.note(&deleted(KEPT + 1));
        assert_eq!(recent.all().len(), KEPT);
        for (number, kept) in [(0, true), (1, false), (2, false), (3, true), (KEPT, true)] {
            assert_eq!(recent.of(record(number).id).is_some(), kept, "{number}");
        }
    }
}
