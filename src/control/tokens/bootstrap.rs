//! The first start's token: how the owner of the data directory gets in.

mod shared;

use std::io;
use std::path::Path;

pub(crate) use shared::{first_token_claim, name_first_token, shared_first_token, some_opens_all};

use super::TokenError;
use crate::files::{self, Access};
use crate::keys::{Digest, KeyStatus, Kind, PresentedToken, Timestamp, TokenId, mint};
use crate::store::{Role, StoreError, TokenRecord, TokenStore};

/// What became of the token file at a start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FirstToken {
    /// Made now: this is the store's first start with this data directory.
    Made,
    /// It was there, and the store knows it.
    Kept,
    /// There is none here: the gateway of this name has made the store's; none:
    /// that one has ended, and others hold valid ones.
    OtherGateway(Option<String>),
}

/// Why there is no first admin token.
#[derive(Debug, thiserror::Error)]
pub enum FirstTokenError {
    /// Its file, or what is in it.
    #[error("admin token: {0}")]
    File(#[from] io::Error),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Sees to it that `path` holds an admin token that the store knows. One that
/// is missing is made: write access to the data directory is ownership of the store
/// anyway, and losing the file must not lock its owner out.
///
/// # Errors
/// When the file can't be read or written, or the store fails.
pub async fn first_token(
    store: &(impl TokenStore + ?Sized),
    path: &Path,
    now: Timestamp,
) -> Result<FirstToken, FirstTokenError> {
    let Some(bytes) = files::read_if_present(path).map_err(at(path))? else {
        return make(store, path, now).await;
    };
    match keep(store, path, &bytes, now).await? {
        Some(_) => Ok(FirstToken::Kept),
        None => Err(unknown(path)),
    }
}

fn at(path: &Path) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn unknown(path: &Path) -> FirstTokenError {
    let text = "the store does not know this token (was the store replaced?); move the file away \
                and start again to get a new one";
    at(path)(io::Error::other(text)).into()
}

/// The token in the file that is there; `None`: the store does not know it.
async fn keep(
    store: &(impl TokenStore + ?Sized),
    path: &Path,
    bytes: &[u8],
    now: Timestamp,
) -> Result<Option<TokenRecord>, FirstTokenError> {
    let presented = PresentedToken::parse(bytes)
        .map_err(|fault| at(path)(io::Error::other(TokenError::from(fault))))?;
    let found = store.token(presented.id).await?;
    let Some(token) = found.filter(|token| token.digest == presented.digest) else {
        return Ok(None);
    };
    let status = token.status(now);
    if status != KeyStatus::Valid {
        // No reason not to start: others may hold tokens that open.
        tracing::warn!(
            token = %token.id,
            status = status.as_str(),
            file = %path.display(),
            "the token in this file opens nothing; move the file away and start again to get \
             a new one"
        );
    }
    Ok(Some(token))
}

async fn make(
    store: &(impl TokenStore + ?Sized),
    path: &Path,
    now: Timestamp,
) -> Result<FirstToken, FirstTokenError> {
    let minted = mint(Kind::AdminToken).map_err(io::Error::other)?;
    // The store first: a crash in between leaves a token without a holder, not
    // a file that opens nothing.
    let token = record(TokenId(minted.id), minted.digest, now);
    store.put_token(token).await?;
    let line = format!("{}\n", minted.expose());
    files::write(path, line.as_bytes(), Access::Secret).map_err(at(path))?;
    Ok(FirstToken::Made)
}

fn record(id: TokenId, digest: Digest, now: Timestamp) -> TokenRecord {
    TokenRecord {
        id,
        name: "first".into(),
        digest,
        role: Role::Admin,
        created_at: now,
        expires_at: None,
        revoked_at: None,
    }
}
