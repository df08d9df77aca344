//! Admin tokens: judging a presented one, making, listing and revoking them.
//! Transport-free: every interface ends here.
//!
//! Owns: when a token opens, and the audit record of its changes. Must not
//! know: gRPC, which role which call needs.
//! Invariant: a token is judged by the store at every call; there is no cache
//! that could outlive a revoke.

mod bootstrap;

use std::sync::Arc;

use secrecy::SecretString;

pub(crate) use bootstrap::{
    FirstToken, FirstTokenError, first_token, first_token_claim, name_first_token,
    shared_first_token, some_opens_all,
};

use crate::control::audit::Actor;
use crate::control::error::{AdminError, CreateError, ErrorKind};
use crate::keys::{
    CredentialError, Digest, KeyStatus, Kind, PresentedToken, RuleError, Timestamp, TokenId,
    check_future, check_name, mint,
};
use crate::store::{
    Role, StoreClock, StoreError, TokenChangeError, TokenCursor, TokenPage, TokenRecord, TokenStore,
};

/// Why a presented token does not open.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TokenError {
    /// It is not a token at all.
    #[error("{}", match .0 {
        CredentialError::Missing => "no admin token: send `authorization: Bearer mat_…`",
        CredentialError::Malformed => "not an admin token (expected mat_…)",
        CredentialError::Damaged => "admin token is damaged or cut off: copy the whole token again",
    })]
    Credential(#[from] CredentialError),
    /// No such token, or not its secret.
    #[error("unknown admin token: use the one in the data directory's admin.token")]
    Unknown,
    /// Its secret is right, but it was revoked.
    #[error("your token {0} was revoked: ask an admin for another")]
    Revoked(TokenId),
    /// Its secret is right, but its time is over.
    #[error("your token {0} has expired: ask an admin for another")]
    Expired(TokenId),
    /// It can't be judged now.
    #[error("admin tokens can't be verified now: {0}")]
    Unavailable(#[from] StoreError),
}

/// Why a change of a token is refused.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TokenAdminError {
    /// The store's step refused or failed.
    #[error(transparent)]
    Change(#[from] TokenChangeError),
    /// A bad name or expiry.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// Whether the token was created is not known, or it was not.
    #[error(transparent)]
    Create(#[from] CreateError),
}

impl AdminError for TokenError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Credential(_) | Self::Unknown | Self::Revoked(_) | Self::Expired(_) => {
                ErrorKind::Unauthenticated
            }
            Self::Unavailable(error) => error.kind(),
        }
    }
}

impl AdminError for TokenAdminError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Change(error) => error.kind(),
            Self::Rule(error) => error.kind(),
            Self::Create(error) => error.kind(),
        }
    }
}

impl From<StoreError> for TokenAdminError {
    fn from(error: StoreError) -> Self {
        Self::Change(error.into())
    }
}

/// A new token, and the one chance to see its secret. Has no `Debug`.
pub struct CreatedToken {
    /// What the store has.
    pub record: TokenRecord,
    /// The whole token, `mat_…`.
    pub secret: SecretString,
}

/// Judges and changes the admin tokens of a store.
#[derive(Clone)]
pub struct Tokens {
    store: Arc<dyn TokenStore>,
    clock: StoreClock,
}

impl Tokens {
    /// The tokens of `store`, judged by its clock.
    pub fn new(store: Arc<dyn TokenStore>, clock: StoreClock) -> Self {
        Self { store, clock }
    }

    /// The store's time: what a status is computed at.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Judges the value of an `authorization` header.
    ///
    /// # Errors
    /// [`TokenError`]. That a token was revoked or has expired is said only to
    /// a caller that has its secret.
    pub async fn judge(&self, authorization: Option<&[u8]>) -> Result<TokenRecord, TokenError> {
        let presented = PresentedToken::parse(authorization.unwrap_or_default())?;
        let found = self.store.token(presented.id).await?;
        // Absent costs the same comparison as a wrong secret.
        let digest = found.as_ref().map_or(Digest::DUMMY, |token| token.digest);
        let same = presented.digest == digest;
        let token = found.filter(|_| same).ok_or(TokenError::Unknown)?;
        match token.status(self.now()) {
            KeyStatus::Valid => Ok(token),
            KeyStatus::Revoked => Err(TokenError::Revoked(token.id)),
            KeyStatus::Expired => Err(TokenError::Expired(token.id)),
        }
    }

    /// Makes a token; `by` is the one that asks.
    ///
    /// # Errors
    /// [`TokenAdminError`]: a bad name or expiry, a store that failed.
    pub async fn create(
        &self,
        by: &Actor,
        name: String,
        role: Role,
        expires_at: Option<Timestamp>,
    ) -> Result<CreatedToken, TokenAdminError> {
        check_name(&name)?;
        let now = self.now();
        expires_at.map_or(Ok(()), |at| check_future(at, now))?;
        let minted =
            mint(Kind::AdminToken).map_err(|error| CreateError::NoRandomness(error.to_string()))?;
        by.begin_target(TokenId(minted.id), format!("{name:?}, {role}"));
        let record = TokenRecord {
            id: TokenId(minted.id),
            name,
            digest: minted.digest,
            role,
            created_at: now,
            expires_at,
            revoked_at: None,
        };
        let written = self.store.put_token(record.clone()).await;
        written.map_err(|cause| {
            by.failed(&cause);
            CreateError::Unknown {
                id: record.id.to_string(),
                cause,
            }
        })?;
        audit(by, "create", &record);
        Ok(CreatedToken {
            record,
            secret: minted.text,
        })
    }

    /// At most `limit` tokens after `after`, in order of creation.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(
        &self,
        after: Option<TokenCursor>,
        limit: usize,
    ) -> Result<TokenPage, TokenAdminError> {
        let page = self.store.tokens(after, limit).await?;
        if !page.unreadable.is_empty() {
            tracing::error!(tokens = ?page.unreadable, "damaged records: these tokens open nothing");
        }
        Ok(page)
    }

    /// Ends a token: the next call with it is refused.
    ///
    /// # Errors
    /// [`TokenChangeError`].
    pub async fn revoke(&self, by: &Actor, token: TokenId) -> Result<TokenRecord, TokenAdminError> {
        by.begin_target(token, "");
        let revoked = self.store.revoke_token(token).await;
        let record = revoked.inspect_err(|error| {
            if let TokenChangeError::Store(error) = error {
                by.failed(error);
            }
        })?;
        by.set_detail(format!("{:?}, {}", record.name, record.role));
        audit(by, "revoke", &record);
        Ok(record)
    }
}

/// The actor of a token in the audit log.
pub fn actor(token: &TokenRecord) -> String {
    format!("{} ({})", token.name, token.id)
}

fn audit(by: &Actor, action: &str, token: &TokenRecord) {
    tracing::info!(
        target: "muster::audit",
        actor = by.name(),
        action,
        token = %token.id,
        role = %token.role,
        "admin token changed"
    );
}
