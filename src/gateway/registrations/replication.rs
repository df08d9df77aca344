//! Reading: all at the start, then what other gateways write.
//!
//! Invariant: the cursor moves once its news are taken over; a fault half way
//! means that they are read again, and read twice they are as read once.

use std::collections::{BTreeSet, HashSet};

use uuid::Uuid;

use super::rows::Stored;
use super::{BATCH, Connected, Instances};
use crate::keys::KeyId;
use crate::store::{InstanceNews, StoreError};

impl Instances {
    /// Takes over what other gateways wrote since the last time. An agent that
    /// they forgot stays if it is among those that `connected` returns. Does
    /// nothing where no other gateway writes.
    ///
    /// # Errors
    /// [`StoreError`]; the rest is taken over the next time.
    pub async fn follow(&self, connected: &impl Fn() -> Connected) -> Result<(), StoreError> {
        let mut cursor = self.storing.lock().await;
        while let Some(after) = cursor.clone() {
            let Some(news) = self.store.news(Some(after)).await? else {
                break;
            };
            let (next, is_last) = (news.cursor.clone(), news.is_last);
            let deleted = if news.whole {
                let known = self.read_all().await?;
                self.rows
                    .lock()
                    .keep_only(&known.stored, &connected().agents);
                known.deleted
            } else {
                self.take_over(news, connected)
            };
            // Written by a gateway that did not know of it yet.
            for key in deleted {
                self.store.forget_registrations(key).await?;
            }
            *cursor = Some(next);
            if is_last {
                break;
            }
        }
        Ok(())
    }

    fn take_over(&self, news: InstanceNews, connected: &impl Fn() -> Connected) -> BTreeSet<KeyId> {
        // Connected agents are counted only where it matters.
        let connected = if news.agents.iter().any(|agent| agent.record.is_none()) {
            connected().agents
        } else {
            HashSet::new()
        };
        for (key, at) in news.uses {
            self.uses.lock().merge(key, at);
        }
        for key in news.forgotten_keys {
            self.rows.lock().forget_key(key);
            self.uses.lock().forget(key);
        }
        // One lock for each: joins come between.
        let agents = news.agents.into_iter();
        agents
            .flat_map(|agent| self.rows.lock().merge(agent, &connected))
            .collect()
    }

    /// Takes over all that the store has.
    pub(super) async fn read_all(&self) -> Result<Known, StoreError> {
        let mut after = None;
        loop {
            let page = self.store.key_uses(after, BATCH).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            let mut uses = self.uses.lock();
            page.into_iter().for_each(|(key, at)| uses.merge(key, at));
        }
        let mut known = Known::default();
        let mut after = None;
        loop {
            let page = self.store.registrations(after, BATCH).await?;
            let Some(last) = page.last() else { break };
            after = Some((last.key, last.agent));
            let (mut rows, mut uses) = (self.rows.lock(), self.uses.lock());
            for row in page {
                // Where the stored use is missing or damaged.
                uses.note(row.key, row.last_seen);
                known.stored.registrations.insert((row.key, row.agent));
                known.deleted.extend(rows.merge_registration(row));
            }
        }
        let mut after: Option<Uuid> = None;
        loop {
            let page = self.store.agents(after, BATCH).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.agent);
            let mut rows = self.rows.lock();
            for row in page {
                known.stored.agents.insert(row.agent);
                rows.merge_agent(row);
            }
        }
        Ok(known)
    }
}

/// What was found in the store.
#[derive(Default)]
pub(super) struct Known {
    stored: Stored,
    /// Keys that are deleted, and had registrations there still.
    deleted: BTreeSet<KeyId>,
}
