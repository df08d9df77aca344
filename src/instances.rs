//! Registrations: which agents ever joined under which key.
//!
//! Owns: the live rows and the set of those not yet written. Must not know:
//! sessions, gRPC.
//! Invariant: a slow or failing store delays no join; what waits to be written
//! is a set of names whose content is read when it is written, so it is bounded
//! by the number of agents, and no queue can lose or resurrect a row.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::keys::{KeyId, Timestamp};
use crate::store::{InstanceStore, Registration, StoreError};

/// Rows read or written in one step.
const BATCH: usize = 1000;

/// The registrations that this gateway knows.
pub struct Instances {
    store: Arc<dyn InstanceStore>,
    rows: Mutex<Rows>,
    /// Held while rows go to the store: a flush and a forget that crossed could
    /// write a forgotten row.
    writing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Rows {
    by_key: BTreeMap<KeyId, HashMap<Uuid, Registration>>,
    dirty: HashSet<(KeyId, Uuid)>,
}

impl Instances {
    /// All that the store has.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn load(store: Arc<dyn InstanceStore>) -> Result<Self, StoreError> {
        let mut rows = Rows::default();
        let mut after = None;
        loop {
            let page = store.registrations(after, BATCH).await?;
            let Some(last) = page.last() else { break };
            after = Some((last.key, last.agent));
            for row in page {
                rows.by_key
                    .entry(row.key)
                    .or_default()
                    .insert(row.agent, row);
            }
        }
        Ok(Self {
            store,
            rows: Mutex::new(rows),
            writing: tokio::sync::Mutex::default(),
        })
    }

    /// Notes a join. Does not wait for the store.
    pub fn joined(&self, key: KeyId, agent: Uuid, address: IpAddr, now: Timestamp) {
        let mut rows = self.rows();
        let row = rows
            .by_key
            .entry(key)
            .or_default()
            .entry(agent)
            .or_insert_with(|| Registration {
                key,
                agent,
                first_seen: now,
                last_seen: now,
                last_address: address,
                joins: 0,
            });
        row.last_seen = now;
        row.last_address = address;
        row.joins += 1;
        rows.dirty.insert((key, agent));
    }

    /// How many agents ever joined under a key.
    pub fn agents(&self, key: KeyId) -> usize {
        self.rows().by_key.get(&key).map_or(0, HashMap::len)
    }

    /// Forgets the registrations of a deleted key.
    ///
    /// # Errors
    /// [`StoreError`]; the rows are then gone here, and again after the next
    /// delete or load.
    pub async fn forget(&self, key: KeyId) -> Result<(), StoreError> {
        let _writing = self.writing.lock().await;
        {
            let mut rows = self.rows();
            rows.by_key.remove(&key);
            rows.dirty.retain(|(of, _)| *of != key);
        }
        self.store.forget_registrations(key).await
    }

    /// Writes what is dirty, batch by batch.
    ///
    /// # Errors
    /// [`StoreError`]; what was not written is dirty still.
    pub async fn flush(&self) -> Result<(), StoreError> {
        let _writing = self.writing.lock().await;
        loop {
            let batch = self.take_dirty();
            if batch.is_empty() {
                return Ok(());
            }
            let names: Vec<_> = batch.iter().map(|row| (row.key, row.agent)).collect();
            if let Err(error) = self.store.save_registrations(batch).await {
                self.rows().dirty.extend(names);
                return Err(error);
            }
        }
    }

    /// Writes every `interval` until `shutdown`, then once more.
    pub async fn run(self: Arc<Self>, interval: Duration, shutdown: CancellationToken) {
        loop {
            let stopping = tokio::select! {
                () = tokio::time::sleep(interval) => false,
                () = shutdown.cancelled() => true,
            };
            if let Err(error) = self.flush().await {
                tracing::warn!(%error, "registrations are not written; trying again");
            }
            if stopping {
                return;
            }
        }
    }

    fn take_dirty(&self) -> Vec<Registration> {
        let mut rows = self.rows();
        let names: Vec<_> = rows.dirty.iter().take(BATCH).copied().collect();
        for name in &names {
            rows.dirty.remove(name);
        }
        names
            .iter()
            .filter_map(|(key, agent)| rows.by_key.get(key)?.get(agent).cloned())
            .collect()
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Id;
    use crate::store::embedded::EmbeddedStore;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn key() -> KeyId {
        KeyId(Id::random().unwrap())
    }

    #[tokio::test]
    async fn rows_outlive_the_process() {
        let store = Arc::new(EmbeddedStore::in_memory().unwrap());
        let instances = Instances::load(store.clone()).await.unwrap();
        let (one, two) = (key(), key());
        let agents: Vec<_> = (0..2500).map(Uuid::from_u128).collect();
        let at = Timestamp::from_millis;
        for agent in &agents {
            instances.joined(one, *agent, HERE, at(1));
        }
        instances.joined(one, agents[0], HERE, at(5));
        instances.joined(two, agents[0], HERE, at(9));
        instances.flush().await.unwrap();
        let again = Instances::load(store.clone()).await.unwrap();
        assert_eq!((again.agents(one), again.agents(two)), (2500, 1));
        let rows = store.registrations(None, 5000).await.unwrap();
        let first = rows.iter().find(|r| r.key == one && r.agent == agents[0]);
        let first = first.unwrap();
        assert_eq!((first.first_seen, first.last_seen), (at(1), at(5)));
        assert_eq!(first.joins, 2);
    }

    #[tokio::test]
    async fn a_forgotten_row_is_not_written_again() {
        let store = Arc::new(EmbeddedStore::in_memory().unwrap());
        let instances = Instances::load(store.clone()).await.unwrap();
        let (one, two) = (key(), key());
        let agent = Uuid::from_u128(1);
        instances.joined(one, agent, HERE, Timestamp::from_millis(1));
        instances.joined(two, agent, HERE, Timestamp::from_millis(1));
        instances.flush().await.unwrap();
        instances.joined(one, agent, HERE, Timestamp::from_millis(2));
        instances.forget(one).await.unwrap();
        instances.flush().await.unwrap();
        let rows = store.registrations(None, 10).await.unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].key, two);
        assert_eq!(instances.agents(one), 0);
    }
}
