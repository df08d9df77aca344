//! What lies in Redis of a gateway: its row, its heartbeat, what ends did there.
//!
//! Must not know: when they are read and written. Invariant: a row that can't be
//! read says so, and stands in nobody's way.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::gateways::gateway_id;
use crate::keys::{Epoch, KeyId, Revision, Timestamp};
use crate::store::codec::{decode, encode};
use crate::store::error::StoreError;
use crate::store::gateways::{Enrolled, GatewayId, GatewayInfo, Heartbeat, Outcome, Standing};

/// What a gateway said when it enrolled.
#[derive(Serialize, Deserialize)]
struct GatewayRow {
    name: String,
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
    /// In hexadecimal. Missing in rows of older musters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    epoch: Option<String>,
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

pub(super) fn gateway(info: &GatewayInfo, enrolled_at: Timestamp) -> Result<Vec<u8>, StoreError> {
    encode(&GatewayRow {
        name: info.name.clone(),
        version: info.version.clone(),
        enrolled_at,
        unknown: Map::new(),
    })
}

pub(super) fn beat(heartbeat: &Heartbeat, at: Timestamp) -> Result<Vec<u8>, StoreError> {
    encode(&BeatRow {
        at,
        applied: heartbeat.applied.revision,
        epoch: Some(heartbeat.applied.epoch.to_string()),
        live_sessions: heartbeat.live_sessions,
        standing: heartbeat.standing,
        unknown: Map::new(),
    })
}

/// Of a gateway that has not renewed yet.
pub(super) fn first_beat(at: Timestamp) -> Result<Vec<u8>, StoreError> {
    encode(&BeatRow {
        at,
        applied: Revision(0),
        epoch: None,
        live_sessions: 0,
        standing: Standing::default(),
        unknown: Map::new(),
    })
}

pub(super) fn outcome(outcome: &Outcome) -> Result<Vec<u8>, StoreError> {
    encode(&OutcomeRow {
        revision: outcome.revision,
        closed: outcome.closed,
        closing: outcome.closing,
        at: outcome.at,
        unknown: Map::new(),
    })
}

/// What a key's end did on one gateway; `None`, and an error in the log, where
/// that can't be read.
pub(super) fn read_outcome(key: KeyId, text: &str, row: &[u8]) -> Option<(GatewayId, Outcome)> {
    let gateway = gateway_id(text)?;
    let what = || format!("what {key}'s end did on the gateway {gateway}");
    let read = decode::<OutcomeRow>(row, what);
    let row = read
        .inspect_err(|error| tracing::error!(%error, "it is left out"))
        .ok()?;
    let outcome = Outcome {
        key,
        revision: row.revision,
        closed: row.closed,
        closing: row.closing,
        at: row.at,
    };
    Some((gateway, outcome))
}

/// A gateway's name, as far as it can be read.
pub(super) fn name(id: GatewayId, row: &[u8]) -> String {
    let row = decode::<GatewayRow>(row, || format!("the gateway {id}"));
    row.map_or_else(|_| UNREADABLE.into(), |row| row.name)
}

/// In the place of a name.
const UNREADABLE: &str = "(unreadable)";

/// A gateway of the set, of its row and of its last heartbeat if there is one.
pub(super) fn read_enrolled(
    id: GatewayId,
    row: &[u8],
    beat: Result<Option<&[u8]>, StoreError>,
) -> Enrolled {
    let row = decode::<GatewayRow>(row, || format!("the gateway {id}"));
    let what = || format!("the heartbeat of the gateway {id}");
    let beat = beat.and_then(|beat| beat.map(|beat| decode::<BeatRow>(beat, what)).transpose());
    let damaged = [row.as_ref().err(), beat.as_ref().err()]
        .into_iter()
        .flatten()
        .map(ToString::to_string)
        .reduce(|one, other| format!("{one}; {other}"));
    let row = row.ok();
    let enrolled_at = row.as_ref().map(|row| row.enrolled_at);
    let enrolled_at = enrolled_at.unwrap_or(Timestamp::from_millis(0));
    let beat = beat.ok().flatten();
    let epoch = beat.as_ref().and_then(|beat| beat.epoch.as_deref());
    Enrolled {
        epoch: epoch.map(|text| Epoch(u128::from_str_radix(text, 16).unwrap_or_default())),
        last_heartbeat: beat.as_ref().map_or(enrolled_at, |beat| beat.at),
        applied: beat.as_ref().map_or(Revision(0), |beat| beat.applied),
        live_sessions: beat.as_ref().map_or(0, |beat| beat.live_sessions),
        standing: beat.map_or_else(Standing::default, |beat| beat.standing),
        info: GatewayInfo {
            id,
            name: row
                .as_ref()
                .map_or(UNREADABLE.into(), |row| row.name.clone()),
            version: row.map_or_else(String::new, |row| row.version),
        },
        enrolled_at,
        damaged,
    }
}
