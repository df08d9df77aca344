//! Events: a log, and how far expiries have been noted.

use async_trait::async_trait;
use redis::{Cmd, cmd};

use super::schema::{FIELD_EXPIRIES_UNTIL, FIELD_LAST_EVENT};
use super::script::{Step, Word};
use super::sequence::{Log, Scored, Stand, get_batch, set_batch};
use super::shared::{ATTEMPTS, Over, RedisStore, Shared};
use crate::keys::Timestamp;
use crate::store::codec::{decode, encode};
use crate::store::error::StoreError;
use crate::store::events::{AppendOnce, Event, EventPage, EventStore, NewEvent};

#[async_trait]
impl EventStore for RedisStore {
    async fn append_events(
        &self,
        events: Vec<NewEvent>,
        once: AppendOnce,
        keep: u64,
    ) -> Result<bool, StoreError> {
        let shared = &*self.shared;
        let (events, once) = (events.as_slice(), &once);
        let log = log(shared);
        for _ in 0..ATTEMPTS {
            let read = log.stand(shared, Step::new()).run(&standing(shared, once));
            let mut read = shared.take(read, Over::Writes).await?;
            let stand = Stand::read(&mut read)?;
            let standing: Option<u64> = read.reply()?;
            let is_due = match once {
                AppendOnce::Batch { number, .. } => standing.is_none_or(|done| done < *number),
                AppendOnce::Expiries { from, .. } => standing == from.map(millis),
            };
            if !is_due {
                return Ok(false);
            }
            let step = match once {
                // The counter stays, so what is moved guards itself.
                AppendOnce::Expiries { from, .. } if events.is_empty() => Step::new().at_count(
                    shared.schema.meta(),
                    FIELD_EXPIRIES_UNTIL,
                    from.map_or(0, millis),
                ),
                _ => log
                    .append(shared, &stand, events, |id, event| {
                        encode(&event.clone().numbered(id))
                    })?
                    .run(&log.trim(keep)),
            };
            let step = step.run(&mark(shared, once));
            if shared.take(step, Over::Writes).await?.word == Word::Done {
                return Ok(true);
            }
        }
        let busy = "too many others append events at the same time; trying again";
        Err(StoreError::Failed(busy.into()))
    }

    async fn events_after(&self, after: u64, limit: usize) -> Result<EventPage, StoreError> {
        let shared = &*self.shared;
        let mut range = cmd("ZRANGE");
        range.arg(shared.schema.events()).arg(format!("({after}"));
        range
            .arg("+inf")
            .arg("BYSCORE")
            .arg("LIMIT")
            .arg(0)
            .arg(limit);
        range.arg("WITHSCORES");
        let step = log(shared).stand(shared, Step::new()).run(&range);
        let mut answer = shared.take(step, Over::Loads).await?;
        let last = Stand::read(&mut answer)?.last;
        let rows: Scored = answer.reply()?;
        let upto = match rows.last() {
            Some((_, id)) if rows.len() == limit => *id,
            _ => last,
        };
        let mut events = Vec::with_capacity(rows.len());
        for (row, id) in rows {
            match decode::<Event>(&row, || format!("event {id}")) {
                Ok(event) => events.push(event),
                Err(error) => tracing::error!(%error, "it is left out"),
            }
        }
        Ok(EventPage {
            epoch: answer.epoch,
            events,
            upto,
            last,
        })
    }

    async fn expiries_until(&self) -> Result<Option<Timestamp>, StoreError> {
        let shared = &*self.shared;
        let until: Option<i64> = shared.ask(&get_expiries(shared), Over::Loads).await?;
        Ok(until.map(Timestamp::from_millis))
    }
}

fn log(shared: &Shared) -> Log {
    Log {
        set: shared.schema.events(),
        counter: FIELD_LAST_EVENT,
    }
}

/// Reads what `once` is held against.
fn standing(shared: &Shared, once: &AppendOnce) -> Cmd {
    match once {
        AppendOnce::Batch { writer, .. } => get_batch(shared, *writer),
        AppendOnce::Expiries { .. } => get_expiries(shared),
    }
}

fn get_expiries(shared: &Shared) -> Cmd {
    let mut get = cmd("HGET");
    get.arg(shared.schema.meta()).arg(FIELD_EXPIRIES_UNTIL);
    get
}

/// Notes that it is done.
fn mark(shared: &Shared, once: &AppendOnce) -> Cmd {
    match once {
        AppendOnce::Batch { writer, number } => set_batch(shared, *writer, *number),
        AppendOnce::Expiries { until, .. } => {
            let mut set = cmd("HSET");
            set.arg(shared.schema.meta()).arg(FIELD_EXPIRIES_UNTIL);
            set.arg(until.as_millis());
            set
        }
    }
}

fn millis(moment: Timestamp) -> u64 {
    moment.as_millis().cast_unsigned()
}
