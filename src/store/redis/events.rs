//! Events: a sorted set by their numbers. The counter of numbers guards each
//! append, so that several gateways at once leave no hole and share no number.

use std::time::Duration;

use redis::{Cmd, cmd};

use super::schema::{FIELD_EXPIRIES_UNTIL, FIELD_LAST_EVENT};
use super::step::{Answer, Step, Word};
use super::{ATTEMPTS, Over, Shared};
use crate::keys::Timestamp;
use crate::store::codec::{decode, encode};
use crate::store::event_store::{AppendOnce, Event, EventPage, NewEvent};
use crate::store::key_store::StoreError;

/// How long a writer's last batch is known: it is sent again within the outage
/// that took the answer.
const BATCHES_KEPT: Duration = Duration::from_secs(24 * 3600);

type Scored = Vec<(Vec<u8>, u64)>;

pub(super) async fn append(
    shared: &Shared,
    events: &[NewEvent],
    once: &AppendOnce,
    keep: u64,
) -> Result<bool, StoreError> {
    let schema = &shared.schema;
    for _ in 0..ATTEMPTS {
        let read = with_last(shared, Step::new()).run(&standing(shared, once));
        let mut read = shared.take(read, Over::Writes).await?;
        let (counter, last) = read_last(&mut read)?;
        let standing: Option<u64> = read.reply()?;
        let is_due = match once {
            AppendOnce::Batch { number, .. } => standing.is_none_or(|done| done < *number),
            AppendOnce::Expiries { from, .. } => standing == from.map(millis),
        };
        if !is_due {
            return Ok(false);
        }
        let mut step = Step::new();
        let mut id = last;
        for event in events {
            id += 1;
            let row = encode(&event.clone().numbered(id))?;
            step = step.run(cmd("ZADD").arg(schema.events()).arg(id).arg(row));
        }
        step = step.run(&mark(shared, once));
        step = match once {
            // The counter stays, so what is moved guards itself.
            AppendOnce::Expiries { from, .. } if events.is_empty() => {
                step.guarded(FIELD_EXPIRIES_UNTIL, from.map_or(0, millis))
            }
            _ => step
                .run(cmd("HSET").arg(schema.meta()).arg(FIELD_LAST_EVENT).arg(id))
                .run(&trim(schema.events(), keep))
                .guarded(FIELD_LAST_EVENT, counter),
        };
        if shared.take(step, Over::Writes).await?.word == Word::Done {
            return Ok(true);
        }
    }
    let busy = "too many others append events at the same time; trying again";
    Err(StoreError::Failed(busy.into()))
}

pub(super) async fn after(
    shared: &Shared,
    after: u64,
    limit: usize,
) -> Result<EventPage, StoreError> {
    let mut range = cmd("ZRANGE");
    range.arg(shared.schema.events()).arg(format!("({after}"));
    range
        .arg("+inf")
        .arg("BYSCORE")
        .arg("LIMIT")
        .arg(0)
        .arg(limit);
    range.arg("WITHSCORES");
    let step = with_last(shared, Step::new()).run(&range);
    let mut answer = shared.take(step, Over::Loads).await?;
    let (_, last) = read_last(&mut answer)?;
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

pub(super) async fn expiries_until(shared: &Shared) -> Result<Option<Timestamp>, StoreError> {
    let until: Option<i64> = shared.ask(&get_expiries(shared), Over::Loads).await?;
    Ok(until.map(Timestamp::from_millis))
}

/// Asks for the newest number, for [`read_last`].
fn with_last(shared: &Shared, step: Step) -> Step {
    let schema = &shared.schema;
    let mut newest = cmd("ZRANGE");
    newest
        .arg(schema.events())
        .arg(-1)
        .arg(-1)
        .arg("WITHSCORES");
    step.run(cmd("HGET").arg(schema.meta()).arg(FIELD_LAST_EVENT))
        .run(&newest)
}

/// The counter, 0 where there is none, and the newest number. They differ in a
/// store from before there was a counter.
fn read_last(answer: &mut Answer) -> Result<(u64, u64), StoreError> {
    let counter: Option<u64> = answer.reply()?;
    let newest: Scored = answer.reply()?;
    let counter = counter.unwrap_or(0);
    let newest = newest.last().map_or(0, |(_, id)| *id);
    Ok((counter, counter.max(newest)))
}

/// Reads what `once` is held against.
fn standing(shared: &Shared, once: &AppendOnce) -> Cmd {
    match once {
        AppendOnce::Batch { writer, .. } => {
            let mut get = cmd("GET");
            get.arg(shared.schema.event_writer(*writer));
            get
        }
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
        AppendOnce::Batch { writer, number } => {
            let mut set = cmd("SET");
            set.arg(shared.schema.event_writer(*writer)).arg(number);
            set.arg("EX").arg(BATCHES_KEPT.as_secs());
            set
        }
        AppendOnce::Expiries { until, .. } => {
            let mut set = cmd("HSET");
            set.arg(shared.schema.meta()).arg(FIELD_EXPIRIES_UNTIL);
            set.arg(until.as_millis());
            set
        }
    }
}

fn trim(name: String, keep: u64) -> Cmd {
    let mut trim = cmd("ZREMRANGEBYRANK");
    trim.arg(name).arg(0).arg(format!("-{}", keep + 1));
    trim
}

fn millis(moment: Timestamp) -> u64 {
    moment.as_millis().cast_unsigned()
}
