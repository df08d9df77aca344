//! One gateway's data, moved to a Redis that several can share.
//!
//! Must not know: what is asked of whom. Invariants: the file is not changed,
//! and no gateway has it meanwhile; a copy that is not complete is no store.

use std::path::Path;

use super::MaintenanceError;
use super::error::existing;
use crate::control::tokens::first_token_claim;
use crate::files;
use crate::keys::{Id, PresentedToken};
use crate::server::config::{StoreConfig, StorePlace};
use crate::server::{DataDir, redis_options};
use crate::store::StoreError;
use crate::store::embedded;
use crate::store::redis::{CopyEnd, CopyTarget};
use crate::store::scan::{OddKind, Row, read_key, read_token};

/// What was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// The new store's id; the data directory knows it now.
    pub store: Id,
    /// Keys, without the markers of deleted ones.
    pub keys: u64,
    pub tokens: u64,
    pub agents: u64,
    pub registrations: u64,
    /// Keys that were ever used.
    pub uses: u64,
    pub events: u64,
    /// Records of the audit trail.
    pub audit: u64,
}

/// Copies the embedded store of the data directory `from` to the Redis of `to`;
/// `gateway` is the name of its gateway. `progress` gets the number of rows
/// written and read back so far.
///
/// # Errors
/// [`MaintenanceError`]. Where the target held anything, nothing was changed; after
/// an error on the way the target is no store until it is begun anew (`again`).
pub async fn copy(
    from: &Path,
    to: &StoreConfig,
    gateway: &str,
    again: bool,
    progress: &mut dyn FnMut(u64),
) -> Result<Copied, MaintenanceError> {
    if to.place == StorePlace::Embedded {
        return Err(MaintenanceError::NotToRedis);
    }
    let dir = existing(from)?;
    let Some(options) = redis_options(to, Some(&dir))? else {
        return Err(MaintenanceError::NotToRedis);
    };
    if options.known.is_some() {
        return Err(MaintenanceError::KnowsAnother {
            path: dir.store_id(),
        });
    }
    // No gateway gets at the file before all is read back.
    let _held = embedded::hold(&dir.store())?;
    let mut source = embedded::scan(&dir.store())?;
    let target = CopyTarget::begin(&options, source.now, again).await?;
    let mut rows = 0;
    let mut expected = [0; 7];
    let first = first_token(&dir)?;
    let mut claims = Vec::new();
    while let Some(page) = source.pages.recv().await {
        let page = page?;
        check_page(&page)?;
        count(&page, &mut expected);
        for row in &page {
            if let (Row::Token { id, row }, Some(first)) = (row, &first)
                && first.id == *id
                && read_token(*id, row)?.digest == first.digest
            {
                claims.push(first_token_claim(*id, gateway));
            }
        }
        rows += target.put(&page).await?;
        progress(rows);
    }
    verify(&dir, &target, rows, progress).await?;
    let found = target.counts().await?;
    if found != expected {
        let words = format!("{found:?} rows in place of {expected:?}");
        return Err(MaintenanceError::Differs(words));
    }
    let end = CopyEnd {
        revision: source.revision,
        expiries_until: source.expiries_until,
        claims,
        settings: source.settings,
    };
    let store = target.finish(end).await?;
    dir.remember_store(store)?;
    let [keys, tokens, agents, registrations, uses, events, audit] = found;
    Ok(Copied {
        store,
        keys,
        tokens,
        agents,
        registrations,
        uses,
        events,
        audit,
    })
}

/// Reads every key and token back, against the file once more.
async fn verify(
    dir: &DataDir,
    target: &CopyTarget,
    mut rows: u64,
    progress: &mut dyn FnMut(u64),
) -> Result<(), MaintenanceError> {
    let mut second = embedded::scan(&dir.store())?;
    while let Some(page) = second.pages.recv().await {
        let verified = target.verify(&page?).await;
        rows += verified.map_err(|error| MaintenanceError::Differs(error.to_string()))?;
        progress(rows);
    }
    Ok(())
}

/// What must not be lost can be read.
fn check_page(page: &[Row]) -> Result<(), MaintenanceError> {
    for row in page {
        match row {
            Row::Key { id, row } => read_key(*id, row).map(|_| ()),
            Row::Token { id, row } => read_token(*id, row).map(|_| ()),
            Row::Odd(odd) if odd.kind == OddKind::Damaged => Err(StoreError::Corrupt {
                what: odd.subject.clone(),
                why: odd.fault.clone(),
            }),
            _ => Ok(()),
        }
        .map_err(MaintenanceError::Damaged)?;
    }
    Ok(())
}

fn count(page: &[Row], counts: &mut [u64; 7]) {
    for row in page {
        let at = match row {
            Row::Listed { .. } => 0,
            Row::Token { .. } => 1,
            Row::Agent { .. } => 2,
            Row::Registration { .. } => 3,
            Row::Use { .. } => 4,
            Row::Event { .. } => 5,
            Row::Audit { .. } => 6,
            Row::Key { .. } | Row::Change { .. } | Row::Odd(_) => continue,
        };
        counts[at] += 1;
    }
}

/// The data directory's own admin token, if it has one that is sound.
fn first_token(dir: &DataDir) -> Result<Option<PresentedToken>, MaintenanceError> {
    let path = dir.admin_token();
    let bytes = files::read_if_present(&path)
        .map_err(|cause| MaintenanceError::TokenFile { path, cause })?;
    Ok(bytes.and_then(|bytes| PresentedToken::parse(&bytes).ok()))
}
