//! Presence: the sessions and the refusals of all gateways of a store.
//!
//! Owns: what this gateway publishes (`publish.rs`) and what it read of the
//! others (`remote.rs`). Must not know: gRPC, how a store keeps the lists.
//! Invariant: what is shown of another gateway is at most two seconds old, and
//! nothing is shown of one that has been dead for ten.

mod publish;
mod remote;
mod rows;

use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use crate::gateway::rejections::{Filter, Rejection, Rejections};
use crate::gateway::sessions::{Registry, SessionId, SessionView};
use crate::keys::{KeyId, Timestamp};
use crate::store::{GatewayId, PresenceList, PresenceStore, StoreError};

use remote::{Mirror, PresenceLists};
use rows::{RejectionRow, SessionRow};

/// Between two looks for a session that another gateway was asked to end.
const LOOK: Duration = Duration::from_millis(200);

/// What this gateway and the others show.
pub struct Presence {
    store: Arc<dyn PresenceStore>,
    registry: Arc<Registry>,
    rejections: Arc<Rejections>,
    own_name: String,
    sessions: Mirror<SessionRow>,
    /// Of the lists that were read last.
    elsewhere: Mutex<Option<(PresenceLists<SessionRow>, Arc<RemoteSessions>)>>,
    refused: Mirror<RejectionRow>,
}

/// A session and the name of its gateway.
#[derive(Debug, Clone)]
pub struct GatewaySession {
    /// The session.
    pub view: SessionView,
    /// Its gateway's name.
    pub gateway: String,
}

/// A group of refusals and the gateway that refused.
#[derive(Debug, Clone)]
pub struct RejectionThere {
    /// The group.
    pub rejection: Rejection,
    /// Which gateway.
    pub gateway_id: GatewayId,
    /// Its gateway's name.
    pub gateway: String,
}

/// Where a group of refusals stands in the list of all gateways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RejectionPlace {
    /// When it was refused last.
    pub last_at: Timestamp,
    /// Where.
    pub gateway: GatewayId,
    /// Its number there.
    pub number: u64,
}

/// What an order to end a session came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disconnected {
    /// There is no such live session.
    NotFound,
    /// It was ended; `closed`: its stream has closed, too.
    Ended {
        /// It has.
        closed: bool,
    },
}

/// The sessions of the other gateways.
#[derive(Debug, Default)]
pub struct RemoteSessions {
    agents: HashSet<Uuid>,
    of_key: HashMap<KeyId, usize>,
}

impl Presence {
    /// As seen from the gateway of `registry`, which is called `own_name`.
    pub fn new(
        store: Arc<dyn PresenceStore>,
        registry: Arc<Registry>,
        rejections: Arc<Rejections>,
        own_name: String,
    ) -> Self {
        let own = registry.gateway();
        Self {
            sessions: Mirror::new(Arc::clone(&store), own, PresenceList::Sessions),
            elsewhere: Mutex::default(),
            refused: Mirror::new(Arc::clone(&store), own, PresenceList::Rejections),
            store,
            registry,
            rejections,
            own_name,
        }
    }

    /// The gateway that this runs on.
    pub fn own(&self) -> GatewayId {
        self.registry.gateway()
    }

    /// And its name.
    pub fn own_name(&self) -> &str {
        &self.own_name
    }

    /// Live sessions of a key here and there.
    pub fn live_sessions(&self, key: KeyId, elsewhere: &RemoteSessions) -> usize {
        let there = elsewhere.of_key.get(&key).copied().unwrap_or(0);
        self.registry.live_sessions(key) + there
    }

    /// The sessions of the other gateways.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn elsewhere(&self) -> Result<Arc<RemoteSessions>, StoreError> {
        let lists = self.sessions.read().await?;
        let mut last = self.elsewhere.lock();
        if let Some((_, known)) = last.as_ref().filter(|(of, _)| Arc::ptr_eq(of, &lists)) {
            return Ok(Arc::clone(known));
        }
        let mut found = RemoteSessions::default();
        for list in lists.values() {
            for row in list.rows.values() {
                found.agents.insert(row.agent);
                *found.of_key.entry(row.key).or_default() += 1;
            }
        }
        let found = Arc::new(found);
        *last = Some((lists, Arc::clone(&found)));
        Ok(found)
    }

    /// All agents with a live session anywhere.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn connected(&self) -> Result<HashSet<Uuid>, StoreError> {
        let elsewhere = self.elsewhere().await?;
        let mut agents = self.registry.connected();
        agents.extend(&elsewhere.agents);
        Ok(agents)
    }

    /// How many live sessions each agent has anywhere; only those that have one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn live_by_agent(&self) -> Result<HashMap<Uuid, usize>, StoreError> {
        let mut counts = self.registry.live_by_agent();
        for list in self.sessions.read().await?.values() {
            for row in list.rows.values() {
                *counts.entry(row.agent).or_default() += 1;
            }
        }
        Ok(counts)
    }

    /// At most `limit` live sessions after `after`, of one key or of all, in
    /// order of their ids.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn sessions(
        &self,
        key: Option<KeyId>,
        after: Option<SessionId>,
        limit: usize,
    ) -> Result<Vec<GatewaySession>, StoreError> {
        let lists = self.sessions.read().await?;
        let own = self.registry.gateway();
        let mut gateways: Vec<_> = lists.keys().copied().chain([own]).collect();
        gateways.sort_unstable();
        let mut found = Vec::new();
        for gateway in gateways {
            let from = match after {
                Some(after) if after.gateway > gateway => continue,
                Some(after) if after.gateway == gateway => after.number,
                _ => 0,
            };
            let left = limit - found.len();
            if gateway == own {
                let views = self.registry.list(key, from, left).into_iter();
                found.extend(views.map(|view| GatewaySession {
                    view,
                    gateway: self.own_name.clone(),
                }));
                continue;
            }
            let Some(list) = lists.get(&gateway) else {
                continue;
            };
            let rows = list.rows.range(from.saturating_add(1)..);
            let wanted = rows.filter(|(_, row)| key.is_none_or(|key| key == row.key));
            found.extend(wanted.take(left).map(|(number, row)| GatewaySession {
                view: row.view(SessionId {
                    gateway,
                    number: *number,
                }),
                gateway: list.name.clone(),
            }));
        }
        Ok(found)
    }

    /// At most `limit` groups of refusals, newest first, beginning below
    /// `before`. Of another gateway the newest thousand are known.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn rejections(
        &self,
        filter: Filter,
        before: Option<RejectionPlace>,
        limit: usize,
    ) -> Result<Vec<RejectionThere>, StoreError> {
        let lists = self.refused.read().await?;
        let own = self.rejections.list(filter, None, usize::MAX).into_iter();
        let mut all: Vec<_> = own
            .map(|rejection| RejectionThere {
                rejection,
                gateway_id: self.registry.gateway(),
                gateway: self.own_name.clone(),
            })
            .collect();
        for (gateway, list) in &*lists {
            let rows = list.rows.iter();
            let rejections = rows.filter_map(|(number, row)| row.rejection(*number));
            all.extend(
                rejections
                    .filter(|rejection| filter.takes(&rejection.group))
                    .map(|rejection| RejectionThere {
                        rejection,
                        gateway_id: *gateway,
                        gateway: list.name.clone(),
                    }),
            );
        }
        all.sort_unstable_by_key(|one| std::cmp::Reverse(one.place()));
        all.retain(|one| before.is_none_or(|before| one.place() < before));
        all.truncate(limit);
        Ok(all)
    }

    /// Ends a session wherever it lives, and waits for its stream to close.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn disconnect(
        &self,
        id: SessionId,
        wait: Duration,
    ) -> Result<Disconnected, StoreError> {
        let until = Instant::now() + wait;
        if id.gateway == self.registry.gateway() {
            let Some(closing) = self.registry.disconnect(id) else {
                return Ok(Disconnected::NotFound);
            };
            let closed = tokio::time::timeout(wait, closing.closed()).await.is_ok();
            return Ok(Disconnected::Ended { closed });
        }
        if !self.stands(id).await? {
            return Ok(Disconnected::NotFound);
        }
        self.store.send_command(id.gateway, id.to_string()).await?;
        loop {
            tokio::time::sleep(LOOK).await;
            let closed = !self.stands(id).await?;
            if closed || Instant::now() >= until {
                return Ok(Disconnected::Ended { closed });
            }
        }
    }

    async fn stands(&self, id: SessionId) -> Result<bool, StoreError> {
        let lists: Arc<BTreeMap<_, _>> = self.sessions.read().await?;
        let list = lists.get(&id.gateway);
        Ok(list.is_some_and(|list| list.rows.contains_key(&id.number)))
    }
}

impl RejectionThere {
    /// Where it stands in the list.
    pub fn place(&self) -> RejectionPlace {
        RejectionPlace {
            last_at: self.rejection.last_at,
            gateway: self.gateway_id,
            number: self.rejection.number,
        }
    }
}
