//! Creating, editing, revoking and deleting keys. Transport-free: every interface
//! ends here.
//!
//! Owns: the order of a change (write, apply here, wait for the closes) and its
//! audit record. Must not know: gRPC, REST, how the caller authenticated.
//! Invariant: a change is applied on this gateway before its caller is answered.

mod gateway_wait;
mod listing;
mod outcome;
mod pending;
mod pending_file;
mod revoke;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

pub use listing::Keys;
pub(crate) use outcome::{GatewayOutcome, RevokeOutcome};

use crate::control::audit::{Actor, Audit};
use crate::control::error::{AdminError, CreateError, ErrorKind};
use crate::gateway::events::Events;
use crate::gateway::key_feed::KeyFeedFollower;
use crate::gateway::presence::{Presence, RemoteSessions};
use crate::gateway::registrations::{AgentCounts, Instances};
use crate::gateway::sessions::EndedSessions;
use crate::keys::{KeyId, KeyRecord, Kind, RuleError, Timestamp, check_name, mint};
use crate::metrics::registry::Metrics;
use crate::store::{
    AuditResult, Change, ChangeError, Durability, EventKind, FeedStore, GatewayId, KeyCursor,
    KeyEdit, KeyPage, KeyStore, Lookup, NewKey, StoreError, Written,
};
use listing::Listing;
use pending::Pending;
pub use pending_file::LeftRevokesError;
use pending_file::PendingFile;

/// Why a change or a question is refused.
#[derive(Debug, Clone, thiserror::Error)]
pub enum KeyAdminError {
    /// The store's step refused or failed.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// Whether the key was created is not known, or it was not.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// An edit that changes nothing.
    #[error("nothing to change: give a name, an expires_at, or both")]
    EmptyEdit,
}

impl KeyAdminError {
    /// Tells the audit trail whose fault it is.
    fn noted(self, actor: &Actor) -> Self {
        match &self {
            Self::Change(ChangeError::Store(error)) => actor.failed(error),
            Self::Create(CreateError::Unknown { .. }) => {
                actor.set_result(AuditResult::Unknown, Some(self.to_string()));
            }
            Self::Create(CreateError::NoRandomness(_) | CreateError::NotCreated(_)) => {
                actor.set_result(AuditResult::Failed, Some(self.to_string()));
            }
            Self::Change(_) | Self::EmptyEdit => {
                actor.set_result(AuditResult::Refused, Some(self.to_string()));
            }
        }
        self
    }
}

impl AdminError for KeyAdminError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Change(error) => error.kind(),
            Self::Create(error) => error.kind(),
            Self::EmptyEdit => ErrorKind::Invalid,
        }
    }
}

impl From<RuleError> for KeyAdminError {
    fn from(error: RuleError) -> Self {
        Self::Change(error.into())
    }
}

impl From<StoreError> for KeyAdminError {
    fn from(error: StoreError) -> Self {
        Self::Change(error.into())
    }
}

/// A new key, and the one chance to see its secret.
pub struct CreatedKey {
    /// What the store has.
    pub record: KeyRecord,
    /// The whole key, `dpk_…`.
    pub secret: SecretString,
    /// How many of the store's replicas have it.
    pub durability: Durability,
}

/// What lives under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Agents whose last join was with it, and that ever joined with it.
    pub agents: AgentCounts,
    /// Sessions live on all gateways.
    pub live_sessions: usize,
    /// When it was last in use, if ever: now, while a session is live.
    pub last_used: Option<Timestamp>,
}

/// Changes keys.
pub struct KeyAdmin {
    store: Arc<dyn FeedStore>,
    key_feed: Arc<KeyFeedFollower>,
    instances: Arc<Instances>,
    presence: Arc<Presence>,
    events: Arc<Events>,
    audit: Arc<Audit>,
    metrics: Arc<Metrics>,
    pending: Arc<Pending>,
    revoke_wait: Duration,
    stopping: CancellationToken,
    listing: Listing,
}

/// What a key admin works with.
pub struct KeyAdminParts {
    /// The store.
    pub store: Arc<dyn FeedStore>,
    /// The follower of the key feed.
    pub key_feed: Arc<KeyFeedFollower>,
    /// Agents and registrations.
    pub instances: Arc<Instances>,
    /// What other gateways have.
    pub presence: Arc<Presence>,
    /// Events.
    pub events: Arc<Events>,
    /// The audit trail.
    pub audit: Arc<Audit>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Longest wait for the streams of a revoked key.
    pub revoke_wait: Duration,
    /// Where revokes that the store has not taken outlive this process.
    pub pending_file: PathBuf,
    /// Cancelled when the gateway stops: nothing is waited for then.
    pub stopping: CancellationToken,
}

impl KeyAdmin {
    /// A key admin that waits at most `revoke_wait` for the streams of a
    /// revoked key to close before it answers.
    pub fn new(parts: KeyAdminParts) -> Self {
        let KeyAdminParts {
            store,
            key_feed,
            instances,
            presence,
            events,
            audit,
            metrics,
            revoke_wait,
            pending_file,
            stopping,
        } = parts;
        Self {
            pending: Pending::new(
                Arc::clone(&store) as Arc<dyn KeyStore>,
                Arc::clone(&key_feed),
                Arc::clone(&metrics),
                PendingFile::new(pending_file),
            ),
            store,
            key_feed,
            instances,
            presence,
            events,
            audit,
            metrics,
            revoke_wait,
            stopping,
            listing: Listing::default(),
        }
    }

    /// The store's time: what a status is computed at.
    pub fn now(&self) -> Timestamp {
        self.store.clock().now()
    }

    /// The sessions of the other gateways, for [`KeyAdmin::usage`].
    ///
    /// # Errors
    /// [`ChangeError::Store`].
    pub async fn elsewhere(&self) -> Result<Arc<RemoteSessions>, KeyAdminError> {
        Ok(self.presence.elsewhere().await?)
    }

    /// What lives under a key: agents ever, sessions now, its last use.
    pub fn usage(&self, key: KeyId, elsewhere: &RemoteSessions) -> Usage {
        let live_sessions = self.presence.live_sessions(key, elsewhere);
        Usage {
            agents: self.instances.counts(key),
            live_sessions,
            last_used: match live_sessions {
                0 => self.instances.last_used(key),
                _ => Some(self.now()),
            },
        }
    }

    /// The gateway that this runs on.
    pub fn gateway(&self) -> GatewayId {
        self.presence.own()
    }

    /// Makes a key.
    ///
    /// # Errors
    /// [`KeyAdminError`]: a bad name or expiry, a store that failed.
    pub async fn create(
        &self,
        actor: &Actor,
        name: String,
        expires_at: Option<Timestamp>,
    ) -> Result<CreatedKey, KeyAdminError> {
        check_name(&name)?;
        let minted = mint(Kind::DataPlaneKey)
            .map_err(|error| CreateError::NoRandomness(error.to_string()))?;
        let key = KeyId(minted.id);
        actor.begin_target(key, quoted(&name));
        let created = self.store.create(NewKey {
            id: key,
            digest: minted.digest,
            name,
            expires_at,
        });
        let written = created.await.map_err(|error| {
            let error: KeyAdminError = match error {
                ChangeError::Store(
                    cause @ (StoreError::NotWritten(_) | StoreError::NoWrites(_)),
                ) => CreateError::NotCreated(cause).into(),
                ChangeError::Store(cause) => CreateError::Unknown {
                    id: key.to_string(),
                    cause,
                }
                .into(),
                other => other.into(),
            };
            error.noted(actor)
        })?;
        let record = self.applied(actor, "create", &written).await.0?;
        Ok(CreatedKey {
            record,
            secret: minted.text,
            durability: self.store.settle(&written).await,
        })
    }

    /// One key, whatever its status.
    ///
    /// # Errors
    /// [`ChangeError::NotFound`], [`ChangeError::Store`].
    pub async fn get(&self, key: KeyId) -> Result<KeyRecord, KeyAdminError> {
        match self.store.load(key).await?.lookup {
            Lookup::Present(record) => Ok(record),
            Lookup::Deleted(_) | Lookup::Absent => Err(ChangeError::NotFound(key).into()),
        }
    }

    /// At most `limit` keys after `after`, in order of creation.
    ///
    /// # Errors
    /// [`ChangeError::Store`].
    pub async fn list(
        &self,
        after: Option<KeyCursor>,
        limit: usize,
    ) -> Result<KeyPage, KeyAdminError> {
        let page = self.store.list(after, limit).await?;
        if !page.unreadable.is_empty() {
            tracing::error!(keys = ?page.unreadable, "damaged records: these keys admit nobody");
        }
        Ok(page)
    }

    /// All readable keys, kept, and brought up to date with what changed.
    ///
    /// # Errors
    /// [`ChangeError::Store`].
    pub async fn all(&self) -> Result<Arc<Keys>, KeyAdminError> {
        Ok(self.listing.all(&*self.store).await?)
    }

    /// Changes a key's name, expiry or both.
    ///
    /// # Errors
    /// [`KeyAdminError`].
    pub async fn edit(
        &self,
        actor: &Actor,
        key: KeyId,
        edit: KeyEdit,
    ) -> Result<(KeyRecord, Durability), KeyAdminError> {
        let before = self.get(key).await.ok();
        actor.begin_target(key, in_words(before.as_ref(), &edit));
        if edit.name.is_none() && edit.expires_at.is_none() {
            return Err(KeyAdminError::EmptyEdit);
        }
        if let Some(name) = &edit.name {
            check_name(name)?;
        }
        let written = self.store.edit(key, edit).await;
        let written = written.map_err(|error| KeyAdminError::from(error).noted(actor))?;
        let record = self.applied(actor, "edit", &written).await.0?;
        Ok((record, self.store.settle(&written).await))
    }

    /// Forgets a revoked or expired key.
    ///
    /// # Errors
    /// [`ChangeError::NotFound`], [`ChangeError::StillValid`], [`ChangeError::Store`].
    pub async fn delete(&self, actor: &Actor, key: KeyId) -> Result<Durability, KeyAdminError> {
        // Once it is gone, only the trail has its name.
        let record = self.get(key).await.ok();
        actor.begin_target(key, record.map_or_else(String::new, |r| quoted(&r.name)));
        let written = self.store.delete(key).await;
        let written = written.map_err(|error| KeyAdminError::from(error).noted(actor))?;
        // One of several may fail after it.
        actor.set_result(AuditResult::Ok, None);
        record_change(&self.events, actor, "delete", &written);
        self.key_feed.apply(&written.change).await;
        if let Err(error) = self.instances.forget_key(key).await {
            tracing::warn!(%key, %error, "the registrations of a deleted key are still stored");
        }
        Ok(self.store.settle(&written).await)
    }

    async fn applied(
        &self,
        actor: &Actor,
        action: &str,
        written: &Written,
    ) -> (Result<KeyRecord, KeyAdminError>, EndedSessions) {
        record_change(&self.events, actor, action, written);
        let closing = self.key_feed.apply(&written.change).await;
        let record = match &written.change.change {
            Change::Created(record) | Change::Edited(record) | Change::Revoked(record) => {
                Ok(record.clone())
            }
            Change::Deleted { key, .. } => Err(ChangeError::NotFound(*key).into()),
        };
        (record, closing)
    }
}

/// A name in the trail.
fn quoted(name: &str) -> String {
    format!("{name:?}")
}

/// What an edit sets, and what was there before.
fn in_words(before: Option<&KeyRecord>, edit: &KeyEdit) -> String {
    let set = |field: &str, old: Option<String>, new: String| match old {
        Some(old) => format!("{field}: {old} -> {new}"),
        None => format!("{field}: {new}"),
    };
    let name = edit.name.as_deref().map(|name| {
        let old = before.map(|record| quoted(&record.name));
        set("name", old, quoted(name))
    });
    let expiry = edit.expires_at.map(|at| {
        let old = before.map(|record| record.expires_at.to_string());
        set("expires", old, at.to_string())
    });
    let words: Vec<_> = name.into_iter().chain(expiry).collect();
    words.join(", ")
}

fn record_change(events: &Events, actor: &Actor, action: &str, written: &Written) {
    tracing::info!(
        target: "muster::audit",
        actor = actor.name(),
        action,
        key = %written.change.change.key(),
        revision = %written.change.position.revision,
        "key changed"
    );
    let kind = match &written.change.change {
        Change::Created(_) => EventKind::KeyCreated,
        Change::Edited(_) => EventKind::KeyEdited,
        Change::Revoked(_) => EventKind::KeyRevoked,
        Change::Deleted { .. } => EventKind::KeyDeleted,
    };
    let key = written.change.change.key();
    events.note(kind, Some(key), None, format!("by {}", actor.name()));
}
