//! The store that is there takes the place of the one that a gateway knows.
//!
//! Must not know: how an operator confirms it.
//! Invariant: nothing is changed by the look, and an adoption changes no key.

use super::MaintenanceError;
use super::error::existing;
use crate::control::tokens::{name_first_token, some_opens_all};
use crate::files;
use crate::keys::{Id, PresentedToken, TokenId};
use crate::server::config::Config;
use crate::server::redis_options;
use crate::store::redis::{AdoptionState, RedisOptions, RedisStore};
use crate::store::{KeyStore, TokenStore};

/// What adopting would mean.
pub enum AdoptionCheck {
    /// The embedded store belongs to its directory.
    Embedded,
    /// The gateway has not been on a Redis yet.
    KnowsNone,
    /// The store is the one that it knows, or was adopted already.
    Known(Id),
    /// It can be done; or the known store has no valid admin token.
    Possible(Box<Adoption>),
}

/// An adoption that is decided on.
pub struct Adoption {
    /// The store that the gateway knows.
    pub lost: Id,
    pub found: AdoptionState,
    options: RedisOptions,
    token_file: std::path::PathBuf,
    by: String,
}

/// What was done.
#[derive(Debug)]
pub struct Adopted {
    /// The store that answers for the lost one now.
    pub store: Id,
    /// What became of the admin token.
    pub token: TokenFate,
}

/// What became of the data directory's admin token.
#[derive(Debug, PartialEq, Eq)]
pub enum TokenFate {
    /// The store has a valid admin token: nothing was done.
    NotNeeded,
    /// It was put into the store again.
    PutBack(TokenId),
    /// The store has none, and neither has this data directory: the next start
    /// of a gateway makes one.
    NoneHere,
    /// The store has none, and has this one as revoked or expired.
    Ended(TokenId),
}

/// Looks at what is where the gateway of `config` expects its store.
///
/// # Errors
/// [`MaintenanceError`].
pub async fn look(config: &Config) -> Result<AdoptionCheck, MaintenanceError> {
    let dir = existing(&config.data_dir)?;
    let Some(mut options) = redis_options(&config.store, Some(&dir))? else {
        return Ok(AdoptionCheck::Embedded);
    };
    let Some(lost) = options.known.take() else {
        return Ok(AdoptionCheck::KnowsNone);
    };
    let found = RedisStore::look(&options, lost).await?;
    if found == AdoptionState::Known {
        let known = Some(lost);
        let store = RedisStore::open(RedisOptions {
            known,
            ..options.clone()
        });
        if has_admin(&store.await?).await? {
            return Ok(AdoptionCheck::Known(lost));
        }
    }
    let adoption = Adoption {
        lost,
        found,
        options,
        token_file: dir.admin_token(),
        by: config.gateway_name.clone(),
    };
    Ok(AdoptionCheck::Possible(Box::new(adoption)))
}

impl Adoption {
    /// Does it; makes the store where there is none.
    ///
    /// # Errors
    /// [`MaintenanceError`]; `Foreign` when another store came in between.
    pub async fn adopt(self) -> Result<Adopted, MaintenanceError> {
        let mut options = self.options.clone();
        options.known = match self.found {
            AdoptionState::Empty => None,
            AdoptionState::Known => Some(self.lost),
            AdoptionState::Other { id, .. } => Some(id),
        };
        let store = RedisStore::open(options).await?;
        let has_admin = has_admin(&store).await?;
        if self.found != AdoptionState::Known {
            let note = format!("{} by {}", store.clock().now(), self.by);
            store.adopt(self.lost, &note).await?;
        }
        let token = if has_admin {
            TokenFate::NotNeeded
        } else {
            self.put_back(&store).await?
        };
        Ok(Adopted {
            store: store.id(),
            token,
        })
    }

    async fn put_back(&self, store: &RedisStore) -> Result<TokenFate, MaintenanceError> {
        let failed = |cause| MaintenanceError::TokenFile {
            path: self.token_file.clone(),
            cause,
        };
        let Some(bytes) = files::read_if_present(&self.token_file).map_err(failed)? else {
            return Ok(TokenFate::NoneHere);
        };
        let presented =
            PresentedToken::parse(&bytes).map_err(|fault| failed(std::io::Error::other(fault)))?;
        if store.token(presented.id).await?.is_some() {
            return Ok(TokenFate::Ended(presented.id));
        }
        name_first_token(store, presented, &self.by, store.clock().now()).await?;
        Ok(TokenFate::PutBack(presented.id))
    }
}

async fn has_admin(store: &RedisStore) -> Result<bool, MaintenanceError> {
    // Any answer brings the store's time.
    store.tokens(None, 1).await?;
    Ok(some_opens_all(store, store.clock().now()).await?)
}
