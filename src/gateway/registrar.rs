//! Letting agents in: verify, join, open a session. Transport-free.
//!
//! Owns: the order of the questions (cache, gate, once more past the cache) and
//! what a refusal means. Must not know: gRPC, its codes, its texts.
//! Invariant: a refusal as the agent's fault is proven; all else is ours.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use uuid::Uuid;

use crate::gateway::auth::{AuthError, Authenticator, Freshness, Principal};
use crate::gateway::events::Events;
use crate::gateway::key_feed::KeyFeedFollower;
use crate::gateway::registrations::{AgentReport, Instances, Joined, TooManyAgents};
use crate::gateway::sessions::{
    AdmitError, CloseConnection, HeldCall, KeyEnd, Registry, SessionGuard, SessionInfo,
};
use crate::gateway::telemetry_senders::Senders;
use crate::keys::{KeyId, PresentedKey, Timestamp};
use crate::metrics::registry::Metrics;
use crate::store::{EventKind, Health, StoreError};

/// Times a session is tried while its key changes under it.
const ADMIT_ATTEMPTS: u32 = 3;

/// Why an agent is not let in.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refusal {
    /// No such key, or not its secret: one and the same to the outside.
    #[error("unknown key or wrong secret")]
    Unknown {
        /// The key, if there is one: then the secret was wrong. For an
        /// operator's eyes; the agent must not learn it.
        key: Option<KeyId>,
    },
    /// The key was revoked.
    #[error("{key} was revoked at {at}")]
    Revoked {
        /// Which key.
        key: KeyId,
        /// When.
        at: Timestamp,
    },
    /// The key expired.
    #[error("{key} expired at {at}")]
    Expired {
        /// Which key.
        key: KeyId,
        /// When.
        at: Timestamp,
    },
    /// The key has as many agents as it may have.
    #[error("{key} has {limit} agents, which is its limit")]
    TooManyAgents {
        /// Which key.
        key: KeyId,
        /// How many it may have.
        limit: usize,
    },
    /// A fault of muster: to be tried again.
    #[error("the key can't be verified now")]
    Unavailable,
}

/// Lets agents in.
pub struct Registrar {
    authenticator: Arc<Authenticator>,
    registry: Arc<Registry>,
    key_feed: Arc<KeyFeedFollower>,
    instances: Arc<Instances>,
    senders: Arc<Senders>,
    events: Arc<Events>,
    metrics: Arc<Metrics>,
    conflict_after: Duration,
    /// Agents that changed their key and are to be looked at once more.
    suspects: Mutex<HashSet<Uuid>>,
    myself: Weak<Self>,
}

/// What a registrar works with.
pub struct RegistrarParts {
    /// The cache of keys.
    pub authenticator: Arc<Authenticator>,
    /// The gates and live sessions.
    pub registry: Arc<Registry>,
    /// The follower of the key feed.
    pub key_feed: Arc<KeyFeedFollower>,
    /// Agents and registrations.
    pub instances: Arc<Instances>,
    /// Senders of telemetry.
    pub senders: Arc<Senders>,
    /// Events.
    pub events: Arc<Events>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// An agent that changed its key and is live under the old one this much later is
    /// an identity conflict.
    pub conflict_after: Duration,
}

impl Registrar {
    /// A registrar over the gates of `registry`. An agent that changed its key
    /// and is live under the old one `conflict_after` later is reported.
    pub fn new(parts: RegistrarParts) -> Arc<Self> {
        let RegistrarParts {
            authenticator,
            registry,
            key_feed,
            instances,
            senders,
            events,
            metrics,
            conflict_after,
        } = parts;
        Arc::new_cyclic(|myself| Self {
            authenticator,
            registry,
            key_feed,
            instances,
            senders,
            events,
            metrics,
            conflict_after,
            suspects: Mutex::default(),
            myself: myself.clone(),
        })
    }

    /// Verifies a presented key, by the cache and the gate; by a new load where
    /// the gate knows more than the cache. A key that passes is in use, whatever
    /// becomes of the call: some host has it.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn authenticate(&self, presented: &PresentedKey) -> Result<Principal, Refusal> {
        let principal = self.authenticate_current(presented).await?;
        let now = self.registry.clock().now();
        self.instances.used(principal.key(), now);
        Ok(principal)
    }

    async fn authenticate_current(&self, presented: &PresentedKey) -> Result<Principal, Refusal> {
        let principal = self.look_up(presented, Freshness::Cached).await?;
        if self.registry.check_gate(&principal).is_ok() {
            return Ok(principal);
        }
        let principal = self.look_up(presented, Freshness::Reloaded).await?;
        self.registry
            .check_gate(&principal)
            .map_err(|error| refusal(presented.id, error))?;
        Ok(principal)
    }

    /// Accepts an agent's introduction (CreateConnection), once its body is
    /// read: the key is looked at again, since the body may have taken long.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn join(
        &self,
        presented: &PresentedKey,
        principal: &Principal,
        agent: Uuid,
        address: IpAddr,
        report: AgentReport,
    ) -> Result<(), Refusal> {
        self.recheck_after_body(presented, principal).await?;
        let now = self.registry.clock().now();
        let key = principal.key();
        let joined = self
            .instances
            .joined(key, agent, address, report, now)
            .map_err(|TooManyAgents { key, limit }| Refusal::TooManyAgents { key, limit })?;
        self.note_join(key, agent, address, joined);
        self.metrics.joins.inc();
        tracing::debug!(key = %principal.key(), %agent, "agent joined");
        Ok(())
    }

    fn note_join(&self, key: KeyId, agent: Uuid, address: IpAddr, joined: Joined) {
        let note = |kind, detail| self.events.note(kind, Some(key), Some(agent), detail);
        note(EventKind::AgentJoined, format!("from {address}"));
        if let Some(agents) = joined.nearly_full {
            let detail = format!("{agents} agents are registered: 80 % of what it may have");
            note(EventKind::KeyNearlyFull, detail);
        }
        let Some(before) = joined.key_before else {
            return;
        };
        note(EventKind::AgentChangedKey, format!("before: {before}"));
        if !self.suspects.lock().insert(agent) {
            return;
        }
        // Its old session dies by itself soon, unless there are two agents.
        let this = self.myself.clone();
        let conflict_after = self.conflict_after;
        tokio::spawn(async move {
            tokio::time::sleep(conflict_after).await;
            let Some(this) = this.upgrade() else { return };
            this.suspects.lock().remove(&agent);
            let registry = &this.registry;
            if registry.has_session(before, agent) && registry.has_session(key, agent) {
                let detail = format!("still live under {before}: are two hosts clones?");
                let kind = EventKind::IdentityConflict;
                this.events.note(kind, Some(key), Some(agent), detail);
            }
        });
    }

    /// Takes over what an agent reports later on. Resource ids are
    /// self-declared: only an agent that joined with this key is believed.
    pub fn record_report(&self, principal: &Principal, agent: Uuid, report: AgentReport) {
        if self.instances.ever_joined(principal.key(), agent) {
            let now = self.registry.clock().now();
            self.instances.record_report(agent, report, now);
        }
    }

    /// Takes over an agent's judgement of its instances, likewise.
    pub fn record_health(
        &self,
        principal: &Principal,
        agent: Uuid,
        healths: &[(String, Option<Health>)],
    ) {
        if self.instances.ever_joined(principal.key(), agent) {
            let now = self.registry.clock().now();
            self.instances.record_health(agent, healths, now);
        }
    }

    /// Accepts an export of telemetry, once its body is read: the key is looked
    /// at again, as for a join.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn exported(
        &self,
        presented: &PresentedKey,
        principal: &Principal,
        agent: Option<Uuid>,
        address: IpAddr,
    ) -> Result<(), Refusal> {
        self.recheck_after_body(presented, principal).await?;
        let now = self.registry.clock().now();
        self.senders.note(principal.key(), address, agent, now);
        Ok(())
    }

    /// Confirms that a principal made earlier in a call may still act.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn recheck_after_body(
        &self,
        presented: &PresentedKey,
        principal: &Principal,
    ) -> Result<(), Refusal> {
        if self.registry.check_gate(principal).is_ok() {
            return self.check_age();
        }
        self.authenticate(presented).await.map(|_| ())
    }

    /// Whether the view is young enough for an earlier check to
    /// count.
    fn check_age(&self) -> Result<(), Refusal> {
        let checked = self.authenticator.check_age();
        checked.map_err(|_| Refusal::Unavailable)
    }

    /// Has the connection of a call that takes long cut when its key ends.
    pub fn hold_call(
        &self,
        principal: &Principal,
        connection: Arc<dyn CloseConnection>,
    ) -> HeldCall {
        self.registry.hold_call(principal, connection)
    }

    /// Opens a session (Subscribe).
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn open_session(
        &self,
        presented: &PresentedKey,
        principal: Principal,
        info: SessionInfo,
    ) -> Result<SessionGuard, Refusal> {
        self.check_age()?;
        let mut principal = principal;
        for _ in 0..ADMIT_ATTEMPTS {
            match self.registry.admit(&principal, info.clone()) {
                Ok(guard) => {
                    tracing::debug!(
                        key = %guard.key(), agent = %info.agent, session = %guard.id(),
                        peer = %info.peer, "session opened"
                    );
                    return Ok(guard);
                }
                Err(AdmitError::Stale | AdmitError::Expired(_)) => {
                    principal = self.look_up(presented, Freshness::Reloaded).await?;
                }
                Err(error @ AdmitError::Ended(_)) => return Err(refusal(presented.id, error)),
            }
        }
        Err(Refusal::Unavailable)
    }

    /// Whether the refused caller has a live session under another key: the
    /// agent, or where it is not known, an agent at its address.
    pub fn has_session_under_another_key(
        &self,
        refusal: &Refusal,
        agent: Option<Uuid>,
        address: IpAddr,
    ) -> bool {
        let refused = match refusal {
            Refusal::Revoked { key, .. } | Refusal::Expired { key, .. } => Some(*key),
            // No session is under a credential that does not open. Nor may the
            // answer depend on the key that was named: it would tell a caller that
            // guesses which key an agent has.
            Refusal::Unknown { .. } => None,
            Refusal::TooManyAgents { .. } | Refusal::Unavailable => return false,
        };
        self.registry.has_session_elsewhere(agent, address, refused)
    }

    async fn look_up(
        &self,
        presented: &PresentedKey,
        freshness: Freshness,
    ) -> Result<Principal, Refusal> {
        let error = match self.authenticator.authenticate(presented, freshness).await {
            Ok(principal) => return Ok(principal),
            Err(error) => error,
        };
        Err(match error {
            AuthError::Absent if self.key_feed.has_lost(presented.id).await => Refusal::Unavailable,
            AuthError::Absent | AuthError::Deleted => Refusal::Unknown { key: None },
            AuthError::WrongSecret => Refusal::Unknown {
                key: Some(presented.id),
            },
            AuthError::Revoked { key, at } => Refusal::Revoked { key, at },
            AuthError::Expired { key, at } => Refusal::Expired { key, at },
            AuthError::Unavailable(
                StoreError::Failed(_)
                | StoreError::NotWritten(_)
                | StoreError::NoWrites(_)
                | StoreError::Corrupt { .. }
                | StoreError::Foreign(_),
            ) => Refusal::Unavailable,
        })
    }
}

fn refusal(key: KeyId, error: AdmitError) -> Refusal {
    match error {
        AdmitError::Ended(KeyEnd::Revoked(at)) => Refusal::Revoked { key, at },
        AdmitError::Ended(KeyEnd::Deleted) => Refusal::Unknown { key: None },
        AdmitError::Expired(at) => Refusal::Expired { key, at },
        AdmitError::Stale => Refusal::Unavailable,
    }
}
