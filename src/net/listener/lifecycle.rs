//! What one connection knows about itself, and what it has to do next.
//!
//! Owns: the open calls of a connection, its pending cuts, every deadline after
//! the TLS handshake. Must not know: sockets, hyper, services; time is handed
//! in. Invariant: [`Shared::next_step`] is the only place that decides, and the
//! connection's own task is the only caller; everybody else leaves a note under
//! the lock and wakes that task. The lock is never held across an await.

use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::call::Cut;
use super::{CloseReason, Limits};
use crate::keys::KeyId;

/// The HTTP/2 client preface (24 bytes) and one frame header (9 bytes).
const PREFACE_BYTES: u64 = 33;
/// Which HTTP a connection speaks, for its deadlines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// One request after the other; nothing is heard of a peer that waits for
    /// an answer. hyper has the deadline for a request's headers.
    Http1,
    /// With PINGs, which a living peer answers.
    Http2,
}

/// Stands for "never": further away than any process lives.
const NEVER: Duration = Duration::from_secs(30 * 365 * 86_400);

/// Keeps a setting of zero from becoming a busy loop.
const LEAST_WAIT: Duration = Duration::from_millis(10);

/// `at` later by `span`, without the panic of `+` for absurd spans.
pub(super) fn later(at: Instant, span: Duration) -> Instant {
    at.checked_add(span.min(NEVER)).unwrap_or(at)
}

/// One connection, as seen by its task, its calls and the drain.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) peer: SocketAddr,
    /// Cancelled when the connection drains.
    pub(super) drain: CancellationToken,
    limits: Arc<Limits>,
    pub(super) protocol: Protocol,
    started: Instant,
    bytes_read: AtomicU64,
    /// Milliseconds after `started`.
    last_read: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    next_call: u64,
    open: HashMap<u64, Option<KeyId>>,
    /// When a call last began or ended.
    last_active: Instant,
    cuts: Vec<PendingCut>,
    going_away: Option<GoingAway>,
    drain: Option<Drain>,
    signalled: bool,
    finished: bool,
    waker: Option<Waker>,
}

#[derive(Debug)]
struct PendingCut {
    due: Instant,
    call: u64,
    owner: Option<KeyId>,
    scope: Cut,
}

#[derive(Debug, Clone, Copy)]
struct GoingAway {
    since: Instant,
    reason: CloseReason,
}

#[derive(Debug, Clone, Copy)]
struct Drain {
    at: Instant,
    hard_end: Instant,
}

/// What the connection's task does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Drop the connection now.
    Close(CloseReason),
    /// Send GOAWAY, then ask again.
    GoAway,
    /// Tell the calls that the connection drains, then ask again.
    SignalCalls,
    /// Nothing before this moment.
    Wait(Instant),
}

impl Shared {
    pub(super) fn new(
        peer: SocketAddr,
        limits: Arc<Limits>,
        protocol: Protocol,
        now: Instant,
    ) -> Arc<Self> {
        Arc::new(Self {
            peer,
            drain: CancellationToken::new(),
            limits,
            protocol,
            started: now,
            bytes_read: AtomicU64::new(0),
            last_read: AtomicU64::new(0),
            state: Mutex::new(State {
                next_call: 0,
                open: HashMap::new(),
                last_active: now,
                cuts: Vec::new(),
                going_away: None,
                drain: None,
                signalled: false,
                finished: false,
                waker: None,
            }),
        })
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Notes that `bytes` came from the peer.
    pub(super) fn read(&self, bytes: usize, now: Instant) {
        self.bytes_read
            .fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
        let millis = now.saturating_duration_since(self.started).as_millis();
        self.last_read
            .store(u64::try_from(millis).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Notes a call that begins; returns its number on this connection.
    pub(super) fn call_began(&self, now: Instant) -> u64 {
        let mut state = self.state.lock();
        let id = state.next_call;
        state.next_call += 1;
        state.open.insert(id, None);
        state.last_active = now;
        id
    }

    /// Notes that a call has ended.
    pub(super) fn call_ended(&self, id: u64, now: Instant) {
        let mut state = self.state.lock();
        state.open.remove(&id);
        state.last_active = now;
        state
            .cuts
            .retain(|cut| cut.call != id || cut.scope == Cut::Connection);
        // Only a connection that goes away has a deadline that begins with
        // this; waking the task after each call would be waste.
        if state.going_away.is_some() && state.open.is_empty() {
            wake(state);
        }
    }

    pub(super) fn call_owned(&self, id: u64, owner: KeyId) {
        let mut state = self.state.lock();
        if let Some(permit) = state.open.get_mut(&id) {
            *permit = Some(owner);
        }
    }

    /// Notes a cut; due `cut_after` from now. A second cut of the same call can
    /// widen the first, never delay it.
    pub(super) fn cut(&self, call: u64, owner: Option<KeyId>, scope: Cut, now: Instant) {
        let mut state = self.state.lock();
        if state.finished || (scope == Cut::Stream && !state.open.contains_key(&call)) {
            return;
        }
        if let Some(cut) = state.cuts.iter_mut().find(|cut| cut.call == call) {
            if scope == Cut::Connection {
                cut.scope = scope;
            }
            cut.owner = owner;
            return;
        }
        state.cuts.push(PendingCut {
            due: later(now, self.limits.cut_after),
            call,
            owner,
            scope,
        });
        wake(state);
    }

    /// GOAWAY at `at`; closed hard at `hard_end`, whatever stands.
    pub(super) fn schedule_drain(&self, at: Instant, hard_end: Instant) {
        let mut state = self.state.lock();
        state.drain = Some(Drain { at, hard_end });
        wake(state);
    }

    /// The connection is gone: nothing is to be done for it any more. Returns
    /// the reason of a GOAWAY of ours, if one was sent.
    pub(super) fn finish(&self) -> Option<CloseReason> {
        let mut state = self.state.lock();
        state.finished = true;
        state.waker = None;
        state.cuts = Vec::new();
        match (state.signalled, state.going_away) {
            (true, _) => Some(CloseReason::Drained),
            (false, going_away) => going_away.map(|going_away| going_away.reason),
        }
    }

    /// What to do at `now`; `waker` is woken when that changes earlier.
    pub(super) fn next_step(&self, now: Instant, waker: &Waker) -> Step {
        let limits = &*self.limits;
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let mut next = later(now, NEVER);

        if let Some(drain) = state.drain {
            if drain.hard_end <= now {
                return Step::Close(CloseReason::HardEnd);
            }
            next = next.min(drain.hard_end);
        }
        if state.take_due_cuts(now) {
            return Step::Close(CloseReason::Cut);
        }
        for cut in &state.cuts {
            next = next.min(cut.due);
        }
        let is_http2 = self.protocol == Protocol::Http2;
        if is_http2 && self.bytes_read.load(Ordering::Relaxed) < PREFACE_BYTES {
            let deadline = later(self.started, limits.preface_deadline);
            if deadline <= now {
                return Step::Close(CloseReason::PrefaceDeadline);
            }
            next = next.min(deadline);
        }
        if is_http2 {
            let silent = self.silence_deadline();
            if silent <= now {
                return Step::Close(CloseReason::KeepAlive);
            }
            next = next.min(silent);
        }

        let drain_at = state.drain.map(|drain| drain.at);
        if let Some(at) = drain_at.filter(|_| !state.signalled) {
            if at <= now {
                if state.going_away.is_none() {
                    return state.go_away(now, CloseReason::Drained);
                }
                state.signalled = true;
                return Step::SignalCalls;
            }
            next = next.min(at);
        }
        match state.going_away {
            // A call may stand as long as it likes after an idle GOAWAY that it
            // crossed; one that drains is bounded by the hard end.
            Some(going_away) if state.open.is_empty() => {
                let deadline = later(going_away.since.max(state.last_active), limits.cut_after);
                if deadline <= now {
                    return Step::Close(going_away.reason);
                }
                next = next.min(deadline);
            }
            Some(_) => {}
            None if state.open.is_empty() => {
                let deadline = later(state.last_active, limits.idle_timeout);
                if deadline <= now {
                    return state.go_away(now, CloseReason::Idle);
                }
                next = next.min(deadline);
            }
            // The end of the last call does not wake the task, so look again
            // within the shortest time in which it could have become idle.
            None => next = next.min(later(now, limits.idle_timeout.max(LEAST_WAIT))),
        }
        match &mut state.waker {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        Step::Wait(next)
    }

    /// hyper answers a missing PING by itself, but it then waits until its
    /// GOAWAY is written, and a peer that keeps its receive buffer full lets
    /// that never happen. A living peer is heard at least once an interval.
    fn silence_deadline(&self) -> Instant {
        let timeout = self.limits.keepalive_timeout;
        let allowed = self
            .limits
            .keepalive_interval
            .saturating_add(timeout)
            .saturating_add(timeout / 2);
        later(self.last_read(), allowed)
    }

    fn last_read(&self) -> Instant {
        let millis = self.last_read.load(Ordering::Relaxed);
        later(self.started, Duration::from_millis(millis))
    }
}

impl State {
    fn go_away(&mut self, now: Instant, reason: CloseReason) -> Step {
        self.going_away = Some(GoingAway { since: now, reason });
        Step::GoAway
    }

    /// Takes the cuts that are due; true when one of them closes the socket.
    fn take_due_cuts(&mut self, now: Instant) -> bool {
        let open = &self.open;
        let mut close = false;
        self.cuts.retain(|cut| {
            if now < cut.due {
                return true;
            }
            let stands = open.contains_key(&cut.call);
            let shared = open
                .values()
                .any(|owner| owner.is_some() && *owner != cut.owner);
            close |= stands || (cut.scope == Cut::Connection && !shared);
            false
        });
        close
    }
}

/// Wakes the connection's task, with the lock released first: a waker may run
/// anything.
fn wake(state: MutexGuard<'_, State>) {
    let waker = state.waker.clone();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests;
