//! One presence list of the other gateways, read on demand.
//!
//! Invariant: nothing is returned that was read longer ago than [`FRESH`]; of
//! several callers at once, one reads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::store::{GatewayId, PresenceList, PresenceRow, PresenceStore, StoreError};

/// How long what was read is used again.
const FRESH: Duration = Duration::from_millis(500);

/// A gateway's list.
#[derive(Debug)]
pub(super) struct Theirs<T> {
    pub name: String,
    version: u64,
    pub rows: Arc<BTreeMap<u64, T>>,
}

pub(super) type PresenceLists<T> = Arc<BTreeMap<GatewayId, Theirs<T>>>;

/// The lists of the others.
pub(super) struct Mirror<T> {
    store: Arc<dyn PresenceStore>,
    own: GatewayId,
    list: PresenceList,
    last: Mutex<Option<(Instant, PresenceLists<T>)>>,
}

impl<T: DeserializeOwned> Mirror<T> {
    pub fn new(store: Arc<dyn PresenceStore>, own: GatewayId, list: PresenceList) -> Self {
        Self {
            store,
            own,
            list,
            last: Mutex::default(),
        }
    }

    pub async fn read(&self) -> Result<PresenceLists<T>, StoreError> {
        let mut last = self.last.lock().await;
        let before = match &*last {
            Some((at, lists)) if at.elapsed() < FRESH => return Ok(Arc::clone(lists)),
            Some((_, lists)) => Arc::clone(lists),
            None => Arc::default(),
        };
        let asked = Instant::now();
        let known: Vec<_> = before.iter().map(|(id, b)| (*id, b.version)).collect();
        let mut lists = BTreeMap::new();
        for shown in self.store.read_others(self.own, self.list, &known).await? {
            let rows = match (shown.rows, before.get(&shown.gateway)) {
                (Some(rows), _) => Arc::new(read(rows)),
                (None, Some(known)) => Arc::clone(&known.rows),
                (None, None) => Arc::default(),
            };
            let theirs = Theirs {
                name: shown.name,
                version: shown.version,
                rows,
            };
            lists.insert(shown.gateway, theirs);
        }
        let lists = Arc::new(lists);
        *last = Some((asked, Arc::clone(&lists)));
        Ok(lists)
    }
}

/// A row that can't be read is left out: another muster version wrote it.
fn read<T: DeserializeOwned>(rows: Vec<PresenceRow>) -> BTreeMap<u64, T> {
    let mut all = BTreeMap::new();
    for row in rows {
        match serde_json::from_str(&row.content) {
            Ok(content) => {
                all.insert(row.number, content);
            }
            Err(error) => tracing::debug!(%error, "a row of another gateway can't be read"),
        }
    }
    all
}
