//! The gates: the one place where admits and changes of a key meet.
//!
//! Locking: a gate's entry is never held while another lock is taken, while a
//! session is ended, or across an await; there is no `async fn` here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use parking_lot::Mutex;
use uuid::Uuid;

use super::deadlines::Deadlines;
use super::gate::{AdmitError, Gate, KnownBy, Pass, PreviousSession, State};
use super::guard::SessionGuard;
use super::index::SessionIndex;
use super::session::{EndReason, EndedSessions, Session, SessionId, SessionInfo};
use crate::gateway::auth::Principal;
use crate::gateway::events::Events;
use crate::keys::{Epoch, KeyId, Position, Timestamp};
use crate::metrics::registry::Metrics;
use crate::store::{Change, EventKind, GatewayId, KeyChange, StoreClock};

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
    pub(super) last_number: AtomicU64,
    /// The [`tag`] of the history that counts; 0 until one is followed.
    history: AtomicU64,
    began: Instant,
    /// Nanoseconds from `began` to when that history, or what followed a gap of the
    /// feed, began to be read.
    turned: AtomicU64,
    /// Only by [`Self::skip_gates`].
    gates_skipped: AtomicBool,
    deadlines: Deadlines,
    clock: StoreClock,
    pub(super) metrics: Arc<Metrics>,
    events: Arc<Events>,
}

/// Half of an epoch's random bits, which tell it from others as well, and fit an
/// atomic.
fn tag(epoch: Epoch) -> u64 {
    (epoch.0 as u64).max(1)
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
            history: AtomicU64::new(0),
            began: Instant::now(),
            turned: AtomicU64::new(0),
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
            None if self.is_from_before(principal)
                || !self.is_current(principal.position().epoch) =>
            {
                return Err(AdmitError::Stale);
            }
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
        let history = self.history.load(Ordering::SeqCst);
        let is_current = history == tag(principal.position().epoch);
        if self.is_from_before(principal) || (history != 0 && !is_current) {
            return Err(AdmitError::Stale);
        }
        gate.check(principal, is_current, now)
    }

    /// From now on only what is of that history counts: what is admitted under a
    /// gate's lock after it is of it, and what was admitted before is in
    /// [`Self::keys`].
    pub fn follow_history(&self, epoch: Epoch) {
        let nanos = self.began.elapsed().as_nanos();
        let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
        self.turned.store(nanos, Ordering::SeqCst);
        self.history.store(tag(epoch), Ordering::SeqCst);
    }

    /// Whether a principal was made before all known keys began to be read again:
    /// its key may not be among them.
    fn is_from_before(&self, principal: &Principal) -> bool {
        let turned = Duration::from_nanos(self.turned.load(Ordering::SeqCst));
        self.began.elapsed().saturating_sub(principal.age()) < turned
    }

    fn is_current(&self, epoch: Epoch) -> bool {
        let history = self.history.load(Ordering::SeqCst);
        history == 0 || history == tag(epoch)
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
        // No older view can exist of a key that was just made.
        if let Change::Edited(record) | Change::Revoked(record) = &change.change
            && record.revoked_at.is_none()
        {
            self.observe(record.id, change.position, record.expires_at);
        }
        self.end(&change.change, KnownBy::Store)
    }

    /// Ends the key if the change says that it has ended for good.
    pub fn end(&self, change: &Change, known: KnownBy) -> EndedSessions {
        match change {
            Change::Created(record) | Change::Edited(record) | Change::Revoked(record) => {
                record.revoked_at.map_or_else(EndedSessions::none, |at| {
                    self.end_revoked(record.id, at, record.expires_at, known)
                })
            }
            Change::Deleted { key, expires_at } => self.end_deleted(*key, *expires_at, known),
        }
    }

    /// Takes over an expiry that is newer than what the gate has seen: of a later
    /// revision, or of the history that counts where the gate has seen an older one.
    /// There the revision may be lower: an edit may have been lost in a failover.
    pub fn observe(&self, key: KeyId, position: Position, expiry: Timestamp) {
        {
            let mut gate = self.gates.entry(key).or_insert_with(|| {
                Gate::new(State::Open {
                    seen: position,
                    expires_at: expiry,
                })
            });
            // Asked under the gate's lock, as in `check`.
            if !self.is_current(position.epoch) {
                return;
            }
            gate.touched = Instant::now();
            gate.forgotten = None;
            let State::Open { seen, expires_at } = &mut gate.state else {
                return;
            };
            let is_newer = position.epoch != seen.epoch || position.revision > seen.revision;
            if !is_newer {
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

    pub(super) fn note(&self, kind: EventKind, key: KeyId, agent: Uuid, detail: String) {
        self.events.note(kind, Some(key), Some(agent), detail);
    }

    /// The keys whose gates guard nothing any more. What a cache has of them is to be
    /// dropped first, then [`Self::forgotten`] said: a fill that came late must not
    /// outlive the gate that knows better.
    pub fn spent(&self) -> Vec<KeyId> {
        let now = self.clock.now();
        let memory = self.options.memory;
        let spent = self.gates.iter().filter(|gate| {
            // Twice: a principal as old as the memory may still be on its way,
            // and it may hold a later expiry than the one that ended it.
            let remembers = gate.touched.elapsed() < 2 * memory;
            gate.forgotten.is_none() && !remembers && gate.guards_nothing(now)
        });
        spent.map(|gate| *gate.key()).collect()
    }

    /// No cache has these keys any more.
    pub fn forgotten(&self, keys: &[KeyId]) {
        for key in keys {
            if let Some(mut gate) = self.gates.get_mut(key) {
                gate.forgotten = Some(Instant::now());
            }
        }
    }

    /// Drops the gates of keys that no cache has had for so long that no principal
    /// of what it had is left, and returns their keys.
    pub fn sweep(&self) -> Vec<KeyId> {
        let now = self.clock.now();
        let memory = self.options.memory;
        let mut swept = Vec::new();
        self.gates.retain(|key, gate| {
            let is_over = gate
                .forgotten
                .is_some_and(|at| at > gate.touched && at.elapsed() > memory);
            let keep = !is_over || !gate.guards_nothing(now);
            if !keep {
                swept.push(*key);
            }
            keep
        });
        swept.iter().for_each(|key| self.stop_timing(*key));
        swept
    }
}
