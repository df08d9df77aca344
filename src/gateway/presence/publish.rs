//! What this gateway shows the others: its sessions and its last refusals.
//!
//! Invariant: what is shown is confirmed at every turn, and is written whole
//! whenever the store does not have what was written last.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::Presence;
use super::rows::{RejectionRow, SessionRow};
use crate::gateway::rejections::Filter;
use crate::gateway::sessions::SessionId;
use crate::store::{PresenceList, PresenceRow, PresenceUpdate, StoreError};

/// Between two turns.
const TURN: Duration = Duration::from_millis(500);
/// Groups of refusals that are shown; all are kept here.
const REFUSALS: usize = 1_000;

/// What a list showed last, as far as is known.
#[derive(Default)]
struct Written {
    version: u64,
    numbers: BTreeSet<u64>,
    /// The store has it.
    is_there: bool,
}

impl Presence {
    /// Shows what there is until `shutdown`, and does what other gateways ask.
    pub async fn run(&self, shutdown: CancellationToken) {
        let (mut sessions, mut refusals) = (Written::default(), Written::default());
        let mut was_shown = true;
        loop {
            tokio::select! {
                () = tokio::time::sleep(TURN) => {}
                () = shutdown.cancelled() => return,
            }
            let turn = async {
                self.show_sessions(&mut sessions).await?;
                self.show_refusals(&mut refusals).await?;
                self.answer().await
            };
            let turned = tokio::select! {
                turned = turn => turned,
                () = shutdown.cancelled() => return,
            };
            if let Err(error) = &turned
                && was_shown
            {
                tracing::warn!(%error, "other gateways can't see this one's sessions; retrying");
            }
            was_shown = turned.is_ok();
        }
    }

    async fn show_sessions(&self, written: &mut Written) -> Result<(), StoreError> {
        let now: BTreeSet<u64> = self.registry.live_numbers().into_iter().collect();
        self.show(PresenceList::Sessions, written, now, |number| {
            self.registry.view(number).map(SessionRow::new)
        })
        .await
    }

    async fn show_refusals(&self, written: &mut Written) -> Result<(), StoreError> {
        let all = self.rejections.list(Filter::default(), None, REFUSALS);
        let now = all.iter().map(|rejection| rejection.number).collect();
        self.show(PresenceList::Rejections, written, now, |number| {
            // Newest first.
            let at = all.binary_search_by(|one| number.cmp(&one.number)).ok()?;
            Some(RejectionRow::new(&all[at]))
        })
        .await
    }

    async fn show<T: Serialize>(
        &self,
        list: PresenceList,
        written: &mut Written,
        now: BTreeSet<u64>,
        row: impl Fn(u64) -> Option<T>,
    ) -> Result<(), StoreError> {
        let rows =
            |numbers: &mut dyn Iterator<Item = u64>| -> Result<Vec<PresenceRow>, StoreError> {
                let mut rows = Vec::new();
                for number in numbers {
                    // One that is gone by now is missed at the next turn.
                    if let Some(row) = row(number) {
                        let content = serde_json::to_string(&row)
                            .map_err(|error| StoreError::Failed(error.to_string()))?;
                        rows.push(PresenceRow { number, content });
                    }
                }
                Ok(rows)
            };
        let own = self.registry.gateway();
        // Until the store says that it took this, it may have any part of it.
        let was_there = std::mem::take(&mut written.is_there);
        if was_there {
            let from = written.version;
            let is_changed = now != written.numbers;
            let update = PresenceUpdate {
                from: Some(from),
                to: from + u64::from(is_changed),
                removed: written.numbers.difference(&now).copied().collect(),
                added: rows(&mut now.difference(&written.numbers).copied())?,
            };
            written.version = update.to;
            if self.store.publish(own, list, update).await? {
                written.numbers = now;
                written.is_there = true;
                return Ok(());
            }
        }
        let to = written.version + 1;
        let update = PresenceUpdate {
            from: None,
            to,
            removed: Vec::new(),
            added: rows(&mut now.iter().copied())?,
        };
        written.version = to;
        self.store.publish(own, list, update).await?;
        written.numbers = now;
        written.is_there = true;
        Ok(())
    }

    /// Ends the sessions that operators on other gateways want ended.
    async fn answer(&self) -> Result<(), StoreError> {
        for line in self.store.take_commands(self.registry.gateway()).await? {
            match line.parse::<SessionId>() {
                Ok(id) => {
                    tracing::info!(session = %id, "session ended on request of an operator at another gateway");
                    self.registry.disconnect(id);
                }
                Err(error) => tracing::warn!(%error, "another gateway asks what is not understood"),
            }
        }
        Ok(())
    }
}
