//! The set of gateways, and the feed that they follow.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use async_trait::async_trait;
use redis::{Cmd, cmd};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::schema::{FIELD_CHANGE, FIELD_FORMAT, FORMAT};
use super::script::{Answer, Step};
use super::shared::{Over, RedisStore, Shared};
use crate::keys::{KeyId, Position, Revision, Timestamp};
use crate::store::codec::{FeedRow, decode, encode};
use crate::store::error::StoreError;
use crate::store::feed::{Feed, KeyChange};
use crate::store::gateways::{
    Enrolled, GatewayId, GatewayInfo, GatewayStore, Heartbeat, Outcome, Standing,
};
use crate::store::key_changes::to_change;
use crate::store::presence::PresenceList;

/// Changes given out in one call.
const FEED_BATCH: usize = 1_000;

/// How long it can be asked what a revoke did.
const OUTCOMES_KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

#[async_trait]
impl GatewayStore for RedisStore {
    async fn enrol(&self, gateway: GatewayInfo) -> Result<Position, StoreError> {
        let shared = &*self.shared;
        let info = gateway;
        let now = shared.clock.now();
        let answer = put(shared, &info, now, None).await?;
        shared.saw(answer.revision);
        let mut enrolled = shared.enrolled.lock();
        enrolled.retain(|(other, _)| other.id != info.id);
        enrolled.push((info, now));
        Ok(Position {
            epoch: answer.epoch,
            revision: answer.revision,
        })
    }

    async fn renew(&self, heartbeat: Heartbeat) -> Result<Feed, StoreError> {
        let shared = &*self.shared;
        let position = heartbeat.position;
        shared.saw(position.revision);
        let id = heartbeat.gateway.to_string();
        let beat = encode(&BeatRow {
            at: shared.clock.now(),
            applied: position.revision,
            live_sessions: heartbeat.live_sessions,
            standing: heartbeat.standing,
            unknown: Map::new(),
        })?;
        let step = Step::new()
            .run(cmd("HSET").arg(shared.schema.beats()).arg(&id).arg(beat))
            .run(cmd("HEXISTS").arg(shared.schema.gateways()).arg(&id))
            .run(&range_after(shared, position.revision))
            .run(cmd("INFO").arg("replication"));
        let mut step = step;
        for outcome in &heartbeat.outcomes {
            let name = shared.schema.outcomes(outcome.key);
            let row = encode(&OutcomeRow::new(outcome))?;
            step = step
                .run(cmd("HSET").arg(&name).arg(&id).arg(row))
                .run(cmd("EXPIRE").arg(&name).arg(OUTCOMES_KEPT.as_secs()));
        }
        let mut answer = shared.take(step, Over::Tail).await?;
        answer.reply::<redis::Value>()?;
        if !answer.reply::<bool>()? {
            enrol_again(shared, heartbeat).await?;
        }
        let range: Range = answer.reply()?;
        let info: String = answer.reply()?;
        let now = Position {
            epoch: answer.epoch,
            revision: answer.revision,
        };
        shared.hear(now.revision);
        // Entries of another history are no continuation of the caller's.
        let entries = match now.epoch == position.epoch {
            true => entries(range, now)?,
            false => Vec::new(),
        };
        Ok(Feed {
            position: now,
            entries,
            unprotected: shared.replicas.observe(&info),
        })
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
        let position = Position {
            epoch: answer.epoch,
            revision: answer.revision,
        };
        Ok((read_enrolled(&mut answer)?, position))
    }

    async fn outcomes(&self, key: KeyId) -> Result<Vec<(GatewayId, Outcome)>, StoreError> {
        let shared = &*self.shared;
        let mut get = cmd("HGETALL");
        get.arg(shared.schema.outcomes(key));
        let rows: BTreeMap<String, Vec<u8>> = shared.ask(&get, Over::Loads).await?;
        let mut all = Vec::new();
        for (text, row) in rows {
            let what = || format!("what {key}'s end did on the gateway {text:?}");
            let row: OutcomeRow = decode(&row, what)?;
            let outcome = Outcome {
                key,
                revision: row.revision,
                closed: row.closed,
                closing: row.closing,
                at: row.at,
            };
            all.push((gateway_id(&text)?, outcome));
        }
        Ok(all)
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

/// What a gateway said when it enrolled.
#[derive(Serialize, Deserialize)]
pub(super) struct GatewayRow {
    pub name: String,
    version: String,
    enrolled_at: Timestamp,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

/// What it said last.
#[derive(Serialize, Deserialize)]
struct BeatRow {
    at: Timestamp,
    applied: Revision,
    live_sessions: u64,
    #[serde(default)]
    standing: Standing,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

/// What a final change did there.
#[derive(Serialize, Deserialize)]
struct OutcomeRow {
    revision: Revision,
    closed: u64,
    closing: u64,
    at: Timestamp,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

impl OutcomeRow {
    fn new(outcome: &Outcome) -> Self {
        Self {
            revision: outcome.revision,
            closed: outcome.closed,
            closing: outcome.closing,
            at: outcome.at,
            unknown: Map::new(),
        }
    }
}

/// Writes a gateway's row, and its first heartbeat unless it has one.
async fn put(
    shared: &Shared,
    info: &GatewayInfo,
    enrolled_at: Timestamp,
    applied: Option<Revision>,
) -> Result<Answer, StoreError> {
    let row = encode(&GatewayRow {
        name: info.name.clone(),
        version: info.version.clone(),
        enrolled_at,
        unknown: Map::new(),
    })?;
    let beat = encode(&BeatRow {
        at: shared.clock.now(),
        applied: applied.unwrap_or_default(),
        live_sessions: 0,
        standing: Standing::default(),
        unknown: Map::new(),
    })?;
    let id = info.id.to_string();
    let step = Step::new()
        .run(cmd("HSET").arg(shared.schema.gateways()).arg(&id).arg(row))
        .run(cmd("HSETNX").arg(shared.schema.beats()).arg(&id).arg(beat));
    shared.take(step, Over::Tail).await
}

pub(super) async fn changes(shared: &Shared, after: Position) -> Result<Option<Feed>, StoreError> {
    let step = Step::new().run(&range_after(shared, after.revision));
    let mut answer = shared.take(step, Over::Loads).await?;
    let range: Range = answer.reply()?;
    let position = Position {
        epoch: answer.epoch,
        revision: answer.revision,
    };
    if position.epoch != after.epoch {
        return Ok(None);
    }
    let feed = Feed {
        position,
        entries: entries(range, position)?,
        unprotected: None,
    };
    Ok(Some(feed).filter(|feed| feed.follows(after)))
}

type Range = Vec<(String, HashMap<String, Vec<u8>>)>;

fn range_after(shared: &Shared, after: Revision) -> Cmd {
    let mut range = cmd("XRANGE");
    range.arg(shared.schema.feed());
    range.arg(format!("{}-0", after.next())).arg("+");
    range.arg("COUNT").arg(FEED_BATCH);
    range
}

fn entries(range: Range, now: Position) -> Result<Vec<KeyChange>, StoreError> {
    let mut entries = Vec::with_capacity(range.len());
    for (id, fields) in range {
        let row = fields.get(FIELD_CHANGE).map_or(&[][..], Vec::as_slice);
        let row: FeedRow = decode(row, || format!("feed entry {id}"))?;
        entries.push(KeyChange {
            position: Position {
                revision: revision(&id)?,
                ..now
            },
            change: to_change(&row),
        });
    }
    Ok(entries)
}

/// An operator forgot this gateway while it lived, or the store lost it: it
/// goes on to follow the feed, so revokes have to reach it again.
async fn enrol_again(shared: &Shared, heartbeat: Heartbeat) -> Result<(), StoreError> {
    let known = {
        let enrolled = shared.enrolled.lock();
        enrolled
            .iter()
            .find(|(info, _)| info.id == heartbeat.gateway)
            .cloned()
    };
    if let Some((info, at)) = known {
        tracing::warn!(gateway = %info.id, "the store no longer knows this gateway; enrolling again");
        put(shared, &info, at, Some(heartbeat.position.revision)).await?;
    }
    Ok(())
}

fn revision(entry: &str) -> Result<Revision, StoreError> {
    let number = entry.split('-').next().and_then(|text| text.parse().ok());
    number.map(Revision).ok_or_else(|| StoreError::Corrupt {
        what: format!("feed entry {entry}"),
        why: "its id is no revision".into(),
    })
}

/// The same where nothing needs to be written: what was written before is
/// then known to be on a replica once this is.
pub(super) async fn all_after_a_write(
    shared: &Shared,
) -> Result<(Vec<Enrolled>, Position), StoreError> {
    let mut touch = cmd("HSET");
    touch
        .arg(shared.schema.meta())
        .arg(FIELD_FORMAT)
        .arg(FORMAT);
    let step = with_enrolled(shared, Step::new().run(&touch));
    let mut answer = shared.take(step, Over::Writes).await?;
    answer.reply::<redis::Value>()?;
    let position = Position {
        epoch: answer.epoch,
        revision: answer.revision,
    };
    Ok((read_enrolled(&mut answer)?, position))
}

pub(super) fn gateway_id(text: &str) -> Result<GatewayId, StoreError> {
    text.parse().map_err(|_| StoreError::Corrupt {
        what: format!("the gateway {text:?}"),
        why: "its id is not one".into(),
    })
}

/// Adds the commands that read the enrolled gateways, for [`read_enrolled`].
pub(super) fn with_enrolled(shared: &Shared, step: Step) -> Step {
    step.run(cmd("HGETALL").arg(shared.schema.gateways()))
        .run(cmd("HGETALL").arg(shared.schema.beats()))
}

pub(super) fn read_enrolled(answer: &mut Answer) -> Result<Vec<Enrolled>, StoreError> {
    let rows: HashMap<String, Vec<u8>> = answer.reply()?;
    let beats: HashMap<String, Vec<u8>> = answer.reply()?;
    let mut all = Vec::new();
    for (text, row) in rows {
        let what = || format!("the gateway {text:?}");
        let id = gateway_id(&text)?;
        let row: GatewayRow = decode(&row, what)?;
        let beat = beats.get(&text);
        let beat: Option<BeatRow> = beat.map(|beat| decode(beat, what)).transpose()?;
        all.push(Enrolled {
            info: GatewayInfo {
                id,
                name: row.name,
                version: row.version,
            },
            enrolled_at: row.enrolled_at,
            last_heartbeat: beat.as_ref().map_or(row.enrolled_at, |beat| beat.at),
            applied: beat.as_ref().map_or(Revision(0), |beat| beat.applied),
            live_sessions: beat.as_ref().map_or(0, |beat| beat.live_sessions),
            standing: beat.map_or_else(Standing::default, |beat| beat.standing),
        });
    }
    all.sort_by_key(|gateway| gateway.info.id);
    Ok(all)
}
