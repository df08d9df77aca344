//! One key's gate: what it has seen of the key, who is live behind it, and the
//! decision on a principal.
//!
//! Must not know: locks, other keys. Invariant: an ended gate stays ended and
//! has no live session.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::session::{Closing, Slot};
use crate::gateway::auth::Principal;
use crate::keys::{Position, Timestamp};

/// How a key ended. Final: never a number that another history could outrank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Final {
    /// Revoked at that time.
    Revoked(Timestamp),
    /// Deleted.
    Deleted,
}

/// Why a session or a call is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AdmitError {
    /// The key has ended.
    #[error("the key has ended")]
    Ended(Final),
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
    pub live: HashMap<u64, Arc<Slot>>,
    /// The newest session of each agent.
    pub newest: HashMap<Uuid, Newest>,
    pub touched: Instant,
}

/// An agent's newest session, and how it came about.
pub(super) struct Newest {
    pub number: u64,
    /// When it took the place of a session from another address, lately.
    fights: Vec<Instant>,
    told: Option<Instant>,
}

/// What becomes of an agent's older session when a newer one comes.
pub(super) enum Older {
    /// There is none.
    None,
    /// It ends.
    Superseded(Arc<Slot>),
    /// It stays, too: two agents of one id fight. To be told now and then.
    Stays { tell: bool },
}

/// So many times within [`FIGHT`] an agent's session may move from address to
/// address before both are left alone.
const MOVES: usize = 3;
const FIGHT: Duration = Duration::from_secs(300);

/// Open, or ended for good.
pub(super) enum State {
    Open {
        seen: Position,
        expires_at: Timestamp,
    },
    Ended {
        how: Final,
        guard_until: Timestamp,
        /// Sessions closed by this end. Returned again if the same change is applied
        /// twice.
        closing: Closing,
    },
}

/// What a gate says to a principal that may pass.
pub(super) struct Pass {
    pub expires_at: Timestamp,
    /// The principal knew something newer than the gate.
    pub learned: bool,
}

impl Gate {
    pub fn new(state: State) -> Self {
        Self {
            state,
            live: HashMap::new(),
            newest: HashMap::new(),
            touched: Instant::now(),
        }
    }

    pub fn open(principal: &Principal) -> Self {
        Self::new(State::Open {
            seen: principal.position(),
            expires_at: principal.expires_at(),
        })
    }

    /// The decision on a principal, which may teach the gate something newer.
    pub fn judge(&mut self, principal: &Principal, now: Timestamp) -> Result<Pass, AdmitError> {
        let (seen, expires_at) = match &mut self.state {
            State::Ended { how, .. } => return Err(AdmitError::Ended(*how)),
            State::Open { seen, expires_at } => (seen, expires_at),
        };
        let position = principal.position();
        if position.epoch != seen.epoch || position.revision < seen.revision {
            return Err(AdmitError::Stale);
        }
        let learned = position.revision > seen.revision;
        if learned {
            *seen = position;
            *expires_at = principal.expires_at();
            self.touched = Instant::now();
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
    pub fn insert(&mut self, slot: &Arc<Slot>) -> Older {
        self.live.insert(slot.number, Arc::clone(slot));
        let agent = slot.info.agent;
        let Some(newest) = self.newest.get_mut(&agent) else {
            self.newest.insert(
                agent,
                Newest {
                    number: slot.number,
                    fights: Vec::new(),
                    told: None,
                },
            );
            return Older::None;
        };
        let older = std::mem::replace(&mut newest.number, slot.number);
        let Some(older_slot) = self.live.get(&older) else {
            return Older::None;
        };
        if older_slot.info.peer.ip() != slot.info.peer.ip() {
            newest.fights.retain(|fight| fight.elapsed() < FIGHT);
            newest.fights.push(Instant::now());
            if newest.fights.len() > MOVES {
                let tell = newest.told.is_none_or(|told| told.elapsed() >= FIGHT);
                if tell {
                    newest.told = Some(Instant::now());
                }
                return Older::Stays { tell };
            }
        }
        self.live
            .remove(&older)
            .map_or(Older::None, Older::Superseded)
    }

    /// All live sessions, the oldest first, which it then has no more. In the map's
    /// order 10,000 ends take a third longer (docs/performance.md): neighbours in
    /// time are neighbours in memory.
    pub fn take_sessions(&mut self) -> Vec<Arc<Slot>> {
        self.newest.clear();
        let mut slots: Vec<_> = self.live.drain().map(|(_, slot)| slot).collect();
        slots.sort_unstable_by_key(|slot| slot.number);
        slots
    }
}
