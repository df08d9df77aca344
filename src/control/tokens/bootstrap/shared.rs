//! The first token of a store that several gateways share: one makes it, and
//! it is good on all.
//!
//! Owns: which gateway makes it, and what lies beside `admin.token` meanwhile. Must not
//! know: where the store is.
//! Invariants: of gateways that start at once one makes a token, the one whose
//! claim stands in the store; a crash at any point is healed by the next start.
//!
//! `admin.token.new` holds a token whose claim is not settled. What lies in
//! `admin.token.elsewhere` is the name of the gateway that made the token, if that
//! is still valid: it distinguishes a gateway that never had one from one that lost
//! it, which makes another.

use std::path::{Path, PathBuf};

use super::{FirstToken, FirstTokenError, at, keep, make, record, unknown};
use crate::files::{self, Access};
use crate::keys::{Digest, KeyStatus, Kind, PresentedToken, Timestamp, TokenId, mint};
use crate::store::{ClaimStore, Role, StoreError, TokenRecord, TokenStore};

/// The claim of the first token: its id, a space, the gateway's name.
const CLAIM: &str = "first_token";
/// Tokens looked at in one call.
const PAGE: usize = 1_000;

/// Sees to it that the store has a first admin token, and that `path` holds it
/// if this gateway, `gateway` by name, is the one that makes it. `known`: this
/// data directory has been on this store before.
///
/// # Errors
/// When a file can't be read or written, or the store fails.
pub async fn shared_first_token(
    store: &(impl TokenStore + ClaimStore),
    path: &Path,
    gateway: &str,
    known: bool,
    now: Timestamp,
) -> Result<FirstToken, FirstTokenError> {
    let (new, elsewhere) = (beside(path, "new"), beside(path, "elsewhere"));
    if let Some(bytes) = files::read_if_present(path).map_err(at(path))? {
        let Some(token) = keep(store, path, &bytes, now).await? else {
            if !known {
                return Err(unknown(path));
            }
            // A store that was adopted, or that lost it: agents are not to
            // suffer for it.
            tracing::warn!(
                file = %path.display(),
                "the store does not know the token in this file, which opens nothing; put it \
                 back with muster store adopt, or move the file away and start again to get a \
                 new one"
            );
            return Ok(FirstToken::OtherGateway(None));
        };
        if opens_all(&token, now) {
            // A store that was copied or adopted has no claim: then this is it.
            store.claim(CLAIM, &claim_of(token.id, gateway)).await?;
        }
        return Ok(FirstToken::Kept);
    }
    let unfinished = files::read_if_present(&new).map_err(at(&new))?;
    let unfinished = unfinished.and_then(|bytes| PresentedToken::parse(&bytes).ok());
    if known && unfinished.is_none() {
        match files::read_if_present(&elsewhere).map_err(at(&elsewhere))? {
            None => return make(store, path, now).await,
            Some(maker) if some_opens_all(store, now).await? => {
                let maker = String::from_utf8_lossy(&maker).trim().to_owned();
                return Ok(FirstToken::OtherGateway(
                    Some(maker).filter(|m| !m.is_empty()),
                ));
            }
            Some(_) => {}
        }
    }
    let (id, digest) = match unfinished {
        Some(token) => (token.id, token.digest),
        None => mint_into(&new)?,
    };
    let mut claim = CLAIM.to_owned();
    loop {
        let standing = store.claim(&claim, &claim_of(id, gateway)).await?;
        let (token, maker) = read_claim(&standing)?;
        if token == id {
            return finish(store, path, id, digest, now).await;
        }
        let found = store.token(token).await?;
        // One that is not there is on its way, or comes with its maker's next
        // start.
        let stands = found.is_none_or(|token| opens_all(&token, now));
        if stands || some_opens_all(store, now).await? {
            let maker = stands.then(|| maker.to_owned());
            let line = format!("{}\n", maker.as_deref().unwrap_or_default());
            files::write(&elsewhere, line.as_bytes(), Access::Public).map_err(at(&elsewhere))?;
            std::fs::remove_file(&new).map_err(at(&new))?;
            return Ok(FirstToken::OtherGateway(maker));
        }
        // It ended, and no other is left: one gateway makes its successor.
        claim = format!("{CLAIM}:{token}");
    }
}

/// The claim, name and value, that a token is a store's first, made by that
/// gateway: for a store that is made with it.
pub fn first_token_claim(token: TokenId, gateway: &str) -> (String, String) {
    (CLAIM.to_owned(), claim_of(token, gateway))
}

/// Makes a token that `gateway` holds the first of a store that has none.
///
/// # Errors
/// [`StoreError`], also when there is one of that id.
pub async fn name_first_token(
    store: &(impl TokenStore + ClaimStore),
    token: PresentedToken,
    gateway: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    store.put_token(record(token.id, token.digest, now)).await?;
    let claim = claim_of(token.id, gateway);
    store.claim(CLAIM, &claim).await.map(|_| ())
}

fn claim_of(token: TokenId, gateway: &str) -> String {
    format!("{token} {gateway}")
}

fn read_claim(claim: &str) -> Result<(TokenId, &str), StoreError> {
    let read = claim
        .split_once(' ')
        .and_then(|(token, maker)| Some((token.parse().ok()?, maker)));
    read.ok_or_else(|| StoreError::Corrupt {
        what: "the store's first token".into(),
        why: "its claim is not one".into(),
    })
}

/// Puts a claimed token into the store, unless a start before this one has, and
/// gives its file its name.
async fn finish(
    store: &impl TokenStore,
    path: &Path,
    id: TokenId,
    digest: Digest,
    now: Timestamp,
) -> Result<FirstToken, FirstTokenError> {
    if store.token(id).await?.is_none() {
        store.put_token(record(id, digest, now)).await?;
    }
    files::rename(&beside(path, "new"), path).map_err(at(path))?;
    Ok(FirstToken::Made)
}

fn mint_into(path: &Path) -> Result<(TokenId, Digest), FirstTokenError> {
    let minted = mint(Kind::AdminToken).map_err(std::io::Error::other)?;
    let line = format!("{}\n", minted.expose());
    files::write(path, line.as_bytes(), Access::Secret).map_err(at(path))?;
    Ok((TokenId(minted.id), minted.digest))
}

fn opens_all(token: &TokenRecord, now: Timestamp) -> bool {
    token.role == Role::Admin && token.status(now) == KeyStatus::Valid
}

/// Whether there is a valid admin token.
///
/// # Errors
/// [`StoreError`].
pub async fn some_opens_all(
    store: &(impl TokenStore + ?Sized),
    now: Timestamp,
) -> Result<bool, StoreError> {
    let mut after = None;
    loop {
        let page = store.tokens(after, PAGE).await?;
        if page.records.iter().any(|token| opens_all(token, now)) {
            return Ok(true);
        }
        after = page.next;
        if after.is_none() {
            return Ok(false);
        }
    }
}

fn beside(path: &Path, what: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(what);
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::store::KeyStore;
    use crate::store::embedded::EmbeddedStore;

    struct Site {
        store: EmbeddedStore,
        folder: tempfile::TempDir,
    }

    impl Site {
        fn new() -> Self {
            Self {
                store: EmbeddedStore::in_memory().unwrap(),
                folder: tempfile::tempdir().unwrap(),
            }
        }

        fn file(&self, gateway: &str) -> PathBuf {
            self.folder.path().join(format!("{gateway}.token"))
        }

        async fn start(&self, gateway: &str, known: bool) -> FirstToken {
            let now = self.store.clock().now();
            let file = self.file(gateway);
            shared_first_token(&self.store, &file, gateway, known, now)
                .await
                .unwrap()
        }

        fn id(&self, gateway: &str) -> TokenId {
            let bytes = fs::read(self.file(gateway)).unwrap();
            PresentedToken::parse(&bytes).unwrap().id
        }

        async fn tokens(&self) -> usize {
            self.store.tokens(None, 99).await.unwrap().records.len()
        }
    }

    fn of_one() -> FirstToken {
        FirstToken::OtherGateway(Some("one".into()))
    }

    #[tokio::test]
    async fn one_makes_it_and_the_others_are_told_who() {
        let site = Site::new();
        assert_eq!(site.start("one", false).await, FirstToken::Made);
        assert_eq!(site.start("two", false).await, of_one());
        assert!(!site.file("two").exists());
        assert!(!beside(&site.file("two"), "new").exists());
        // Also at their later starts.
        assert_eq!(site.start("one", true).await, FirstToken::Kept);
        assert_eq!(site.start("two", true).await, of_one());
        assert_eq!(site.tokens().await, 1);
    }

    #[tokio::test]
    async fn a_crash_after_the_claim_is_healed_by_the_next_start() {
        let site = Site::new();
        let new = beside(&site.file("one"), "new");
        let (id, _) = mint_into(&new).unwrap();
        let claimed = site.store.claim(CLAIM, &claim_of(id, "one")).await;
        assert_eq!(claimed.unwrap(), claim_of(id, "one"));
        // Meanwhile nobody takes its place.
        assert_eq!(site.start("two", false).await, of_one());
        assert_eq!(site.tokens().await, 0);
        assert_eq!(site.start("one", true).await, FirstToken::Made);
        assert_eq!((site.id("one"), site.tokens().await), (id, 1));

        // A crash after the put.
        fs::rename(site.file("one"), &new).unwrap();
        assert_eq!(site.start("one", true).await, FirstToken::Made);
        assert_eq!((site.id("one"), site.tokens().await), (id, 1));
        // A crash before the claim, by one that loses.
        mint_into(&beside(&site.file("three"), "new")).unwrap();
        assert_eq!(site.start("three", true).await, of_one());
        assert_eq!(site.tokens().await, 1);
    }

    #[tokio::test]
    async fn losing_the_file_locks_nobody_out() {
        let site = Site::new();
        site.start("one", false).await;
        site.start("two", false).await;
        let first = site.id("one");
        fs::remove_file(site.file("one")).unwrap();
        assert_eq!(site.start("one", true).await, FirstToken::Made);
        assert_ne!(site.id("one"), first);
        assert_eq!(site.start("two", true).await, of_one());
        // The first one's host is gone for good: its owner says so here.
        fs::remove_file(beside(&site.file("two"), "elsewhere")).unwrap();
        assert_eq!(site.start("two", true).await, FirstToken::Made);
        assert_eq!(site.tokens().await, 3);
    }

    #[tokio::test]
    async fn nothing_is_made_while_a_valid_admin_token_is_left_and_one_is_when_none_is() {
        let site = Site::new();
        site.start("one", false).await;
        let now = site.store.clock().now();
        let mut other = record(
            TokenId(mint(Kind::AdminToken).unwrap().id),
            Digest::DUMMY,
            now,
        );
        other.expires_at = Some(now.saturating_add(std::time::Duration::from_secs(3600)));
        site.store.put_token(other).await.unwrap();
        site.store.revoke_token(site.id("one")).await.unwrap();
        let of_others = FirstToken::OtherGateway(None);
        assert_eq!(site.start("two", false).await, of_others);
        assert_eq!(site.start("two", true).await, of_others);
        // The other one expires, too.
        site.store.clock().set_shift_millis(3_600_001);
        assert_eq!(site.start("two", true).await, FirstToken::Made);
        assert_eq!(site.start("three", false).await, of_others);
        assert_eq!(site.tokens().await, 3);
    }

    #[tokio::test]
    async fn a_token_that_the_store_lost_stops_no_gateway_that_was_there() {
        let site = Site::new();
        mint_into(&site.file("one")).unwrap();
        assert_eq!(
            site.start("one", true).await,
            FirstToken::OtherGateway(None)
        );
        let now = site.store.clock().now();
        let file = site.file("one");
        let refused = shared_first_token(&site.store, &file, "one", false, now).await;
        assert!(
            refused.is_err(),
            "another store's token is not taken for its own"
        );
        assert_eq!(site.tokens().await, 0);
    }

    #[tokio::test]
    async fn a_kept_token_is_the_first_of_a_store_without_a_claim() {
        let site = Site::new();
        let now = site.store.clock().now();
        make(&site.store, &site.file("one"), now).await.unwrap();
        assert_eq!(site.start("one", true).await, FirstToken::Kept);
        assert_eq!(site.start("two", false).await, of_one());
    }
}
