//! One key's gate: what it has seen of the key, its live sessions, and the
//! decision on a principal.
//!
//! Must not know: locks, other keys. Invariant: an ended gate stays ended and
//! has no live session.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::session::{CloseConnection, EndedSessions, Session};
use crate::gateway::auth::Principal;
use crate::keys::{Position, Timestamp};

/// How a key ended. It is final: never a number that another history could outrank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyEnd {
    /// Revoked at that time.
    Revoked(Timestamp),
    Deleted,
}

/// Who else knows of a key's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KnownBy {
    /// The store: the gate may go once no older principal can come.
    Store,
    /// Nobody yet: the gate stays until the key has expired.
    ThisGateway,
}

/// Why a session or a call is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AdmitError {
    /// The key has ended.
    #[error("the key has ended")]
    Ended(KeyEnd),
    /// The gate knows more than the principal: authenticate again, past the
    /// cache.
    #[error("the key changed since it was verified")]
    Stale,
    /// The key has expired.
    #[error("the key expired at {0}")]
    Expired(Timestamp),
}

/// What stands between a key and its sessions.
pub(super) struct Gate {
    pub state: State,
    pub live: HashMap<u64, Arc<Session>>,
    /// Sessions that were ended for another reason than the key's end, and whose
    /// stream still stands: the key's end waits for them, too.
    pub leaving: HashMap<u64, Arc<Session>>,
    /// Connections of calls that take long: the key's end cuts them, too.
    pub calls: HashMap<u64, Arc<dyn CloseConnection>>,
    /// The newest session of each agent.
    pub newest: HashMap<Uuid, Newest>,
    pub touched: Instant,
    /// Since when no cache has what it had of the key.
    pub forgotten: Option<Instant>,
}

/// An agent's newest session, and how it came about.
pub(super) struct Newest {
    pub number: u64,
    /// When it last took the place of a session from another address: the latest
    /// `MOVES + 1` times alone, since two clones may fight for as long as they live.
    address_changes: Vec<Instant>,
    told: Option<Instant>,
}

/// What becomes of an agent's older session when a newer one comes.
pub(super) enum PreviousSession {
    None,
    Superseded(Arc<Session>),
    /// It stays, too: two agents have one id. To be reported now and then.
    Stays {
        tell: bool,
    },
}

/// Moves of an agent's session within [`ADDRESS_CHANGES_WITHIN`] from address to
/// address before both are left alone.
const MOVES: usize = 3;
const ADDRESS_CHANGES_WITHIN: Duration = Duration::from_secs(300);

/// Open, or ended for good.
pub(super) enum State {
    Open {
        seen: Position,
        expires_at: Timestamp,
    },
    Ended {
        how: KeyEnd,
        /// When the key would have expired, as far as is known.
        expires_at: Timestamp,
        /// The store has it. Until then nothing but this gate knows.
        is_stored: bool,
        /// Sessions closed by this end. Returned again if the same change is applied
        /// twice.
        closing: EndedSessions,
    },
}

/// What a gate says to a principal that may pass.
pub(super) struct Pass {
    pub expires_at: Timestamp,
    /// The principal knew something newer than the gate.
    pub learned: bool,
}

impl Newest {
    fn new(number: u64) -> Self {
        Self {
            number,
            address_changes: Vec::new(),
            told: None,
        }
    }

    /// Notes a move to another address, and says whether that is one too many.
    fn moves_too_often(&mut self, now: Instant) -> bool {
        let lately = |at: &Instant| now.duration_since(*at) < ADDRESS_CHANGES_WITHIN;
        self.address_changes.retain(lately);
        if self.address_changes.len() > MOVES {
            self.address_changes.remove(0);
        }
        self.address_changes.push(now);
        self.address_changes.len() > MOVES
    }

    /// Whether the fight was not reported lately; from now on it was.
    fn is_to_be_told(&mut self, now: Instant) -> bool {
        let tell = self
            .told
            .is_none_or(|told| now.duration_since(told) >= ADDRESS_CHANGES_WITHIN);
        if tell {
            self.told = Some(now);
        }
        tell
    }
}

impl Gate {
    pub fn new(state: State) -> Self {
        Self {
            state,
            live: HashMap::new(),
            leaving: HashMap::new(),
            calls: HashMap::new(),
            newest: HashMap::new(),
            touched: Instant::now(),
            forgotten: None,
        }
    }

    /// Whether it may go once nothing older than it can come.
    pub fn guards_nothing(&self, now: Timestamp) -> bool {
        let is_empty = self.live.is_empty() && self.leaving.is_empty() && self.calls.is_empty();
        is_empty
            && match self.state {
                // The store has it: from now on every load says no.
                State::Ended {
                    is_stored,
                    expires_at,
                    ..
                } => is_stored || expires_at <= now,
                State::Open { .. } => true,
            }
    }

    pub fn open(principal: &Principal) -> Self {
        Self::new(State::Open {
            seen: principal.position(),
            expires_at: principal.expires_at(),
        })
    }

    /// The decision on a principal, which may teach the gate something newer.
    /// `is_current`: it is of the history that counts.
    pub fn check(
        &mut self,
        principal: &Principal,
        is_current: bool,
        now: Timestamp,
    ) -> Result<Pass, AdmitError> {
        let (seen, expires_at) = match &mut self.state {
            State::Ended { how, .. } => return Err(AdmitError::Ended(*how)),
            State::Open { seen, expires_at } => (seen, expires_at),
        };
        let position = principal.position();
        // What is current was read from the store since the gate saw the older
        // history; an end that the store had lost has closed the gate before.
        let is_later_history = position.epoch != seen.epoch && is_current;
        let learned = is_later_history || position.revision > seen.revision;
        let is_of_another = position.epoch != seen.epoch && !is_later_history;
        if is_of_another || (!learned && position.revision < seen.revision) {
            return Err(AdmitError::Stale);
        }
        if learned {
            *seen = position;
            *expires_at = principal.expires_at();
            self.touched = Instant::now();
            self.forgotten = None;
        }
        if now >= *expires_at {
            return Err(AdmitError::Expired(*expires_at));
        }
        Ok(Pass {
            expires_at: *expires_at,
            learned,
        })
    }

    /// Takes a session in; says what becomes of the same agent's older one.
    pub fn insert(&mut self, session: &Arc<Session>) -> PreviousSession {
        self.live.insert(session.number, Arc::clone(session));
        let agent = session.info.agent;
        let Some(newest) = self.newest.get_mut(&agent) else {
            self.newest.insert(agent, Newest::new(session.number));
            return PreviousSession::None;
        };
        let older = std::mem::replace(&mut newest.number, session.number);
        let Some(previous) = self.live.get(&older) else {
            return PreviousSession::None;
        };
        if previous.info.peer.ip() != session.info.peer.ip() {
            let now = Instant::now();
            if newest.moves_too_often(now) {
                return PreviousSession::Stays {
                    tell: newest.is_to_be_told(now),
                };
            }
        }
        let Some(older) = self.live.remove(&older) else {
            return PreviousSession::None;
        };
        self.leaving.insert(older.number, Arc::clone(&older));
        PreviousSession::Superseded(older)
    }

    /// All sessions whose stream stands, the live ones first, which it then has no
    /// more.
    pub fn take_all(&mut self) -> Vec<Arc<Session>> {
        let leaving: Vec<_> = self.leaving.drain().map(|(_, session)| session).collect();
        let mut sessions = self.take_sessions();
        sessions.extend(leaving);
        sessions
    }

    /// The live sessions, which go though the key has not ended.
    pub fn give_up(&mut self) -> Vec<Arc<Session>> {
        let sessions = self.take_sessions();
        let leaving = sessions
            .iter()
            .map(|session| (session.number, Arc::clone(session)));
        self.leaving.extend(leaving);
        sessions
    }

    /// All live sessions, the oldest first, which it then has no more. In the map's
    /// order 10,000 ends take a third longer (docs/performance.md): neighbours in
    /// time are neighbours in memory.
    fn take_sessions(&mut self) -> Vec<Arc<Session>> {
        self.newest.clear();
        let mut sessions: Vec<_> = self.live.drain().map(|(_, session)| session).collect();
        sessions.sort_unstable_by_key(|session| session.number);
        sessions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fight_of_clones_is_remembered_by_its_latest_moves_alone() {
        let mut newest = Newest::new(1);
        let began = Instant::now();
        for step in 0..10_000 {
            let now = began + Duration::from_millis(step);
            let fights = newest.moves_too_often(now);
            assert_eq!(fights, step >= MOVES as u64, "move {step}");
            assert_eq!(fights && newest.is_to_be_told(now), step == MOVES as u64);
            assert!(newest.address_changes.len() <= MOVES + 1, "move {step}");
        }
        let later = began + Duration::from_secs(10) + ADDRESS_CHANGES_WITHIN;
        assert!(!newest.moves_too_often(later), "the fight is over");
        assert_eq!(newest.address_changes, [later]);
    }
}
