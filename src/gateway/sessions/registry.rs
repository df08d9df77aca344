//! The gates: the one place where admits and changes of a key meet.
//!
//! Locking: a gate's entry is never held while another lock is taken, while a
//! session is ended, or across an await; there is no `async fn` here.

use std::collections::hash_map::Entry as MapEntry;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use parking_lot::Mutex;
use uuid::Uuid;

use super::deadlines::Deadlines;
use super::gate::{AdmitError, Gate, KeyEnd, Pass, PreviousSession, State};
use super::guard::SessionGuard;
use super::index::SessionIndex;
use super::session::{EndReason, EndedSessions, Session, SessionId, SessionInfo};
use crate::gateway::auth::Principal;
use crate::gateway::events::Events;
use crate::keys::{KeyId, Position, Timestamp};
use crate::metrics::registry::{Metrics, Reason};
use crate::store::{Change, EventKind, GatewayId, KeyChange, StoreClock};

/// Sessions ended under one lock of the lists: an end is signalled within a fraction
/// of a millisecond, and no list waits longer.
const TOLD_AT_ONCE: usize = 256;

/// Settings of the registry.
#[derive(Debug, Clone)]
pub struct RegistryOptions {
    /// This gateway's id.
    pub gateway: GatewayId,
    /// How long a gate without sessions remembers an edit, and how old a
    /// principal may be. Longer than the longest load and handshake together.
    pub memory: Duration,
}

/// All gates and live sessions of this gateway.
pub struct Registry {
    options: RegistryOptions,
    pub(super) gates: DashMap<KeyId, Gate>,
    /// Every session that was not ended, for lists. Behind the gates' back: the
    /// gates alone decide.
    pub(super) live: Mutex<SessionIndex>,
    last_number: AtomicU64,
    /// Only by [`Self::skip_gates`].
    gates_skipped: AtomicBool,
    deadlines: Deadlines,
    clock: StoreClock,
    metrics: Arc<Metrics>,
    events: Arc<Events>,
}

impl Registry {
    /// A registry without sessions.
    pub fn new(
        options: RegistryOptions,
        clock: StoreClock,
        metrics: Arc<Metrics>,
        events: Arc<Events>,
    ) -> Self {
        Self {
            options,
            gates: DashMap::new(),
            live: Mutex::default(),
            last_number: AtomicU64::new(0),
            gates_skipped: AtomicBool::new(false),
            deadlines: Deadlines::default(),
            clock,
            metrics,
            events,
        }
    }

    /// The store's clock.
    pub fn clock(&self) -> &StoreClock {
        &self.clock
    }

    /// This gateway's id.
    pub fn gateway(&self) -> GatewayId {
        self.options.gateway
    }

    pub(super) fn deadlines(&self) -> &Deadlines {
        &self.deadlines
    }

    pub(super) fn session_id(&self, number: u64) -> SessionId {
        SessionId {
            gateway: self.options.gateway,
            number,
        }
    }

    /// Lets a session in, or says why not. Another session of the same agent
    /// under the same key ends: superseded.
    ///
    /// # Errors
    /// [`AdmitError`].
    pub fn admit(
        self: &Arc<Self>,
        principal: &Principal,
        info: SessionInfo,
    ) -> Result<SessionGuard, AdmitError> {
        if principal.age() > self.options.memory {
            return Err(AdmitError::Stale);
        }
        let now = self.clock.now();
        let number = self.last_number.fetch_add(1, Ordering::Relaxed) + 1;
        let session = Arc::new(Session::new(number, principal.key(), now, info));
        let (expires_at, older) = {
            let mut gate = self
                .gates
                .entry(principal.key())
                .or_insert_with(|| Gate::open(principal));
            let pass = self.check(&mut gate, principal, now)?;
            (pass.expires_at, gate.insert(&session))
        };
        {
            let mut live = self.live.lock();
            if !session.has_ended() {
                live.insert(Arc::clone(&session));
            }
        }
        self.metrics.sessions_live.inc();
        self.metrics.sessions_opened.inc();
        self.deadlines.arm(principal.key(), expires_at);
        let guard = SessionGuard {
            registry: Arc::clone(self),
            session,
        };
        let (key, agent, peer) = (
            guard.key(),
            guard.session.info.agent,
            guard.session.info.peer,
        );
        let opened = format!("{} from {peer}", guard.id());
        self.note(EventKind::SessionOpened, key, agent, opened);
        match older {
            PreviousSession::Superseded(older) => {
                self.tell(&EndedSessions::of(1), &[older], EndReason::Superseded);
            }
            PreviousSession::Stays { tell: true } => {
                let detail = format!(
                    "again from another address, now {peer}: are two hosts clones of one another? both sessions stay"
                );
                self.note(EventKind::DuplicateAgent, key, agent, detail);
            }
            PreviousSession::Stays { tell: false } | PreviousSession::None => {}
        }
        Ok(guard)
    }

    /// The decision of [`Self::admit`] without a session, for unary calls.
    ///
    /// # Errors
    /// [`AdmitError`].
    pub fn check_gate(&self, principal: &Principal) -> Result<(), AdmitError> {
        if principal.age() > self.options.memory {
            return Err(AdmitError::Stale);
        }
        let now = self.clock.now();
        let pass = match self.gates.get_mut(&principal.key()) {
            Some(mut gate) => self.check(&mut gate, principal, now)?,
            None if now >= principal.expires_at() => {
                return Err(AdmitError::Expired(principal.expires_at()));
            }
            None => return Ok(()),
        };
        if pass.learned {
            self.deadlines.arm(principal.key(), pass.expires_at);
        }
        Ok(())
    }

    fn check(
        &self,
        gate: &mut Gate,
        principal: &Principal,
        now: Timestamp,
    ) -> Result<Pass, AdmitError> {
        if self.gates_skipped.load(Ordering::Relaxed) {
            return Ok(Pass {
                expires_at: principal.expires_at(),
                learned: false,
            });
        }
        gate.check(principal, now)
    }

    /// For the proof that tests would notice: from now on every principal
    /// passes. No setting reaches it.
    #[doc(hidden)]
    pub fn skip_gates(&self) {
        self.gates_skipped.store(true, Ordering::Relaxed);
    }

    /// Applies a change from the feed. Late, repeated or reordered, it does no
    /// harm. Returns the sessions that it ended.
    pub fn apply(&self, change: &KeyChange) -> EndedSessions {
        match &change.change {
            Change::Created(record) | Change::Edited(record) | Change::Revoked(record) => {
                if let Some(at) = record.revoked_at {
                    return self.end_revoked(record.id, at, record.expires_at);
                }
                // No older view can exist of a key that was just made.
                if !matches!(change.change, Change::Created(_)) {
                    self.observe(record.id, change.position, record.expires_at);
                }
                EndedSessions::none()
            }
            Change::Deleted { key, expires_at } => self.end_deleted(*key, *expires_at),
        }
    }

    /// Ends a key for good because it was revoked at `at`; the gate remembers
    /// it until `expires_at`, when every load says no by itself.
    pub fn end_revoked(&self, key: KeyId, at: Timestamp, expires_at: Timestamp) -> EndedSessions {
        self.end_key(
            key,
            KeyEnd::Revoked(at),
            expires_at,
            EndReason::KeyRevoked { at },
        )
    }

    /// Ends a key for good because it was deleted; its sessions, if it had
    /// any, too.
    pub fn end_deleted(&self, key: KeyId, expires_at: Timestamp) -> EndedSessions {
        self.end_key(key, KeyEnd::Deleted, expires_at, EndReason::KeyDeleted)
    }

    fn end_key(
        &self,
        key: KeyId,
        how: KeyEnd,
        keep_until: Timestamp,
        reason: EndReason,
    ) -> EndedSessions {
        let (closing, sessions) = {
            let mut gate = self.gates.entry(key).or_insert_with(|| {
                Gate::new(State::Ended {
                    how,
                    keep_until,
                    closing: EndedSessions::none(),
                })
            });
            gate.touched = Instant::now();
            match &mut gate.state {
                State::Ended {
                    how: was,
                    keep_until: until,
                    closing,
                } => {
                    if how == KeyEnd::Deleted {
                        *was = how;
                    }
                    *until = keep_until.max(*until);
                    return closing.clone();
                }
                State::Open { .. } => {}
            }
            let sessions = gate.take_sessions();
            let closing = EndedSessions::of(sessions.len());
            gate.state = State::Ended {
                how,
                keep_until,
                closing: closing.clone(),
            };
            (closing, sessions)
        };
        self.tell(&closing, &sessions, reason);
        closing
    }

    /// Ends sessions that their gate has given up.
    fn tell(&self, closing: &EndedSessions, sessions: &[Arc<Session>], reason: EndReason) {
        for sessions in sessions.chunks(TOLD_AT_ONCE) {
            let mut ended = Vec::with_capacity(sessions.len());
            {
                let mut live = self.live.lock();
                for session in sessions {
                    live.remove(session);
                    if closing.end(session, reason) {
                        ended.push(session);
                    }
                }
            }
            ended.into_iter().for_each(|session| session.tell());
        }
    }

    /// Takes over an expiry that is newer than what the gate has seen.
    pub fn observe(&self, key: KeyId, position: Position, expires_at: Timestamp) {
        self.set_expiry(key, position, expires_at, false);
    }

    /// Takes over an expiry that a resync read, also when its revision is
    /// lower: an edit may have been lost in a failover.
    pub fn correct(&self, key: KeyId, position: Position, expires_at: Timestamp) {
        self.set_expiry(key, position, expires_at, true);
    }

    fn set_expiry(&self, key: KeyId, position: Position, expiry: Timestamp, always: bool) {
        {
            let mut gate = self.gates.entry(key).or_insert_with(|| {
                Gate::new(State::Open {
                    seen: position,
                    expires_at: expiry,
                })
            });
            gate.touched = Instant::now();
            let State::Open { seen, expires_at } = &mut gate.state else {
                return;
            };
            let newer = position.epoch != seen.epoch || position.revision > seen.revision;
            if !always && !newer {
                return;
            }
            *seen = position;
            *expires_at = expiry;
        }
        self.deadlines.arm(key, expiry);
    }

    /// Whether the key has live sessions and its expiry, as the gate has it, is
    /// past.
    pub(super) fn is_due(&self, key: KeyId) -> bool {
        let now = self.clock.now();
        self.gates.get(&key).is_some_and(|gate| {
            !gate.live.is_empty()
                && matches!(gate.state, State::Open { expires_at, .. } if expires_at <= now)
        })
    }

    /// Has the timers look at the key when it expires, if it has live sessions. A
    /// timer that fired too early is gone.
    pub(super) fn wait_for_expiry(&self, key: KeyId) {
        let expiry = self.gates.get(&key).and_then(|gate| match gate.state {
            State::Open { expires_at, .. } if !gate.live.is_empty() => Some(expires_at),
            State::Open { .. } | State::Ended { .. } => None,
        });
        if let Some(at) = expiry {
            self.deadlines.arm(key, at);
        }
    }

    /// Ends the sessions of a key whose expiry is past; otherwise does nothing.
    pub(super) fn expire(&self, key: KeyId) -> EndedSessions {
        let now = self.clock.now();
        let mut at = now;
        let sessions = match self.gates.get_mut(&key) {
            Some(mut gate) => match gate.state {
                State::Open { expires_at, .. } if expires_at <= now => {
                    at = expires_at;
                    gate.take_sessions()
                }
                State::Open { .. } | State::Ended { .. } => Vec::new(),
            },
            None => Vec::new(),
        };
        let closing = EndedSessions::of(sessions.len());
        self.tell(&closing, &sessions, EndReason::KeyExpired { at });
        closing
    }

    /// Ends one session; `None` when there is none of that id here.
    pub fn disconnect(&self, id: SessionId) -> Option<EndedSessions> {
        if id.gateway != self.options.gateway {
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
        self.take_out(&session);
        let closing = EndedSessions::of(1);
        self.tell(&closing, &[session], reason);
        Some(closing)
    }

    /// Called by the guard's drop: the stream is gone. The caller that ended a session
    /// took it out of its gate before; 10,000 that end at once don't meet there.
    pub(super) fn leave(&self, session: &Session, reason: EndReason, was_ended: bool) {
        if !was_ended {
            self.take_out(session);
            self.live.lock().remove(session);
        }
        self.metrics.sessions_live.dec();
        tracing::debug!(
            key = %session.key, agent = %session.info.agent, session = %self.session_id(session.number),
            reason = reason.as_str(), "session closed"
        );
        let closed = format!("{} {}", self.session_id(session.number), reason.as_str());
        self.note(
            EventKind::SessionClosed,
            session.key,
            session.info.agent,
            closed,
        );
        let reason = Reason {
            reason: reason.as_str(),
        };
        self.metrics.sessions_closed.get_or_create(&reason).inc();
    }

    fn note(&self, kind: EventKind, key: KeyId, agent: Uuid, detail: String) {
        self.events.note(kind, Some(key), Some(agent), detail);
    }

    fn take_out(&self, session: &Session) {
        if let Some(mut gate) = self.gates.get_mut(&session.key) {
            gate.live.remove(&session.number);
            // A late clean-up must not take the session that superseded it.
            if let MapEntry::Occupied(newest) = gate.newest.entry(session.info.agent)
                && newest.get().number == session.number
            {
                newest.remove();
            }
        }
    }

    /// Drops the gates that guard nothing any more, and returns their keys.
    /// From now on no change corrects what a cache has of them: it must be dropped,
    /// too, lest a fill that came late outlive the gate that knew better.
    #[must_use]
    pub fn sweep(&self) -> Vec<KeyId> {
        let now = self.clock.now();
        let memory = self.options.memory;
        let mut swept = Vec::new();
        self.gates.retain(|key, gate| {
            // Twice: a principal as old as the memory may still be on its way,
            // and it may hold a later expiry than the one that ended it.
            let remembers = gate.touched.elapsed() < 2 * memory;
            let keep = match gate.state {
                _ if remembers || !gate.live.is_empty() => true,
                State::Ended { keep_until, .. } => keep_until > now,
                State::Open { .. } => false,
            };
            if !keep {
                swept.push(*key);
            }
            keep
        });
        swept
    }
}
