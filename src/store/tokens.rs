//! The contract for admin tokens.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::error::StoreError;
use crate::keys::{Digest, KeyStatus, Timestamp, TokenId};

/// What a token's holder may do. Ordered: a greater role may do all that a
/// smaller one may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Reads, edits and revokes keys, disconnects sessions.
    Operator,
    /// Everything.
    Admin,
}

impl Role {
    /// The word for it: `viewer`, `operator`, `admin`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An admin token as the store keeps it: its digest, never the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRecord {
    /// The public id.
    pub id: TokenId,
    /// Whose it is, for the audit log.
    pub name: String,
    /// SHA-256 of the secret.
    pub digest: Digest,
    /// What it opens.
    pub role: Role,
    /// When it was made.
    pub created_at: Timestamp,
    /// From this time on it opens nothing; `None`: it does not expire.
    pub expires_at: Option<Timestamp>,
    /// Set once, by the revoke.
    pub revoked_at: Option<Timestamp>,
}

impl TokenRecord {
    /// The token's state at the time `now`.
    pub fn status(&self, now: Timestamp) -> KeyStatus {
        if self.revoked_at.is_some() {
            KeyStatus::Revoked
        } else if self.expires_at.is_some_and(|at| now >= at) {
            KeyStatus::Expired
        } else {
            KeyStatus::Valid
        }
    }
}

/// Why a token is not revoked. Nothing has changed then.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TokenChangeError {
    /// There is no such token.
    #[error("{0}: there is no such token")]
    NotFound(TokenId),
    /// Without it, no other could be made.
    #[error(
        "{0} is the last valid admin token: make another first \
         (muster tokens create NAME --role admin), then revoke this one with it"
    )]
    LastAdmin(TokenId),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A place in the list of tokens: creation time, then id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenCursor {
    /// When the token was made.
    pub created_at: Timestamp,
    /// The public id.
    pub id: TokenId,
}

impl TokenCursor {
    /// A token's place.
    pub fn of(token: &TokenRecord) -> Self {
        Self {
            created_at: token.created_at,
            id: token.id,
        }
    }
}

/// A run of tokens in order of creation.
#[derive(Debug, Clone, Default)]
pub struct TokenPage {
    /// The readable ones.
    pub records: Vec<TokenRecord>,
    /// Ids whose record is damaged: on the first page, for their creation time
    /// is not known.
    pub unreadable: Vec<TokenId>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<TokenCursor>,
}

/// Keeps admin tokens.
#[async_trait]
pub trait TokenStore: Send + Sync + 'static {
    /// The token of that id, as the last acknowledged write left it.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn token(&self, id: TokenId) -> Result<Option<TokenRecord>, StoreError>;

    /// Writes a new token.
    ///
    /// # Errors
    /// [`StoreError`], also when there is one of that id.
    async fn put_token(&self, token: TokenRecord) -> Result<(), StoreError>;

    /// At most `limit` tokens after `after`, in order of creation.
    ///
    /// # Errors
    /// [`StoreError`]. A damaged record is no error: the page names it.
    async fn tokens(
        &self,
        after: Option<TokenCursor>,
        limit: usize,
    ) -> Result<TokenPage, StoreError>;

    /// Revokes a token, unless it is the last valid one of the role admin; that
    /// is decided in the step that writes it, so that two admins who revoke each
    /// other leave one. Of a revoked token it returns the revoke that was.
    ///
    /// # Errors
    /// [`TokenChangeError`].
    async fn revoke_token(&self, id: TokenId) -> Result<TokenRecord, TokenChangeError>;
}
