//! What final changes did on this gateway, until the store has it.
//!
//! Must not know: its readers. Invariant: what was not reported, or has changed
//! since, is reported again; a key that is done and reported is forgotten.

use parking_lot::Mutex;
use std::collections::BTreeMap;

use futures_util::FutureExt;
use futures_util::future::select_all;

use crate::gateway::sessions::EndedSessions;
use crate::keys::{KeyId, Revision};
use crate::store::{Outcome, StoreClock};

/// The final changes whose outcome is still to be reported.
pub(super) struct Outcomes {
    clock: StoreClock,
    entries: Mutex<BTreeMap<KeyId, Entry>>,
}

/// Outcomes in one heartbeat: a script that holds up all others for a millisecond.
const TOLD_AT_ONCE: usize = 200;

struct Entry {
    revision: Revision,
    closing: EndedSessions,
    /// Sessions that stood when it was reported last; `None`: it was not.
    told: Option<usize>,
}

impl Outcomes {
    pub fn new(clock: StoreClock) -> Self {
        Self {
            clock,
            entries: Mutex::default(),
        }
    }

    /// A final change was applied and ended those sessions.
    pub fn note(&self, key: KeyId, revision: Revision, closing: EndedSessions) {
        let entry = Entry {
            revision,
            closing,
            told: None,
        };
        self.entries.lock().insert(key, entry);
    }

    /// What is to be reported, the oldest first; and, where that is not all, the
    /// revision before the first that is left.
    pub fn news(&self) -> (Vec<Outcome>, Option<Revision>) {
        let at = self.clock.now();
        let entries = self.entries.lock();
        let untold = entries
            .iter()
            .map(|(key, entry)| (key, entry, entry.closing.open()));
        let mut news: Vec<_> = untold
            .filter(|(_, entry, open)| entry.told != Some(*open))
            .map(|(key, entry, open)| Outcome {
                key: *key,
                revision: entry.revision,
                closed: (entry.closing.total() - open) as u64,
                closing: open as u64,
                at,
            })
            .collect();
        news.sort_unstable_by_key(|outcome| outcome.revision);
        let left = news.get(TOLD_AT_ONCE).map(|outcome| outcome.revision);
        news.truncate(TOLD_AT_ONCE);
        (
            news,
            left.map(|Revision(left)| Revision(left.saturating_sub(1))),
        )
    }

    /// The store has it.
    pub fn told(&self, news: &[Outcome]) {
        let mut entries = self.entries.lock();
        for outcome in news {
            let Some(entry) = entries.get_mut(&outcome.key) else {
                continue;
            };
            if entry.revision != outcome.revision {
                continue;
            }
            entry.told = usize::try_from(outcome.closing).ok();
            if outcome.closing == 0 {
                entries.remove(&outcome.key);
            }
        }
    }

    /// Returns when there is something worth telling at once: a change that was
    /// not reported, or whose last session has closed.
    pub async fn pressing(&self) {
        let standing: Vec<_> = {
            let entries = self.entries.lock();
            if entries.values().any(|entry| entry.told.is_none()) {
                return;
            }
            let closings = entries.values().map(|entry| entry.closing.clone());
            closings
                .map(|closing| async move { closing.closed().await }.boxed())
                .collect()
        };
        if standing.is_empty() {
            std::future::pending::<()>().await;
        }
        select_all(standing).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Id, KeyId};

    #[test]
    fn a_heartbeat_carries_some_and_the_next_ones_the_rest() {
        let outcomes = Outcomes::new(StoreClock::default());
        let count = 3 * TOLD_AT_ONCE + 1;
        for _ in 0..count {
            let key = KeyId(Id::random().unwrap());
            outcomes.note(key, Revision(1), EndedSessions::none());
        }
        let mut told = 0;
        loop {
            let (news, _) = outcomes.news();
            assert!(news.len() <= TOLD_AT_ONCE);
            if news.is_empty() {
                break;
            }
            outcomes.told(&news);
            told += news.len();
        }
        assert_eq!(told, count);
    }
}
