//! Authentication of a presented key: one decision table.
//!
//! Owns: the cache of key records and the only way to make a [`Principal`].
//! Must not know: sessions, gRPC.
//! Invariant: the cache may be stale; a caller that acts on a principal asks the gate
//! of `sessions` too, which may not.

mod cache;
mod staleness;
mod store_view;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use cache::KeyCache;
pub use staleness::{StaleMode, Staleness};
pub use store_view::StoreView;

use crate::keys::{Digest, KeyId, KeyRecord, Position, PresentedKey, Timestamp};
use crate::metrics::registry::Metrics;
use crate::store::{KeyStore, StoreError};
use cache::Cached;

/// Proof that a key was presented with its right secret and was good, as of a
/// revision. Made here alone.
#[derive(Debug, Clone)]
pub struct Principal {
    key: KeyId,
    position: Position,
    expires_at: Timestamp,
    begun_at: Instant,
}

impl Principal {
    /// Which key.
    pub fn key(&self) -> KeyId {
        self.key
    }

    /// The epoch and revision of the record it was judged by.
    pub fn position(&self) -> Position {
        self.position
    }

    /// When that record expires.
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// How long ago its judgement began: its record can't be older than that
    /// without a gate knowing.
    pub fn age(&self) -> Duration {
        self.begun_at.elapsed()
    }
}

/// Why a presented key does not open.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AuthError {
    /// The store has nothing under that id.
    #[error("unknown key")]
    Absent,
    /// The key was deleted; to the outside the same as unknown.
    #[error("deleted key")]
    Deleted,
    /// The secret is not that key's; to the outside the same as unknown.
    #[error("wrong secret")]
    WrongSecret,
    /// The secret is right, the key revoked.
    #[error("{key} was revoked at {at}")]
    Revoked {
        /// Which key.
        key: KeyId,
        /// When.
        at: Timestamp,
    },
    /// The secret is right, the key expired.
    #[error("{key} expired at {at}")]
    Expired {
        /// Which key.
        key: KeyId,
        /// When.
        at: Timestamp,
    },
    /// It can't be judged now: our fault, not the agent's.
    #[error("the key can't be verified: {0}")]
    Unavailable(#[from] StoreError),
}

/// May the judgement come from the cache?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Yes.
    Cached,
    /// No: the gate knows more than the cache did.
    Reloaded,
}

/// Settings of the authenticator.
#[derive(Debug, Clone)]
pub struct AuthOptions {
    /// Keys kept in the cache.
    pub cache_capacity: u64,
    /// How long a load may take.
    pub load_deadline: Duration,
    /// How long the last look at a key past its expiry may take.
    pub expiry_recheck_deadline: Duration,
}

/// Judges presented keys.
pub struct Authenticator {
    cache: KeyCache,
    store: Arc<dyn KeyStore>,
    view: Arc<StoreView>,
    metrics: Arc<Metrics>,
    expiry_recheck_deadline: Duration,
}

impl Authenticator {
    /// An authenticator over `store`; `view` says which history counts, and
    /// what may be done at its age.
    pub fn new(
        store: Arc<dyn KeyStore>,
        view: Arc<StoreView>,
        options: &AuthOptions,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            cache: KeyCache::new(
                Arc::clone(&store),
                Arc::clone(&view),
                options,
                Arc::clone(&metrics),
            ),
            store,
            view,
            metrics,
            expiry_recheck_deadline: options.expiry_recheck_deadline,
        }
    }

    /// The cache, for the follower of the feed.
    pub fn cache(&self) -> &KeyCache {
        &self.cache
    }

    /// Judges a presented key.
    ///
    /// | the key is | answer |
    /// | --- | --- |
    /// | absent, deleted | refused, after the same comparison |
    /// | there, the digest differs | refused |
    /// | revoked | refused, by name: the secret was right |
    /// | expired | looked at once more, then refused by name |
    /// | good, but the view too old to say so | unavailable |
    /// | else | [`Principal`] |
    ///
    /// # Errors
    /// [`AuthError`].
    pub async fn authenticate(
        &self,
        presented: &PresentedKey,
        freshness: Freshness,
    ) -> Result<Principal, AuthError> {
        let started = Instant::now();
        let answer = self.look_up(presented, freshness, started).await;
        self.metrics
            .verify_seconds
            .observe(started.elapsed().as_secs_f64());
        answer
    }

    async fn look_up(
        &self,
        presented: &PresentedKey,
        freshness: Freshness,
        started: Instant,
    ) -> Result<Principal, AuthError> {
        let found = match freshness {
            Freshness::Cached => self.cache.get(presented.id).await,
            Freshness::Reloaded => self.cache.reload(presented.id).await,
        };
        let cached = match found {
            Ok(cached) => cached,
            Err(error @ (AuthError::Absent | AuthError::Deleted)) => {
                // The same work as for a wrong secret; the result is known.
                let _ = std::hint::black_box(presented.digest == Digest::DUMMY);
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        if presented.digest != cached.record.digest {
            return Err(AuthError::WrongSecret);
        }
        match self.check_record(&cached, started) {
            Err(AuthError::Expired { .. }) if !cached.is_confirmed_expired() => {
                self.reload_expired(&cached, started).await
            }
            decided => decided,
        }
    }

    /// Whether the view is young enough to let known keys in. For callers that act
    /// on a principal that may have been made long ago.
    ///
    /// # Errors
    /// [`AuthError::Unavailable`].
    pub fn check_age(&self) -> Result<(), AuthError> {
        let age = self.view.age();
        if self.view.staleness().admits_known(age) {
            return Ok(());
        }
        Err(too_old(age))
    }

    /// Loads a key past the cache, within the deadline for keys past their
    /// expiry: it may have been extended in its last second.
    ///
    /// # Errors
    /// [`AuthError`]: `Absent`, `Deleted` or `Unavailable`.
    pub async fn reload(&self, key: KeyId) -> Result<(KeyRecord, Position), AuthError> {
        let reload = self.cache.reload(key);
        let cached = tokio::time::timeout(self.expiry_recheck_deadline, reload)
            .await
            .map_err(|_| StoreError::Failed("no answer within the deadline".into()))??;
        Ok((cached.record.clone(), cached.position()))
    }

    async fn reload_expired(
        &self,
        stale: &Cached,
        started: Instant,
    ) -> Result<Principal, AuthError> {
        let expired = AuthError::Expired {
            key: stale.record.id,
            at: stale.record.expires_at,
        };
        let reload = self.cache.reload(stale.record.id);
        match tokio::time::timeout(self.expiry_recheck_deadline, reload).await {
            Ok(Ok(fresh)) => {
                let decided = self.check_record(&fresh, started);
                if matches!(decided, Err(AuthError::Expired { .. })) {
                    fresh.confirm_expired();
                }
                decided
            }
            Ok(Err(gone @ (AuthError::Absent | AuthError::Deleted))) => Err(gone),
            // No answer; the feed may have brought one meanwhile.
            Ok(Err(_)) | Err(_) if self.is_replaced(stale).await => {
                let why = "the key changed while it was looked up".into();
                Err(StoreError::Failed(why).into())
            }
            // Once it is past its expiry, a key can't be extended.
            Ok(Err(_)) | Err(_) if self.has_heard_since(stale.record.expires_at) => Err(expired),
            Ok(Err(unavailable)) => Err(unavailable),
            Err(_) => Err(StoreError::Failed("no answer within the deadline".into()).into()),
        }
    }

    /// Whether the cache has another record than that one.
    async fn is_replaced(&self, stale: &Cached) -> bool {
        let cached = self.cache.record(stale.record.id).await;
        cached.is_none_or(|cached| cached != stale.record)
    }

    /// Whether all that the store had at that time is known here.
    pub fn has_heard_since(&self, moment: Timestamp) -> bool {
        let since = self.store.clock().now().saturating_since(moment);
        since > self.view.age()
    }

    fn check_record(&self, cached: &Cached, started: Instant) -> Result<Principal, AuthError> {
        let record = &cached.record;
        if let Some(at) = record.revoked_at {
            return Err(AuthError::Revoked { key: record.id, at });
        }
        if self.store.clock().now() >= record.expires_at {
            return Err(AuthError::Expired {
                key: record.id,
                at: record.expires_at,
            });
        }
        // After the ends, which no news could undo.
        self.check_age()?;
        Ok(Principal {
            key: record.id,
            position: cached.position(),
            expires_at: record.expires_at,
            begun_at: started,
        })
    }
}

/// The store was not heard for longer than the policy allows.
fn too_old(age: Duration) -> AuthError {
    let why = format!("what is known of it is {} s old", age.as_secs());
    StoreError::Failed(why).into()
}
