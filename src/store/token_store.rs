//! The contract for admin tokens.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::key_store::StoreError;
use crate::keys::{Digest, Timestamp, TokenId};

/// What a token's holder may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything.
    Admin,
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
}

/// Keeps admin tokens.
#[async_trait]
pub trait TokenStore: Send + Sync + 'static {
    /// The token of that id.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn token(&self, id: TokenId) -> Result<Option<TokenRecord>, StoreError>;

    /// Writes a token.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn put_token(&self, token: TokenRecord) -> Result<(), StoreError>;
}
