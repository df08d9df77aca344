//! Has every gateway applied it? What a revoke did, gateway by gateway.
//!
//! Must not know: how a gateway applies a change. Invariant: "complete" is what
//! the gateways themselves have reported, never a guess.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::GatewayOutcome;
use crate::keys::{Epoch, KeyRecord, Timestamp};
use crate::store::{Enrolled, FeedStore, GatewayId, Outcome, Reach, StoreError};

/// Between two looks at what the others have reported: a revoke is to be
/// answered as soon as the last of them has.
const LOOK: Duration = Duration::from_millis(5);

/// How long the store may take to answer, at least.
const ANSWER: Duration = Duration::from_secs(1);

/// What all gateways have reported of a revoked key, in order of their ids; also
/// those that have signed off since.
pub(super) async fn picture(
    store: &dyn FeedStore,
    key: &KeyRecord,
    epoch: Epoch,
) -> Result<Vec<GatewayOutcome>, StoreError> {
    let Reach {
        enrolled,
        position,
        outcomes,
    } = store.reach(key.id).await?;
    let now = store.clock().now();
    let left = outcomes
        .iter()
        .filter(|(id, _)| enrolled.iter().all(|gateway| gateway.info.id != *id))
        .map(|(id, told)| signed_off(*id, told, key));
    let mut all: Vec<_> = left.collect();
    all.extend(enrolled.into_iter().map(|gateway| {
        let told = outcomes.iter().find(|(of, _)| *of == gateway.info.id);
        let told = told.map(|(_, outcome)| outcome);
        // What a gateway closed is kept for a while only; how far it is, always.
        // In another history than that of the revoke, which may have lost it, its
        // revision says nothing.
        let is_of_now = position.epoch == epoch;
        let applied = told.is_some() || (is_of_now && gateway.has_applied(key.revision, position));
        outcome(gateway, applied, told, key, now)
    }));
    all.sort_by_key(|gateway| gateway.id);
    Ok(all)
}

/// Looks until all but `own` are done, at most for `at_most`, and not past a stop.
pub(super) async fn wait(
    store: &dyn FeedStore,
    (key, epoch): (&KeyRecord, Epoch),
    own: GatewayId,
    at_most: Duration,
    stopping: &CancellationToken,
) -> Result<Vec<GatewayOutcome>, StoreError> {
    let until = Instant::now() + at_most;
    loop {
        let looked = tokio::time::timeout(at_most.max(ANSWER), picture(store, key, epoch)).await;
        let mut picture =
            looked.map_err(|_| StoreError::Failed("no answer within the deadline".into()))??;
        picture.retain(|gateway| gateway.id != own && gateway.enrolled);
        if picture.iter().all(GatewayOutcome::is_done)
            || Instant::now() >= until
            || stopping.is_cancelled()
        {
            return Ok(picture);
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = stopping.cancelled() => {}
        }
    }
}

fn outcome(
    gateway: Enrolled,
    applied: bool,
    told: Option<&Outcome>,
    key: &KeyRecord,
    now: Timestamp,
) -> GatewayOutcome {
    let ends_after = gateway.standing.ends_after.filter(|_| !applied);
    GatewayOutcome {
        id: gateway.info.id,
        applied,
        enrolled: true,
        unreachable_since: Some(gateway.last_heartbeat).filter(|_| gateway.is_lapsed(now)),
        ends_by: ends_after.map(|after| gateway.last_heartbeat.saturating_add(after)),
        name: gateway.info.name,
        closed: told.map_or(0, |told| count(told.closed)),
        closing: told.map_or(0, |told| count(told.closing)),
        elapsed: told.map_or(Duration::ZERO, |told| since_revoke(key, told)),
    }
}

/// It reported, and has gone since: stopped, or forgotten.
fn signed_off(id: GatewayId, told: &Outcome, key: &KeyRecord) -> GatewayOutcome {
    GatewayOutcome {
        id,
        name: String::new(),
        applied: true,
        enrolled: false,
        unreachable_since: None,
        ends_by: None,
        closed: count(told.closed + told.closing),
        // With its process its streams have ended, too.
        closing: 0,
        elapsed: since_revoke(key, told),
    }
}

fn since_revoke(key: &KeyRecord, told: &Outcome) -> Duration {
    let begun = key.revoked_at;
    begun.map_or(Duration::ZERO, |begun| told.at.saturating_since(begun))
}

fn count(sessions: u64) -> usize {
    usize::try_from(sessions).unwrap_or(usize::MAX)
}
