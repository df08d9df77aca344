//! The markers of deleted keys, and when they may go.
//!
//! Must not know: when and why a marker is written. Invariant: a marker stays until
//! the latest expiry that its key ever had is past and every enrolled gateway has
//! applied the delete; else a gateway that missed it would take the key for lost.

use redis::{Cmd, cmd};

use super::gateways;
use super::schema::parse_marker;
use super::script::{Step, Word};
use super::shared::{Over, Shared};
use crate::keys::{KeyId, Revision};
use crate::store::codec::{DeletedRow, StoredKey, decode};
use crate::store::error::StoreError;

/// Markers looked at in one step.
const LOOK: usize = 200;

/// Notes the marker of a key that is written.
pub(super) fn noted(shared: &Shared, key: KeyId, marker: &DeletedRow) -> Cmd {
    let mut note = cmd("ZADD");
    note.arg(shared.schema.markers());
    note.arg(marker.expires_at.as_millis())
        .arg(key.0.to_string());
    note
}

pub(super) async fn remove_spent(shared: &Shared) -> Result<u64, StoreError> {
    let now = shared.clock.now();
    let mut due = cmd("ZRANGE");
    due.arg(shared.schema.markers());
    due.arg("-inf").arg(now.as_millis()).arg("BYSCORE");
    due.arg("LIMIT").arg(0).arg(LOOK);
    let step = gateways::with_enrolled(shared, Step::new().run(&due));
    let mut answer = shared.take(step, Over::Loads).await?;
    let due: Vec<String> = answer.reply()?;
    if due.is_empty() {
        return Ok(0);
    }
    let position = answer.position();
    let enrolled = gateways::read_enrolled(&mut answer)?;
    let is_passed = |revision: Revision| {
        let mut all = enrolled.iter();
        all.all(|gateway| gateway.damaged.is_none() && gateway.has_applied(revision, position))
    };
    let ids: Vec<KeyId> = due.iter().filter_map(|text| parse_marker(text)).collect();
    let rows = ids.iter().fold(Step::new(), |step, id| {
        step.run(cmd("GET").arg(shared.schema.key(*id)))
    });
    let mut answer = shared.take(rows, Over::Loads).await?;
    let mut step = Step::new();
    let mut removed = 0;
    for id in ids {
        let key = shared.schema.key(id);
        let row: Option<Vec<u8>> = answer.reply_of(|| id.to_string())?;
        let is_spent = match row.as_deref().map(|row| decode(row, || id.to_string())) {
            Some(Ok(StoredKey::Deleted(marker))) => {
                if !is_passed(marker.revision) {
                    continue;
                }
                true
            }
            // No marker: nothing to remove but what says that there is one.
            Some(Ok(StoredKey::Key(_))) | None => false,
            Some(Err(_)) => continue,
        };
        step = step.guarded(cmd("GET").arg(&key), row.as_deref().unwrap_or(b""));
        if is_spent {
            removed += 1;
            step = step.run(cmd("DEL").arg(&key));
        }
        let mut forget = cmd("ZREM");
        forget.arg(shared.schema.markers()).arg(id.0.to_string());
        step = step.run(&forget);
    }
    // Where one of them changed meanwhile, they are looked at again.
    let done = shared.take(step, Over::Writes).await?.word == Word::Done;
    Ok(if done { removed } else { 0 })
}
