//! The contract for the set of gateways that follow the feed of a store.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::error::StoreError;
use super::feed::Feed;
use crate::keys::{Epoch, Id, KeyId, ParseIdError, Position, Revision, Timestamp};

/// A gateway's id: random, new at each start; prints as 16 Base62 characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GatewayId(pub Id);

impl fmt::Display for GatewayId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for GatewayId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        Id::parse(text).map(Self).ok_or(ParseIdError {
            expected: "no prefix",
        })
    }
}

/// What a gateway says of itself when it enrols.
#[derive(Debug, Clone)]
pub struct GatewayInfo {
    /// Its id.
    pub id: GatewayId,
    /// Its name for display.
    pub name: String,
    /// The muster version it runs.
    pub version: String,
}

/// How a gateway stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// How old its view of the store is.
    pub view_age: Duration,
    /// Where it is bound; `None` until it is.
    pub bound: Option<Bound>,
    /// This time after its last heartbeat it has ended all its sessions by itself
    /// (strict); `None`: it keeps them.
    pub ends_after: Option<Duration>,
}

/// Where a gateway is bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    pub agent: SocketAddr,
    pub admin: SocketAddr,
}

/// What a gateway reports each time it renews its lease.
#[derive(Debug, Clone)]
pub struct Heartbeat {
    /// The gateway that reports.
    pub gateway: GatewayId,
    /// The changes after it are asked for.
    pub position: Position,
    /// Every change up to here is applied there. Behind `position` while all known
    /// keys are read again.
    pub applied: Position,
    /// Sessions live there.
    pub live_sessions: u64,
    /// How it stands.
    pub standing: Standing,
    /// What final changes did there, where that is new.
    pub outcomes: Vec<Outcome>,
}

/// What a final change of a key (a revoke, a delete) did on one gateway so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Which key.
    pub key: KeyId,
    /// The revision of the change.
    pub revision: Revision,
    /// Sessions that it ended there and whose stream has closed.
    pub closed: u64,
    /// Sessions that it ended there and whose stream still stands.
    pub closing: u64,
    /// When this was so, on the store's clock: the time of the last close.
    pub at: Timestamp,
}

/// A gateway in the set that a revoke has to reach.
#[derive(Debug, Clone)]
pub struct Enrolled {
    /// What it said of itself.
    pub info: GatewayInfo,
    /// When it enrolled, on the store's clock.
    pub enrolled_at: Timestamp,
    /// When it last renewed, on the store's clock.
    pub last_heartbeat: Timestamp,
    /// Every change up to here is applied there.
    pub applied: Revision,
    /// The history that it followed then; `None`: an older muster does not say.
    pub epoch: Option<Epoch>,
    /// Sessions live there at that time.
    pub live_sessions: u64,
    /// How it stood then.
    pub standing: Standing,
    /// What it said of itself, or said last, can't be read: why. It has to be
    /// reached all the same; one that lives writes it anew by itself.
    pub damaged: Option<String>,
}

/// How far the last final change of a key has got.
#[derive(Debug, Clone)]
pub struct Reach {
    /// The enrolled gateways in order of their ids.
    pub enrolled: Vec<Enrolled>,
    /// Where the store is.
    pub position: Position,
    /// What the change did, by those gateways that have reported it, in order of
    /// their ids.
    pub outcomes: Vec<(GatewayId, Outcome)>,
}

impl Enrolled {
    /// How long a gateway may be silent before it counts as unreachable: three
    /// times the default interval of its heartbeat.
    pub const LAPSES: Duration = Duration::from_secs(3);

    /// How old its view of the store is at `now` at most, by what it said last.
    pub fn view_age(&self, now: Timestamp) -> Duration {
        self.standing.view_age + now.saturating_since(self.last_heartbeat)
    }

    /// Whether it has applied what made that revision of the store's history that
    /// `now` is in. Revisions of two histories can't be compared.
    pub fn has_applied(&self, revision: Revision, now: Position) -> bool {
        self.applied >= revision && self.epoch.is_none_or(|epoch| epoch == now.epoch)
    }

    /// Whether its heartbeat has lapsed at `now`.
    pub fn is_lapsed(&self, now: Timestamp) -> bool {
        now.saturating_since(self.last_heartbeat) > Self::LAPSES
    }
}

/// Keeps the set of gateways that a revoke has to reach, and how far each has
/// followed the feed.
#[async_trait]
pub trait GatewayStore: Send + Sync + 'static {
    /// Puts a gateway into the set that revokes have to reach, and returns the
    /// position from which it follows the feed. Called before its first load.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn enrol(&self, gateway: GatewayInfo) -> Result<Position, StoreError>;

    /// Renews a gateway's lease and returns the changes after its position.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn renew(&self, heartbeat: Heartbeat) -> Result<Feed, StoreError>;

    /// Returns once the feed may have more than `after`. May return early, may
    /// never return: callers bound the wait by their heartbeat's interval.
    async fn changed(&self, after: Position);

    /// The enrolled gateways in order of their ids, and where the store is.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn gateways(&self) -> Result<(Vec<Enrolled>, Position), StoreError>;

    /// How far the last final change of a key has got, at one moment. What it did
    /// is kept for as long as it may be asked with reason: 30 days or, by the
    /// embedded store, until its process ends.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn reach(&self, key: KeyId) -> Result<Reach, StoreError>;

    /// Takes a gateway out of the set: a clean stop.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn leave(&self, gateway: GatewayId) -> Result<(), StoreError>;
}
