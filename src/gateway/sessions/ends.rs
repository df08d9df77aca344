//! How sessions end: with their key, at its expiry, one by one, or by themselves.
//!
//! Must not know: who asks for an end. Locking: as in `registry.rs`; a session is
//! told of its end with no lock held.

use std::collections::hash_map::Entry as MapEntry;
use std::sync::Arc;
use std::time::Instant;

use super::gate::{Gate, KeyEnd, KnownBy, State};
use super::registry::Registry;
use super::session::{End, EndReason, EndedSessions, Scope, Session, SessionId};
use crate::keys::{KeyId, Timestamp};
use crate::metrics::registry::Reason;
use crate::store::EventKind;

/// Sessions ended under one lock of the lists: an end is signalled within a fraction
/// of a millisecond, and no list waits longer.
const TOLD_AT_ONCE: usize = 256;

impl Registry {
    /// Ends a key for good because it was revoked at `at`. `expires_at` is when it
    /// would have expired.
    pub fn end_revoked(
        &self,
        key: KeyId,
        at: Timestamp,
        expires_at: Timestamp,
        known: KnownBy,
    ) -> EndedSessions {
        let reason = EndReason::KeyRevoked { at };
        self.end_key(key, KeyEnd::Revoked(at), expires_at, known, reason)
    }

    /// Ends a key for good because it was deleted; its sessions, if it had
    /// any, too.
    pub fn end_deleted(&self, key: KeyId, expires_at: Timestamp, known: KnownBy) -> EndedSessions {
        let reason = EndReason::KeyDeleted;
        self.end_key(key, KeyEnd::Deleted, expires_at, known, reason)
    }

    fn end_key(
        &self,
        key: KeyId,
        how: KeyEnd,
        expires_at: Timestamp,
        known: KnownBy,
        reason: EndReason,
    ) -> EndedSessions {
        let is_stored = known == KnownBy::Store;
        let (closing, sessions, calls) = {
            let mut gate = self.gates.entry(key).or_insert_with(|| {
                Gate::new(State::Ended {
                    how,
                    expires_at,
                    is_stored,
                    closing: EndedSessions::none(),
                })
            });
            gate.touched = Instant::now();
            gate.forgotten = None;
            match &mut gate.state {
                State::Ended {
                    how: was,
                    expires_at: until,
                    is_stored: was_stored,
                    closing,
                } => {
                    if how == KeyEnd::Deleted {
                        *was = how;
                    }
                    *until = expires_at.max(*until);
                    *was_stored |= is_stored;
                    return closing.clone();
                }
                State::Open { .. } => {}
            }
            let sessions = gate.take_all();
            let calls = std::mem::take(&mut gate.calls);
            let closing = EndedSessions::of(sessions.len());
            gate.state = State::Ended {
                how,
                expires_at,
                is_stored,
                closing: closing.clone(),
            };
            (closing, sessions, calls)
        };
        self.tell(&closing, &sessions, reason);
        for connection in calls.into_values() {
            connection.close(Scope::Connection);
        }
        closing
    }

    /// A new history begins, which may have lost any end: until each is found
    /// there, its gate alone knows.
    pub fn doubt_ends(&self) {
        for mut gate in self.gates.iter_mut() {
            if let State::Ended { is_stored, .. } = &mut gate.state {
                *is_stored = false;
            }
        }
    }

    /// Takes back an end that was not a key's: there is no such key. The gate goes
    /// with the next sweep.
    pub fn no_such_key(&self, key: KeyId) {
        if let Some(mut gate) = self.gates.get_mut(&key)
            && let State::Ended {
                is_stored,
                expires_at,
                ..
            } = &mut gate.state
        {
            *is_stored = true;
            *expires_at = Timestamp::from_millis(0);
        }
    }

    /// Ends sessions that their gate has given up.
    pub(super) fn tell(
        &self,
        closing: &EndedSessions,
        sessions: &[Arc<Session>],
        reason: EndReason,
    ) {
        for sessions in sessions.chunks(TOLD_AT_ONCE) {
            let mut ended = Vec::with_capacity(sessions.len());
            {
                let mut live = self.live.lock();
                for session in sessions {
                    live.remove(session);
                    ended.push((session, closing.end(session, reason)));
                }
            }
            for (session, is_new) in ended {
                if is_new {
                    session.tell();
                } else if reason.scope() == Some(Scope::Connection) {
                    // Its stream was to go for a lesser reason, and may still stand.
                    session.info.connection.close(Scope::Connection);
                }
            }
        }
    }

    /// Ends the sessions of a key whose expiry is past; otherwise does nothing.
    /// `is_proven`: it can't have been extended; else they end because the store
    /// is not heard.
    pub(super) fn expire(&self, key: KeyId, is_proven: bool) -> EndedSessions {
        let now = self.clock().now();
        let mut at = now;
        let sessions = match self.gates.get_mut(&key) {
            Some(mut gate) => match gate.state {
                State::Open { expires_at, .. } if expires_at <= now => {
                    at = expires_at;
                    gate.give_up()
                }
                State::Open { .. } | State::Ended { .. } => Vec::new(),
            },
            None => Vec::new(),
        };
        let closing = EndedSessions::of(sessions.len());
        let reason = match is_proven {
            true => EndReason::KeyExpired { at },
            false => EndReason::StoreNotHeard,
        };
        self.tell(&closing, &sessions, reason);
        closing
    }

    /// Ends the sessions of one key because what became of it can't be read.
    pub fn end_unread(&self, key: KeyId) -> EndedSessions {
        let sessions = self.gates.get_mut(&key);
        let sessions = sessions.map_or_else(Vec::new, |mut gate| gate.give_up());
        let closing = EndedSessions::of(sessions.len());
        self.tell(&closing, &sessions, EndReason::StoreNotHeard);
        closing
    }

    /// The live sessions of a key, counted until their streams close; none is ended.
    pub fn standing(&self, key: KeyId) -> EndedSessions {
        let sessions: Vec<_> = self.gates.get(&key).map_or_else(Vec::new, |gate| {
            gate.live.values().map(Arc::clone).collect()
        });
        let standing = EndedSessions::of(sessions.len());
        for session in sessions {
            standing.count(&session);
        }
        standing
    }

    /// Ends one session; `None` when there is none of that id here.
    pub fn disconnect(&self, id: SessionId) -> Option<EndedSessions> {
        if id.gateway != self.gateway() {
            return None;
        }
        self.end_one(id.number, EndReason::Disconnected)
    }

    /// Ends one session, if it is live, because the store is not heard.
    pub(super) fn end_stale(&self, number: u64) {
        self.end_one(number, EndReason::StoreNotHeard);
    }

    fn end_one(&self, number: u64, reason: EndReason) -> Option<EndedSessions> {
        let session = self.live.lock().get(number).map(Arc::clone)?;
        if let Some(mut gate) = self.gates.get_mut(&session.key)
            && gate.live.remove(&session.number).is_some()
        {
            forget_newest(&mut gate, &session);
            gate.leaving.insert(session.number, Arc::clone(&session));
        }
        let closing = EndedSessions::of(1);
        self.tell(&closing, &[session], reason);
        Some(closing)
    }

    /// Called by the guard's drop: the stream is gone. What a key's end took out of
    /// its gate is not there any more; 10,000 that end at once don't meet there.
    pub(super) fn leave(&self, session: &Session, end: &End) {
        let with_its_key = matches!(
            end.reason,
            EndReason::KeyRevoked { .. } | EndReason::KeyDeleted
        );
        if !(end.by_gateway && with_its_key)
            && let Some(mut gate) = self.gates.get_mut(&session.key)
        {
            gate.live.remove(&session.number);
            gate.leaving.remove(&session.number);
            forget_newest(&mut gate, session);
        }
        if !end.by_gateway {
            self.live.lock().remove(session);
        }
        self.metrics.sessions_live.dec();
        let reason = end.reason.as_str();
        tracing::debug!(
            key = %session.key, agent = %session.info.agent, session = %self.session_id(session.number),
            reason, "session closed"
        );
        let closed = format!("{} {reason}", self.session_id(session.number));
        self.note(
            EventKind::SessionClosed,
            session.key,
            session.info.agent,
            closed,
        );
        let reason = Reason { reason };
        self.metrics.sessions_closed.get_or_create(&reason).inc();
    }
}

/// A late clean-up must not take the session that superseded it.
fn forget_newest(gate: &mut Gate, session: &Session) {
    if let MapEntry::Occupied(newest) = gate.newest.entry(session.info.agent)
        && newest.get().number == session.number
    {
        newest.remove();
    }
}
