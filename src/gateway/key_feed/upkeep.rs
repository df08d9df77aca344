//! What is done now and then beside the feed: spent gates and markers go, and what is
//! left of deleted keys.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::deleted_keys::DeletedKeys;
use crate::gateway::auth::{Authenticator, StoreView};
use crate::gateway::sessions::Registry;
use crate::store::FeedStore;

/// Between two sweeps of spent gates; each looks at every gate.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);

/// What the upkeep is of.
pub(super) struct UpkeepParts {
    pub store: Arc<dyn FeedStore>,
    pub registry: Arc<Registry>,
    pub authenticator: Arc<Authenticator>,
    pub view: Arc<StoreView>,
    pub deleted: Arc<DeletedKeys>,
}

pub(super) struct Upkeep {
    parts: UpkeepParts,
    swept_at: Instant,
    /// What asks the store: a slow one must not hold up the feed.
    asking: JoinSet<()>,
}

impl Upkeep {
    pub fn new(parts: UpkeepParts) -> Self {
        Self {
            parts,
            swept_at: Instant::now(),
            asking: JoinSet::new(),
        }
    }

    /// Does what is due.
    pub async fn look(&mut self) {
        let UpkeepParts {
            store,
            registry,
            authenticator,
            view,
            deleted,
        } = &self.parts;
        // While the store is not heard, what a sweep forgets can't be loaded
        // again, and its key could not join.
        let is_heard = view.staleness().loads_uncached(view.age());
        if !is_heard || self.swept_at.elapsed() < SWEEP_INTERVAL {
            return;
        }
        self.swept_at = Instant::now();
        let spent = registry.spent();
        for key in &spent {
            authenticator.cache().forget(*key).await;
        }
        registry.forgotten(&spent);
        registry.sweep();
        while self.asking.try_join_next().is_some() {}
        if self.asking.is_empty() {
            let (store, deleted) = (Arc::clone(store), Arc::clone(deleted));
            self.asking.spawn(async move {
                deleted.clean_up().await;
                match store.remove_spent_markers().await {
                    Ok(0) => {}
                    Ok(markers) => tracing::debug!(markers, "markers of deleted keys are gone"),
                    Err(error) => {
                        tracing::warn!(%error, "the markers of deleted keys can't be looked at");
                    }
                }
            });
        }
    }
}
