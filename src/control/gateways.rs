//! The gateways that share the store: their list, and forgetting one that is
//! gone for good. Transport-free.
//!
//! Must not know: gRPC, REST. Invariant: only a gateway that has been silent for
//! a while is forgotten: a revoke no longer waits for one that is.

use std::sync::Arc;
use std::time::Duration;

use crate::control::audit::Actor;
use crate::control::error::{AdminError, ErrorKind};
use crate::gateway::sessions::Registry;
use crate::keys::{Revision, Timestamp};
use crate::store::{Enrolled, FeedStore, GatewayId, StoreError};

/// How long a gateway must have been silent to be forgotten: ten times the
/// default interval of its heartbeat.
const SILENCE: Duration = Duration::from_secs(10);

/// Why a gateway is not forgotten.
#[derive(Debug, Clone, thiserror::Error)]
pub enum GatewayError {
    /// There is none of that id.
    #[error("gateway_id: no gateway {0} is enrolled; muster gateways list shows those that are")]
    NotFound(GatewayId),
    /// It lives.
    #[error(
        "gateway_id: {gateway} reported {} ago, so it is alive; stop it instead (SIGTERM), \
         which signs it off",
        humantime::format_duration(Duration::from_secs(.silent_for.as_secs()))
    )]
    Alive {
        /// Which gateway.
        gateway: GatewayId,
        /// How long ago its last heartbeat was.
        silent_for: Duration,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AdminError for GatewayError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound(_) => ErrorKind::NotFound,
            Self::Alive { .. } => ErrorKind::Conflict,
            Self::Store(error) => error.kind(),
        }
    }
}

/// Knows the gateways of the store.
#[derive(Clone)]
pub struct Gateways {
    store: Arc<dyn FeedStore>,
    registry: Arc<Registry>,
}

impl Gateways {
    /// As seen from the gateway of `registry`.
    pub fn new(store: Arc<dyn FeedStore>, registry: Arc<Registry>) -> Self {
        Self { store, registry }
    }

    /// The gateway that this runs on.
    pub fn own(&self) -> GatewayId {
        self.registry.gateway()
    }

    /// The store's time.
    pub fn now(&self) -> Timestamp {
        self.store.clock().now()
    }

    /// Those that are enrolled in order of their ids, and the store's revision.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn all(&self) -> Result<(Vec<Enrolled>, Revision), StoreError> {
        let (mut gateways, position) = self.store.gateways().await?;
        let own = self.own();
        for gateway in gateways.iter_mut().filter(|g| g.info.id == own) {
            gateway.live_sessions = self.registry.live_total() as u64;
        }
        Ok((gateways, position.revision))
    }

    /// Takes a gateway that died out of the set that a revoke has to reach.
    /// Should it live after all, it enrols again by itself.
    ///
    /// # Errors
    /// [`GatewayError`]. Nothing has changed then.
    pub async fn forget(&self, actor: &Actor, gateway: GatewayId) -> Result<(), GatewayError> {
        actor.begin_target(gateway, "");
        let (enrolled, _) = self.store.gateways().await?;
        let found = enrolled.iter().find(|g| g.info.id == gateway);
        let found = found.ok_or(GatewayError::NotFound(gateway))?;
        actor.set_detail(format!("{:?}", found.info.name));
        let now = self.store.clock().now();
        let silent_for = now.saturating_since(found.last_heartbeat);
        if gateway == self.own() || silent_for < SILENCE {
            return Err(GatewayError::Alive {
                gateway,
                silent_for,
            });
        }
        let left = self.store.leave(gateway).await;
        left.inspect_err(|error| actor.failed(error))?;
        tracing::info!(target: "muster::audit", actor = actor.name(), action = "forget", %gateway, "gateway forgotten");
        Ok(())
    }
}
