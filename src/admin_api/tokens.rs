//! Admin tokens: making the first, judging a presented one.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::files::{self, Access};
use crate::keys::{CredentialError, Digest, Kind, PresentedToken, Timestamp, TokenId, mint};
use crate::store::{Role, StoreError, TokenRecord, TokenStore};

/// Why a presented token does not open.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TokenError {
    /// It is not a token at all.
    #[error("{}", match .0 {
        CredentialError::Missing => "no admin token: send `authorization: Bearer mat_…`",
        CredentialError::Misshapen => "not an admin token (expected mat_…)",
        CredentialError::Damaged => "admin token is damaged or cut off: copy the whole token again",
    })]
    Credential(#[from] CredentialError),
    /// No such token, or not its secret.
    #[error("unknown admin token: use the one in the data directory's admin.token")]
    Unknown,
    /// It can't be judged now.
    #[error("admin tokens can't be verified now: {0}")]
    Unavailable(#[from] StoreError),
}

/// Judges presented admin tokens.
#[derive(Clone)]
pub struct TokenDoor {
    store: Arc<dyn TokenStore>,
}

impl TokenDoor {
    /// A door over the tokens of `store`.
    pub fn new(store: Arc<dyn TokenStore>) -> Self {
        Self { store }
    }

    /// Judges the value of an `authorization` header.
    ///
    /// # Errors
    /// [`TokenError`].
    pub async fn open(&self, authorization: Option<&[u8]>) -> Result<TokenRecord, TokenError> {
        let presented = PresentedToken::parse(authorization.unwrap_or_default())?;
        self.judge(&presented).await
    }

    async fn judge(&self, presented: &PresentedToken) -> Result<TokenRecord, TokenError> {
        let found = self.store.token(presented.id).await?;
        // Absent costs the same comparison as a wrong secret.
        let digest = found.as_ref().map_or(Digest::DUMMY, |token| token.digest);
        let same = presented.digest == digest;
        found.filter(|_| same).ok_or(TokenError::Unknown)
    }
}

/// What became of the token file at a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstToken {
    /// Made now: this is the store's first start with this data directory.
    Made,
    /// It was there, and the store knows it.
    Kept,
}

/// Sees to it that `path` holds an admin token that the store knows. One that
/// is missing is made: whoever can write the data directory owns the store
/// anyway, and losing the file must not lock its owner out.
///
/// # Errors
/// When the file can't be read or written, or the store fails.
pub async fn first_token(
    store: &dyn TokenStore,
    path: &Path,
    now: Timestamp,
) -> Result<FirstToken, io::Error> {
    let at =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    if let Some(bytes) = files::read_if_present(path).map_err(at)? {
        let presented = PresentedToken::parse(&bytes)
            .map_err(|fault| at(io::Error::other(TokenError::from(fault))))?;
        let found = store.token(presented.id).await.map_err(io::Error::other)?;
        if found.is_some_and(|token| token.digest == presented.digest) {
            return Ok(FirstToken::Kept);
        }
        return Err(at(io::Error::other(
            "the store does not know this token (was the store replaced?); move the file away \
             and start again to get a new one",
        )));
    }
    let minted = mint(Kind::AdminToken).map_err(io::Error::other)?;
    let token = TokenRecord {
        id: TokenId(minted.id),
        name: "first".into(),
        digest: minted.digest,
        role: Role::Admin,
        created_at: now,
        expires_at: None,
        revoked_at: None,
    };
    // The store first: a crash in between leaves a token that nobody holds, not
    // a file that opens nothing.
    store.put_token(token).await.map_err(io::Error::other)?;
    let line = format!("{}\n", minted.expose());
    files::write(path, line.as_bytes(), Access::Secret).map_err(at)?;
    Ok(FirstToken::Made)
}
