//! The set of gateways: in memory, of the one process that holds the file's lock.

use std::sync::Arc;

use async_trait::async_trait;

use super::database::EmbeddedStore;
use super::keys::feed_after;
use crate::keys::{KeyId, Position};
use crate::store::error::StoreError;
use crate::store::feed::Feed;
use crate::store::gateways::{
    Enrolled, GatewayId, GatewayInfo, GatewayStore, Heartbeat, Outcome, Reach, Standing,
};

/// Outcomes of final changes kept in memory.
const OUTCOMES_KEPT: usize = 10_000;

#[async_trait]
impl GatewayStore for EmbeddedStore {
    async fn enrol(&self, gateway: GatewayInfo) -> Result<Position, StoreError> {
        let now = self.shared.clock.now();
        let revision = *self.shared.revision.borrow();
        let mut enrolled = self.shared.enrolled.lock();
        enrolled.retain(|other| other.info.id != gateway.id);
        enrolled.push(Enrolled {
            info: gateway,
            enrolled_at: now,
            last_heartbeat: now,
            applied: revision,
            epoch: Some(self.shared.epoch),
            live_sessions: 0,
            standing: Standing::default(),
            damaged: None,
        });
        enrolled.sort_by_key(|gateway| gateway.info.id);
        Ok(Position {
            epoch: self.shared.epoch,
            revision,
        })
    }

    async fn renew(&self, heartbeat: Heartbeat) -> Result<Feed, StoreError> {
        let after = heartbeat.position.revision;
        let shared = Arc::clone(&self.shared);
        let look_and_read = move || {
            let unprotected = shared.look_at_disk()?;
            let feed = shared.file.read(|t| feed_after(t, shared.epoch, after))?;
            Ok::<_, StoreError>(Feed {
                unprotected,
                ..feed
            })
        };
        let feed = self.on_disk(look_and_read).await?;
        self.note(heartbeat.gateway, &heartbeat.outcomes);
        self.keep_time();
        let now = self.shared.clock.now();
        let mut enrolled = self.shared.enrolled.lock();
        if let Some(own) = enrolled.iter_mut().find(|g| g.info.id == heartbeat.gateway) {
            own.last_heartbeat = now;
            own.applied = heartbeat.applied.revision;
            own.live_sessions = heartbeat.live_sessions;
            own.standing = heartbeat.standing;
        }
        Ok(feed)
    }

    async fn changed(&self, after: Position) {
        let mut revision = self.shared.revision.subscribe();
        // The sender lives as long as this store, so this can't fail.
        let _ = revision.wait_for(|now| *now > after.revision).await;
    }

    async fn gateways(&self) -> Result<(Vec<Enrolled>, Position), StoreError> {
        let position = Position {
            epoch: self.shared.epoch,
            revision: *self.shared.revision.borrow(),
        };
        Ok((self.shared.enrolled.lock().clone(), position))
    }

    async fn reach(&self, key: KeyId) -> Result<Reach, StoreError> {
        let (enrolled, position) = self.gateways().await?;
        let all = self.shared.outcomes.lock();
        let of_key = all.iter().filter(|(_, outcome)| outcome.key == key);
        let mut outcomes: Vec<_> = of_key.copied().collect();
        outcomes.sort_by_key(|(gateway, _)| *gateway);
        Ok(Reach {
            enrolled,
            position,
            outcomes,
        })
    }

    async fn leave(&self, gateway: GatewayId) -> Result<(), StoreError> {
        // A clean stop loses nothing of the time.
        self.write_time().await;
        self.shared
            .enrolled
            .lock()
            .retain(|other| other.info.id != gateway);
        Ok(())
    }
}

impl EmbeddedStore {
    fn note(&self, gateway: GatewayId, new: &[Outcome]) {
        if new.is_empty() {
            return;
        }
        let mut outcomes = self.shared.outcomes.lock();
        outcomes.retain(|(of, old)| *of != gateway || new.iter().all(|new| new.key != old.key));
        outcomes.extend(new.iter().map(|new| (gateway, *new)));
        let excess = outcomes.len().saturating_sub(OUTCOMES_KEPT);
        outcomes.drain(..excess);
    }
}
