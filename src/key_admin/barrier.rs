//! Has every gateway applied it? What a revoke did, gateway by gateway.
//!
//! Must not know: how a gateway applies a change. Invariant: "complete" is what
//! the gateways themselves have reported, never a guess.

use std::time::{Duration, Instant};

use super::GatewayOutcome;
use crate::keys::{KeyRecord, Timestamp};
use crate::store::{Enrolled, GatewayId, KeyStore, Outcome, StoreError};

/// Between two looks at what the others have reported: a revoke is to be
/// answered as soon as the last of them has.
const LOOK: Duration = Duration::from_millis(5);

/// How long the store may take to tell, at least.
const ANSWER: Duration = Duration::from_secs(1);

/// What has been reported of a revoked key by the gateways but `own`.
async fn picture(
    store: &dyn KeyStore,
    key: &KeyRecord,
    own: GatewayId,
) -> Result<Vec<GatewayOutcome>, StoreError> {
    // In this order: a gateway reports what a change did in the same step with
    // which it says that it has applied it.
    let (enrolled, _) = store.gateways().await?;
    let outcomes = store.outcomes(key.id).await?;
    let others = enrolled
        .into_iter()
        .filter(|gateway| gateway.info.id != own);
    Ok(others
        .map(|gateway| {
            let told = outcomes.iter().find(|(of, _)| *of == gateway.info.id);
            outcome(gateway, told.map(|(_, outcome)| outcome), key)
        })
        .collect())
}

/// Looks until all of them are done, at most so long.
pub(super) async fn wait(
    store: &dyn KeyStore,
    key: &KeyRecord,
    own: GatewayId,
    at_most: Duration,
) -> Result<Vec<GatewayOutcome>, StoreError> {
    let until = Instant::now() + at_most;
    loop {
        let looked = tokio::time::timeout(at_most.max(ANSWER), picture(store, key, own)).await;
        let picture =
            looked.map_err(|_| StoreError::Failed("no answer within the deadline".into()))??;
        if picture.iter().all(GatewayOutcome::is_done) || Instant::now() >= until {
            return Ok(picture);
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn outcome(gateway: Enrolled, told: Option<&Outcome>, key: &KeyRecord) -> GatewayOutcome {
    let since = |at: Timestamp| {
        key.revoked_at
            .map_or(Duration::ZERO, |begun| at.saturating_since(begun))
    };
    // What a gateway closed is kept for a while only; how far it is, always.
    let applied = told.is_some() || gateway.applied >= key.revision;
    GatewayOutcome {
        id: gateway.info.id,
        name: gateway.info.name,
        applied,
        closed: told.map_or(0, |told| count(told.closed)),
        closing: told.map_or(0, |told| count(told.closing)),
        elapsed: told.map_or(Duration::ZERO, |told| since(told.at)),
    }
}

fn count(sessions: u64) -> usize {
    usize::try_from(sessions).unwrap_or(usize::MAX)
}
