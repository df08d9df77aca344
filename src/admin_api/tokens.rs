//! Admin tokens: making the first, judging a presented one.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

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
    let door_says = |error: TokenError| io::Error::other(format!("{}: {error}", path.display()));
    match fs::read(path) {
        Ok(bytes) => {
            let presented = PresentedToken::parse(&bytes).map_err(|e| door_says(e.into()))?;
            let found = store.token(presented.id).await.map_err(io::Error::other)?;
            if found.is_some_and(|token| token.digest == presented.digest) {
                return Ok(FirstToken::Kept);
            }
            Err(io::Error::other(format!(
                "{}: the store does not know this token (was the store replaced?); move the \
                 file away and start again to get a new one",
                path.display()
            )))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let minted = mint(Kind::AdminToken).map_err(io::Error::other)?;
            let token = TokenRecord {
                id: TokenId(minted.id),
                name: "first".into(),
                digest: minted.digest,
                role: Role::Admin,
                created_at: now,
            };
            // The store first: a crash in between leaves a token that nobody
            // holds, not a file that opens nothing.
            store.put_token(token).await.map_err(io::Error::other)?;
            write_secret(path, minted.expose())
                .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))?;
            Ok(FirstToken::Made)
        }
        Err(error) => Err(io::Error::new(
            error.kind(),
            format!("{}: {error}", path.display()),
        )),
    }
}

/// Readable by its owner alone from the first moment; whole or not there.
fn write_secret(path: &Path, secret: &str) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let unfinished = path.with_extension("new");
    if unfinished.try_exists()? {
        fs::remove_file(&unfinished)?;
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished)?;
    writeln!(file, "{secret}")?;
    file.sync_all()?;
    fs::rename(&unfinished, path)
}
