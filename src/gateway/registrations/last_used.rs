//! When each key was last used, and what of that is not yet written.
//!
//! Must not know: what a use is. Invariant: a time only moves forward; a key's
//! first use is written with the next batch, later ones coarsely, so that a
//! call of an agent costs no write.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::keys::{KeyId, Timestamp};

/// How old the last sight of a connected agent may get before it is noted anew
/// (less where agents are forgotten sooner), and the stored last use of a key
/// before it is written anew.
pub(super) const SIGHT: Duration = Duration::from_secs(600);

#[derive(Default)]
pub(super) struct LastUses {
    by_key: HashMap<KeyId, Use>,
    dirty: HashSet<KeyId>,
}

struct Use {
    last: Timestamp,
    /// What the store has.
    written: Option<Timestamp>,
}

impl LastUses {
    /// Takes over what is stored.
    pub fn merge(&mut self, key: KeyId, at: Timestamp) {
        let written = Some(at);
        let known = self.by_key.entry(key).or_insert(Use { last: at, written });
        known.last = known.last.max(at);
        known.written = known.written.max(written);
        if known.last == at {
            self.dirty.remove(&key);
        }
    }

    pub fn note(&mut self, key: KeyId, now: Timestamp) {
        let known = self.by_key.entry(key).or_insert(Use {
            last: now,
            written: None,
        });
        known.last = known.last.max(now);
        let is_old = |written| known.last.saturating_since(written) >= SIGHT;
        if known.written.is_none_or(is_old) {
            self.dirty.insert(key);
        }
    }

    pub fn last(&self, key: KeyId) -> Option<Timestamp> {
        self.by_key.get(&key).map(|known| known.last)
    }

    pub fn forget(&mut self, key: KeyId) {
        self.by_key.remove(&key);
        self.dirty.remove(&key);
    }

    /// All that the store does not have to the millisecond is to be written:
    /// nothing will be noted any more.
    pub fn settle(&mut self) {
        let unwritten = |known: &Use| known.written != Some(known.last);
        let keys = self.by_key.iter().filter(|(_, known)| unwritten(known));
        self.dirty.extend(keys.map(|(key, _)| *key));
    }

    /// Up to `limit` that are to be written; they count as written from now on.
    pub fn take_dirty(&mut self, limit: usize) -> Vec<(KeyId, Timestamp)> {
        let keys = super::rows::take(&mut self.dirty, limit);
        let mut taken = Vec::with_capacity(keys.len());
        for key in keys {
            if let Some(known) = self.by_key.get_mut(&key) {
                known.written = Some(known.last);
                taken.push((key, known.last));
            }
        }
        taken
    }

    /// They were not written.
    pub fn put_back(&mut self, uses: &[(KeyId, Timestamp)]) {
        for (key, _) in uses {
            if let Some(known) = self.by_key.get_mut(key) {
                known.written = None;
                self.dirty.insert(*key);
            }
        }
    }
}
