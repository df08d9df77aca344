//! Events.

use redis::{Cmd, cmd};

use super::schema::FIELD_EXPIRIES_UNTIL;
use super::step::Step;
use super::{Over, Shared};
use crate::keys::Timestamp;
use crate::store::codec::{decode, encode};
use crate::store::event_store::{Event, EventLog};
use crate::store::key_store::StoreError;

pub(super) async fn load(shared: &Shared) -> Result<EventLog, StoreError> {
    let schema = &shared.schema;
    let step = Step::new()
        .run(cmd("ZRANGE").arg(schema.events()).arg(0).arg(-1))
        .run(cmd("HGET").arg(schema.meta()).arg(FIELD_EXPIRIES_UNTIL));
    let mut answer = shared.take(step, Over::Loads).await?;
    let rows: Vec<Vec<u8>> = answer.reply()?;
    let until: Option<i64> = answer.reply()?;
    let mut events = Vec::with_capacity(rows.len());
    for row in rows {
        match decode::<Event>(&row, || "an event".into()) {
            Ok(event) => events.push(event),
            Err(error) => tracing::error!(%error, "it is left out"),
        }
    }
    Ok(EventLog {
        events,
        expiries_until: until.map(Timestamp::from_millis),
    })
}

pub(super) async fn save(shared: &Shared, log: &EventLog, keep: u64) -> Result<(), StoreError> {
    let schema = &shared.schema;
    let mut step = Step::new();
    for event in &log.events {
        step = step.run(&added(schema.events(), event)?);
    }
    if let Some(last) = log.events.last() {
        let first_kept = (last.id + 1).saturating_sub(keep);
        let mut trim = cmd("ZREMRANGEBYSCORE");
        trim.arg(schema.events())
            .arg("-inf")
            .arg(format!("({first_kept}"));
        step = step.run(&trim);
    }
    if let Some(until) = log.expiries_until {
        let mut set = cmd("HSET");
        set.arg(schema.meta())
            .arg(FIELD_EXPIRIES_UNTIL)
            .arg(until.as_millis());
        step = step.run(&set);
    }
    shared.take(step, Over::Writes).await.map(|_| ())
}

fn added(name: String, event: &Event) -> Result<Cmd, StoreError> {
    let mut add = cmd("ZADD");
    add.arg(name).arg(event.id).arg(encode(event)?);
    Ok(add)
}
