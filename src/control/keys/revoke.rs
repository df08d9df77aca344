//! A revoke: written, applied here, waited for; or, where the store does not take
//! it, applied here and pending.
//!
//! Must not know: how other gateways hear of it. Invariant: the caller of a
//! revoke is not answered before no session of the key can be opened here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::outcome::{own_outcome, unheard};
use super::pending_file::{LeftRevokesError, PendingRevoke};
use super::{
    Actor, GatewayOutcome, KeyAdmin, KeyAdminError, RevokeOutcome, gateway_wait, pending, quoted,
    record_change,
};
use crate::control::audit::{Action, Origin};
use crate::gateway::sessions::EndedSessions;
use crate::keys::{KeyId, KeyRecord, Revision};
use crate::store::{AuditResult, ChangeError, Durability, Lookup, StoreError, Written};

/// The action in the audit trail.
const REVOKE: &str = "key.revoke";

impl KeyAdmin {
    /// Ends a key for good, and every session of it. Waits at most `wait`, or
    /// as long as is configured, for all gateways to have done so. Where the
    /// store does not take it, it is applied here, and pending.
    ///
    /// # Errors
    /// [`ChangeError::NotFound`]; [`ChangeError::Store`] for a damaged record.
    pub async fn revoke(
        &self,
        actor: &Actor,
        key: KeyId,
        wait: Option<Duration>,
    ) -> Result<RevokeOutcome, KeyAdminError> {
        actor.begin_target(key, "");
        let wait = wait.unwrap_or(self.revoke_wait);
        let started = Instant::now();
        let written = match self.store.revoke(key).await {
            Err(ChangeError::Store(error))
                if pending::may_pass(&error) && self.pending.has_room(key) =>
            {
                let why = format!("pending, the store did not take it: {error}");
                actor.set_result(AuditResult::Unknown, Some(why));
                actor.note_now(&self.audit, REVOKE);
                return Ok(self.revoke_here(actor, key, error, wait).await);
            }
            written => written.map_err(|error| KeyAdminError::from(error).noted(actor))?,
        };
        let (record, closing) = self.applied(actor, "revoke", &written).await;
        let record = record?;
        actor.set_detail(quoted(&record.name));
        // It is done; the rest only waits.
        actor.note_now(&self.audit, REVOKE);
        let closed = async {
            let in_time = self.closed_within(wait, &closing).await;
            (in_time, started.elapsed())
        };
        let ((all_closed, elapsed), durability) = tokio::join!(closed, self.store.settle(&written));
        if all_closed {
            self.metrics.revoke_seconds.observe(elapsed.as_secs_f64());
        } else {
            tracing::warn!(%key, standing = closing.open(), "streams of a revoked key are still open");
        }
        let own = self.presence.own();
        let left = wait.saturating_sub(elapsed);
        let revoked = (&record, written.change.position.epoch);
        let others = gateway_wait::wait(&*self.store, revoked, own, left, &self.stopping).await;
        let is_known = others.is_ok();
        let mut gateways = others.unwrap_or_else(|error| {
            tracing::warn!(%key, %error, "the outcome of a revoke on the other gateways is unknown");
            let others = written.enrolled.iter().filter(|g| g.info.id != own);
            others.map(unheard).collect()
        });
        let name = self.presence.own_name().to_owned();
        gateways.push(own_outcome(own, name, &closing, elapsed));
        gateways.sort_by_key(|gateway| gateway.id);
        Ok(RevokeOutcome {
            revision: record.revision,
            complete: is_known && gateways.iter().all(GatewayOutcome::is_done),
            record: Some(record),
            pending: false,
            kept: false,
            gateways,
            durability,
        })
    }

    /// Applies a revoke that the store did not take, and goes on trying.
    async fn revoke_here(
        &self,
        actor: &Actor,
        key: KeyId,
        error: StoreError,
        wait: Duration,
    ) -> RevokeOutcome {
        let started = Instant::now();
        tracing::warn!(target: "muster::audit", actor = actor.name(), action = "revoke", %key, %error, "pending: applied here, not yet written");
        let (record, closing) = self.key_feed.revoke_here(key).await;
        let revoke = PendingRevoke {
            key,
            actor: actor.name().to_owned(),
        };
        let told = self.told_once_written(key, actor.clone());
        let kept = self.pending.add(revoke, told);
        self.closed_within(wait, &closing).await;
        let (id, name) = (self.presence.own(), self.presence.own_name());
        let own = own_outcome(id, name.to_owned(), &closing, started.elapsed());
        RevokeOutcome {
            record,
            revision: Revision(0),
            complete: false,
            pending: true,
            kept,
            gateways: vec![own],
            durability: Durability::NOWHERE,
        }
    }

    /// What a pending revoke's writing leaves in events and trail.
    fn told_once_written(
        &self,
        key: KeyId,
        actor: Actor,
    ) -> impl FnOnce(&Written) + Send + use<> + 'static {
        let (events, trail) = (Arc::clone(&self.events), Arc::clone(&self.audit));
        move |written| {
            record_change(&events, &actor, "revoke", written);
            let done = Action {
                name: REVOKE,
                target: Some(key.to_string()),
                detail: "the pending revoke is written".into(),
                result: AuditResult::Ok,
                reason: None,
            };
            trail.queue(actor.origin(), done);
        }
    }

    /// Applies the revokes that an earlier process of this gateway left pending, and
    /// goes on trying to write them.
    ///
    /// # Errors
    /// Where they can't be read: to go on without them would let keys in again.
    pub async fn take_up_pending(&self) -> Result<(), LeftRevokesError> {
        for PendingRevoke { key, actor } in self.pending.take_up()? {
            tracing::warn!(%key, actor, "a revoke is pending since before this start: applied, not yet written");
            drop(self.key_feed.revoke_here(key).await);
            let actor = Actor::new(Origin::left_by(&actor));
            self.pending.go_on(key, self.told_once_written(key, actor));
        }
        Ok(())
    }

    /// Waits for the ended sessions' streams to close, but not past a stop.
    async fn closed_within(&self, wait: Duration, closing: &EndedSessions) -> bool {
        tokio::select! {
            closed = tokio::time::timeout(wait, closing.closed()) => closed.is_ok(),
            () = self.stopping.cancelled() => closing.open() == 0,
        }
    }

    /// What the gateways have reported of a key's revoke so far; `None` of a key
    /// that is not revoked.
    ///
    /// # Errors
    /// [`ChangeError::Store`].
    pub async fn revocation(
        &self,
        record: &KeyRecord,
    ) -> Result<Option<Vec<GatewayOutcome>>, KeyAdminError> {
        if record.revoked_at.is_none() {
            return Ok(None);
        }
        // Read again with its history: the record may be of the one before.
        let loaded = self.store.load(record.id).await?;
        let Lookup::Present(record) = loaded.lookup else {
            return Ok(None);
        };
        let picture = gateway_wait::picture(&*self.store, &record, loaded.epoch).await;
        Ok(Some(picture?))
    }
}
