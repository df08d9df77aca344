//! The connections of this process, and what it knows of the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use redis::Cmd;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::connection::Link;
use super::options::RedisOptions;
use super::replicas::Replicas;
use super::schema::Schema;
use super::script::{Answer, Caller, Step};
use super::sentinel::Place;
use crate::keys::{Id, Revision, Timestamp};
use crate::store::clock::StoreClock;
use crate::store::error::StoreError;
use crate::store::gateways::GatewayInfo;

/// The store of several gateways. Clones share it.
#[derive(Clone)]
pub struct RedisStore {
    pub(super) shared: Arc<Shared>,
    /// Ends with the last clone.
    pub(super) _hints: Arc<AbortOnDropHandle<()>>,
}

pub(super) struct Shared {
    pub(super) schema: Schema,
    pub(super) id: Id,
    /// Of this process, at random: marks its entries in the feed of instances.
    pub(super) writer: Id,
    pub(super) clock: StoreClock,
    /// How it is reached, with password and CAs as they were taken last.
    pub(super) login: Mutex<RedisOptions>,
    pub(super) place: Arc<RwLock<Place>>,
    /// For loads of keys, and other reads: many at once.
    pub(super) loads: Link,
    pub(super) writes: Link,
    /// For the lease and the feed alone: nothing else may hold them up.
    pub(super) tail: Link,
    pub(super) replicas: Replicas,
    /// The greatest revision that this process applied or wrote.
    pub(super) seen: AtomicU64,
    /// The greatest revision of the store that is known here.
    pub(super) heard: watch::Sender<Revision>,
    /// Gateways enrolled through this process, to enrol again when forgotten.
    pub(super) enrolled: Mutex<Vec<(GatewayInfo, Timestamp)>>,
}

/// Times a guarded step is decided anew because others changed the same counter
/// meanwhile. Each time one of them got through, so with fewer writers at once
/// it suffices.
pub(super) const ATTEMPTS: u32 = 100;

/// Which connection a step goes over.
#[derive(Clone, Copy)]
pub(super) enum Over {
    Loads,
    Writes,
    Tail,
}

impl Shared {
    pub(super) async fn take(&self, step: Step, over: Over) -> Result<Answer, StoreError> {
        let caller = Caller {
            schema: &self.schema,
            store_id: &self.id,
            seen: Revision(self.seen.load(Ordering::Relaxed)),
        };
        let link = match over {
            Over::Loads => &self.loads,
            Over::Writes => &self.writes,
            Over::Tail => &self.tail,
        };
        let sent = self.clock.moment();
        let answer = step.take(&caller, link).await?;
        // An answer that lay there while this host was suspended is old.
        let round_trip = sent.elapsed().boot;
        self.clock.observe(self.shifted(answer.now), round_trip);
        Ok(answer)
    }

    /// Takes a step of one command and returns its reply.
    pub(super) async fn ask<T: redis::FromRedisValue>(
        &self,
        command: &Cmd,
        over: Over,
    ) -> Result<T, StoreError> {
        self.take(Step::new().run(command), over).await?.reply()
    }

    /// A time of the server's own clock on the clock that tests may shift.
    pub(super) fn shifted(&self, server: Timestamp) -> Timestamp {
        Timestamp::from_millis(server.as_millis() + self.clock.shift_millis())
    }

    pub(super) fn unshifted(&self, moment: Timestamp) -> Timestamp {
        Timestamp::from_millis(moment.as_millis() - self.clock.shift_millis())
    }

    /// This process applied or wrote that revision.
    pub(super) fn saw(&self, revision: Revision) {
        self.seen.fetch_max(revision.0, Ordering::Relaxed);
    }

    /// The store is at that revision: wakes the follower of the feed.
    pub(super) fn hear(&self, revision: Revision) {
        self.heard.send_if_modified(|heard| {
            let newer = revision > *heard;
            if newer {
                *heard = revision;
            }
            newer
        });
    }
}
