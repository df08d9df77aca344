//! Sorted sets of numbered rows: what is appended goes on without a hole. The
//! counter of numbers guards each append, so that several gateways at once share
//! no number.

use std::time::Duration;

use redis::{Cmd, cmd};

use super::script::{Answer, Step};
use super::shared::Shared;
use crate::keys::Id;
use crate::store::error::StoreError;

/// How long a writer's last batch is known: it is sent again within the outage
/// that took the answer.
const BATCHES_KEPT: Duration = Duration::from_secs(24 * 3600);

/// Rows with their numbers.
pub(super) type Scored = Vec<(Vec<u8>, u64)>;

/// One of the logs.
#[derive(Clone)]
pub(super) struct Log {
    pub set: String,
    /// The field of meta that holds the newest number.
    pub counter: &'static str,
}

/// Where a log stands.
pub(super) struct Stand {
    /// For the guard; 0 where there is none.
    counter: u64,
    /// The newest number. It differs from the counter in a store from before
    /// there was one.
    pub last: u64,
}

impl Log {
    /// Asks where it stands, for [`Stand::read`].
    pub fn stand(&self, shared: &Shared, step: Step) -> Step {
        let mut newest = cmd("ZRANGE");
        newest.arg(&self.set).arg(-1).arg(-1).arg("WITHSCORES");
        step.run(cmd("HGET").arg(shared.schema.meta()).arg(self.counter))
            .run(&newest)
    }

    /// Adds `items` from the stand on, guarded by it.
    pub fn append<T>(
        &self,
        shared: &Shared,
        stand: &Stand,
        items: &[T],
        row: impl Fn(u64, &T) -> Result<Vec<u8>, StoreError>,
    ) -> Result<Step, StoreError> {
        let mut step = Step::new();
        let mut id = stand.last;
        for item in items {
            id += 1;
            step = step.run(cmd("ZADD").arg(&self.set).arg(id).arg(row(id, item)?));
        }
        let mut count = cmd("HSET");
        count.arg(shared.schema.meta()).arg(self.counter).arg(id);
        Ok(step
            .run(&count)
            .at_count(shared.schema.meta(), self.counter, stand.counter))
    }

    /// Drops all but the last `keep`.
    pub fn trim(&self, keep: u64) -> Cmd {
        let mut trim = cmd("ZREMRANGEBYRANK");
        trim.arg(&self.set).arg(0).arg(format!("-{}", keep + 1));
        trim
    }
}

impl Stand {
    pub fn read(answer: &mut Answer) -> Result<Self, StoreError> {
        let counter: Option<u64> = answer.reply()?;
        let newest: Scored = answer.reply()?;
        let counter = counter.unwrap_or(0);
        let newest = newest.last().map_or(0, |(_, id)| *id);
        Ok(Self {
            counter,
            last: counter.max(newest),
        })
    }
}

/// Asks for a writer's last batch.
pub(super) fn get_batch(shared: &Shared, writer: Id) -> Cmd {
    let mut get = cmd("GET");
    get.arg(shared.schema.event_writer(writer));
    get
}

/// Notes that it is in.
pub(super) fn set_batch(shared: &Shared, writer: Id, number: u64) -> Cmd {
    let mut set = cmd("SET");
    set.arg(shared.schema.event_writer(writer)).arg(number);
    set.arg("EX").arg(BATCHES_KEPT.as_secs());
    set
}
