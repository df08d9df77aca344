//! The set of gateways, their heartbeats, and what they report.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use async_trait::async_trait;
use redis::cmd;

use super::feed;
use super::gateway_rows as rows;
use super::memory::evicts;
use super::script::{Answer, Step};
use super::shared::{Over, RedisStore, Shared};
use crate::keys::{KeyId, Position, Timestamp};
use crate::store::error::StoreError;
use crate::store::feed::Feed;
use crate::store::gateways::{Enrolled, GatewayId, GatewayInfo, GatewayStore, Heartbeat, Reach};
use crate::store::presence::PresenceList;

/// How long it can be asked what a revoke did.
const OUTCOMES_KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

#[async_trait]
impl GatewayStore for RedisStore {
    async fn enrol(&self, gateway: GatewayInfo) -> Result<Position, StoreError> {
        let shared = &*self.shared;
        let info = gateway;
        let now = shared.clock.now();
        let position = put(shared, &info, now, None).await?.position();
        shared.saw(position.revision);
        let mut enrolled = shared.enrolled.lock();
        enrolled.retain(|(other, _)| other.id != info.id);
        enrolled.push((info, now));
        Ok(position)
    }

    async fn renew(&self, heartbeat: Heartbeat) -> Result<Feed, StoreError> {
        let shared = &*self.shared;
        let position = heartbeat.position;
        shared.saw(position.revision);
        let id = heartbeat.gateway.to_string();
        let beat = rows::beat(&heartbeat, shared.clock.now())?;
        let mut step = Step::new()
            .run(cmd("HGET").arg(shared.schema.gateways()).arg(&id))
            // A beat that comes behind the gateway's own leave is none.
            .run_then(cmd("HSET").arg(shared.schema.beats()).arg(&id).arg(beat))
            .run(&feed::range_after(shared, position.revision))
            .run(cmd("INFO").arg("replication"))
            .run(cmd("INFO").arg("memory"));
        for outcome in &heartbeat.outcomes {
            let name = shared.schema.outcomes(outcome.key);
            let row = rows::outcome(outcome)?;
            step = step
                .run_alone(cmd("HSET").arg(&name).arg(&id).arg(row))
                .run_alone(cmd("EXPIRE").arg(&name).arg(OUTCOMES_KEPT.as_secs()));
        }
        let mut answer = shared.take(step, Over::Tail).await?;
        let mut feed = Feed {
            position: answer.position(),
            ..Feed::default()
        };
        let own: Result<Option<Vec<u8>>, _> = answer.reply_of(|| "this gateway's row".into());
        let beaten: Result<redis::Value, _> = answer.reply_of(|| "this gateway's heartbeat".into());
        feed::read(&mut answer, &mut feed);
        let info: String = answer.reply()?;
        let memory: String = answer.reply()?;
        feed.unprotected = shared.replicas.observe(&info).or_else(|| evicts(&memory));
        for _ in &heartbeat.outcomes {
            for _ in 0..2 {
                let told: Result<redis::Value, _> =
                    answer.reply_of(|| "what a key's end did here".into());
                feed.damaged.extend(told.err());
            }
        }
        shared.hear(feed.position.revision);
        match own {
            Ok(row) => enrol_again(shared, &heartbeat, row.as_deref()).await?,
            Err(error) => feed.damaged.push(error),
        }
        feed.damaged.extend(beaten.err());
        Ok(feed)
    }

    async fn changed(&self, after: Position) {
        let mut heard = self.shared.heard.subscribe();
        // The sender lives as long as this store, so this can't fail.
        let _ = heard.wait_for(|now| *now > after.revision).await;
    }

    async fn gateways(&self) -> Result<(Vec<Enrolled>, Position), StoreError> {
        let shared = &*self.shared;
        let mut answer = shared
            .take(with_enrolled(shared, Step::new()), Over::Loads)
            .await?;
        Ok((read_enrolled(&mut answer)?, answer.position()))
    }

    async fn reach(&self, key: KeyId) -> Result<Reach, StoreError> {
        let shared = &*self.shared;
        let mut get = cmd("HGETALL");
        get.arg(shared.schema.outcomes(key));
        let step = with_enrolled(shared, Step::new().run(&get));
        let mut answer = shared.take(step, Over::Loads).await?;
        let what = || format!("what {key}'s end did");
        // Without it a gateway says only how far it is.
        let found: BTreeMap<String, Vec<u8>> = answer.reply_of(what).unwrap_or_else(|error| {
            tracing::error!(%error, "it is left out");
            BTreeMap::new()
        });
        let outcomes = found.into_iter();
        Ok(Reach {
            position: answer.position(),
            outcomes: outcomes
                .filter_map(|(text, row)| rows::read_outcome(key, &text, &row))
                .collect(),
            enrolled: read_enrolled(&mut answer)?,
        })
    }

    async fn leave(&self, gateway: GatewayId) -> Result<(), StoreError> {
        let shared = &*self.shared;
        shared
            .enrolled
            .lock()
            .retain(|(info, _)| info.id != gateway);
        let id = gateway.to_string();
        let step = Step::new()
            .run(cmd("HDEL").arg(shared.schema.gateways()).arg(&id))
            .run(cmd("HDEL").arg(shared.schema.beats()).arg(&id))
            .run(
                cmd("DEL")
                    .arg(shared.schema.presence_list(PresenceList::Sessions, gateway))
                    .arg(
                        shared
                            .schema
                            .presence_list(PresenceList::Rejections, gateway),
                    ),
            );
        shared.take(step, Over::Tail).await.map(|_| ())
    }
}

/// Writes a gateway's row, and its first heartbeat unless it has one.
async fn put(
    shared: &Shared,
    info: &GatewayInfo,
    enrolled_at: Timestamp,
    heartbeat: Option<&Heartbeat>,
) -> Result<Answer, StoreError> {
    let now = shared.clock.now();
    let beat = match heartbeat {
        Some(heartbeat) => rows::beat(heartbeat, now)?,
        None => rows::first_beat(now)?,
    };
    let id = info.id.to_string();
    let row = rows::gateway(info, enrolled_at)?;
    let step = Step::new()
        .run(cmd("HSET").arg(shared.schema.gateways()).arg(&id).arg(row))
        .run(cmd("HSETNX").arg(shared.schema.beats()).arg(&id).arg(beat));
    shared.take(step, Over::Tail).await
}

/// Where the store's row of this gateway is not what it wrote: an operator forgot
/// it while it lived, or the store lost or damaged it. It goes on to follow the
/// feed, so revokes have to reach it again.
async fn enrol_again(
    shared: &Shared,
    heartbeat: &Heartbeat,
    row: Option<&[u8]>,
) -> Result<(), StoreError> {
    let known = {
        let enrolled = shared.enrolled.lock();
        enrolled
            .iter()
            .find(|(info, _)| info.id == heartbeat.gateway)
            .cloned()
    };
    let Some((info, at)) = known else {
        return Ok(());
    };
    if row == Some(&rows::gateway(&info, at)?) {
        return Ok(());
    }
    tracing::warn!(gateway = %info.id, "the store does not know this gateway as it enrolled; enrolling again");
    put(shared, &info, at, Some(heartbeat)).await.map(|_| ())
}

pub(super) fn gateway_id(text: &str) -> Option<GatewayId> {
    let id = text.parse().ok();
    if id.is_none() {
        tracing::error!(id = ?text, "no gateway's id; it is left out");
    }
    id
}

/// Adds the commands that read the enrolled gateways, for [`read_enrolled`].
pub(super) fn with_enrolled(shared: &Shared, step: Step) -> Step {
    step.run(cmd("HGETALL").arg(shared.schema.gateways()))
        .run(cmd("HGETALL").arg(shared.schema.beats()))
}

/// Those in order of their ids. One whose row can't be read is among them.
pub(super) fn read_enrolled(answer: &mut Answer) -> Result<Vec<Enrolled>, StoreError> {
    type Rows = HashMap<String, Vec<u8>>;
    let rows: Result<Rows, _> = answer.reply_of(|| "the set of gateways".into());
    let beats: Result<Rows, _> = answer.reply_of(|| "the gateways' heartbeats".into());
    let rows = rows?;
    let mut all: Vec<_> = rows
        .iter()
        .filter_map(|(text, row)| {
            let beat = match &beats {
                Ok(beats) => Ok(beats.get(text).map(Vec::as_slice)),
                Err(error) => Err(error.clone()),
            };
            Some(rows::read_enrolled(gateway_id(text)?, row, beat))
        })
        .collect();
    all.sort_by_key(|gateway| gateway.info.id);
    Ok(all)
}
