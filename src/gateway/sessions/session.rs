//! One session: its facts, its end, and the handle that its stream holds.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::keys::{Id, KeyId, Timestamp};
use crate::store::GatewayId;

/// A session's id: the gateway it lives on and a number; prints as
/// `<gateway>-<number>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId {
    pub gateway: GatewayId,
    /// Which one there, counted from 1.
    pub number: u64,
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.gateway, self.number)
    }
}

/// A text that is not a session id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a session id: expected <gateway>-<number>, as `muster sessions list` prints it")]
pub struct ParseSessionIdError;

impl FromStr for SessionId {
    type Err = ParseSessionIdError;

    fn from_str(text: &str) -> Result<Self, ParseSessionIdError> {
        let (gateway, number) = text.split_once('-').ok_or(ParseSessionIdError)?;
        Ok(Self {
            gateway: GatewayId(Id::parse(gateway).ok_or(ParseSessionIdError)?),
            number: number.parse().map_err(|_| ParseSessionIdError)?,
        })
    }
}

/// Why a session ended. Closed: every way out is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndReason {
    /// Its key was revoked.
    KeyRevoked {
        at: Timestamp,
    },
    /// Its key expired.
    KeyExpired {
        at: Timestamp,
    },
    /// Its key was deleted.
    KeyDeleted,
    /// The same agent opened another session under the same key.
    Superseded,
    /// An operator ended it.
    Disconnected,
    /// The gateway did not hear from its store for too long.
    StoreNotHeard,
    Draining,
    /// The agent left, or its connection did.
    PeerLeft,
}

impl EndReason {
    /// The word for it, as metrics and details carry it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KeyRevoked { .. } => "KEY_REVOKED",
            Self::KeyExpired { .. } => "KEY_EXPIRED",
            Self::KeyDeleted => "KEY_DELETED",
            Self::Superseded => "SUPERSEDED",
            Self::Disconnected => "DISCONNECTED",
            Self::StoreNotHeard => "STORE_NOT_HEARD",
            Self::Draining => "DRAINING",
            Self::PeerLeft => "PEER_LEFT",
        }
    }

    /// What has to go when the stream does not end by itself.
    pub(super) fn scope(self) -> Option<Scope> {
        match self {
            // For the last, too: on a new connection a load balancer may send
            // the agent to a gateway that does hear from the store.
            Self::KeyRevoked { .. }
            | Self::KeyExpired { .. }
            | Self::KeyDeleted
            | Self::StoreNotHeard => Some(Scope::Connection),
            Self::Superseded | Self::Disconnected => Some(Scope::Stream),
            Self::Draining | Self::PeerLeft => None,
        }
    }
}

/// How much of a connection an end takes along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The connection, unless another key uses it too.
    Connection,
    /// The stream alone; the connection only if the stream does not go.
    Stream,
}

/// Closes what carries a session, should its stream not end by itself.
pub trait CloseConnection: Send + Sync + 'static {
    /// Called once, when the session ends. Must not block.
    fn close(&self, scope: Scope);
}

/// What is known of a session when it is admitted.
#[derive(Clone)]
pub struct SessionInfo {
    /// The agent's resource id. Self-declared.
    pub agent: Uuid,
    /// Where it connects from.
    pub peer: SocketAddr,
    /// As the agent names itself, bounded by the caller.
    pub user_agent: String,
    /// Closes its connection.
    pub connection: Arc<dyn CloseConnection>,
}

/// A session as a list shows it.
#[derive(Debug, Clone)]
pub struct SessionView {
    pub id: SessionId,
    /// The key it registered with.
    pub key: KeyId,
    /// The agent's resource id.
    pub agent: Uuid,
    /// Where it connects from.
    pub peer: SocketAddr,
    /// As the agent names itself.
    pub user_agent: String,
    /// When it was admitted, on the store's clock.
    pub opened_at: Timestamp,
}

/// A session's place, shared by the registry and the stream.
pub(super) struct Session {
    pub number: u64,
    pub key: KeyId,
    pub opened_at: Timestamp,
    pub info: SessionInfo,
    pub end: OnceLock<End>,
    pub ended: Notify,
    stream: Mutex<Stream>,
}

pub(super) struct End {
    pub reason: EndReason,
    /// The gateway ended it, not its peer.
    pub by_gateway: bool,
}

/// A session's stream, and who waits for its close.
enum Stream {
    Stands(Vec<Arc<Tally>>),
    Closed,
}

impl Session {
    pub fn new(number: u64, key: KeyId, opened_at: Timestamp, info: SessionInfo) -> Self {
        Self {
            number,
            key,
            opened_at,
            info,
            end: OnceLock::new(),
            ended: Notify::new(),
            stream: Mutex::new(Stream::Stands(Vec::new())),
        }
    }

    pub fn has_ended(&self) -> bool {
        self.end.get().is_some()
    }

    /// Ends the session; false where it had ended: the first reason stands.
    pub fn end(&self, reason: EndReason, by_gateway: bool) -> bool {
        self.end.set(End { reason, by_gateway }).is_ok()
    }

    /// Counts its stream among those that are waited for, unless it has closed.
    fn count_in(&self, tally: &Arc<Tally>) -> bool {
        match &mut *self.stream.lock() {
            Stream::Stands(tallies) => {
                tallies.push(Arc::clone(tally));
                true
            }
            Stream::Closed => false,
        }
    }

    /// Its stream is gone.
    pub fn stream_closed(&self) {
        let before = std::mem::replace(&mut *self.stream.lock(), Stream::Closed);
        if let Stream::Stands(tallies) = before {
            tallies.iter().for_each(|tally| tally.one_closed());
        }
    }

    /// Tells the stream that its session was ended. Called with no lock held.
    pub fn tell(&self) {
        self.ended.notify_one();
        if let Some(scope) = self.end.get().and_then(|end| end.reason.scope()) {
            self.info.connection.close(scope);
        }
    }
}

/// Sessions that were ended together and whose streams are closing.
#[derive(Debug, Clone)]
pub struct EndedSessions {
    tally: Arc<Tally>,
    total: usize,
}

#[derive(Debug)]
pub(super) struct Tally {
    open: AtomicUsize,
    done: Notify,
}

impl EndedSessions {
    pub fn none() -> Self {
        Self::of(0)
    }

    /// Of this number of sessions, which are still to be ended.
    pub(super) fn of(total: usize) -> Self {
        Self {
            tally: Arc::new(Tally {
                open: AtomicUsize::new(total),
                done: Notify::new(),
            }),
            total,
        }
    }

    /// Ends one of the sessions that it was made for; false where it had ended,
    /// or closed by itself at the same time. The stream is still to be notified.
    pub(super) fn end(&self, session: &Session, reason: EndReason) -> bool {
        let ended = session.end(reason, true);
        self.count(session);
        ended
    }

    /// Counts one of the sessions that it was made for until its stream closes.
    pub(super) fn count(&self, session: &Session) {
        if !session.count_in(&self.tally) {
            self.tally.one_closed();
        }
    }

    /// How many sessions were ended.
    pub fn total(&self) -> usize {
        self.total
    }

    /// How many of their streams still stand.
    pub fn open(&self) -> usize {
        self.tally.open.load(Ordering::Acquire)
    }

    /// Waits until none of their streams stands.
    pub async fn closed(&self) {
        loop {
            let done = self.tally.done.notified();
            tokio::pin!(done);
            done.as_mut().enable();
            if self.open() == 0 {
                return;
            }
            done.await;
        }
    }
}

impl Tally {
    pub fn one_closed(&self) {
        if self.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.done.notify_waiters();
        }
    }
}
