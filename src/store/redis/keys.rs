//! Keys: loads, lists and changes.
//!
//! A change is decided here over the key's row as it was read, and written only if
//! it still is that one and the store's clock is not past what the decision rests
//! on; else it is decided again. Changes of other keys are not in its way: the
//! script makes the revision.

use std::time::Duration;

use async_trait::async_trait;
use redis::cmd;

use super::schema::{FIELD_FORMAT, FIELD_HAD_KEYS, FIELD_REVISION, FORMAT, parse_place, place};
use super::script::{Answer, REVISION, ROWS, Step, Word};
use super::shared::{Over, RedisStore, Shared};
use super::{feed, gateways, markers};
use crate::keys::{KeyId, Position, Revision};
use crate::store::clock::StoreClock;
use crate::store::codec::{StoredKey, UNKNOWN_REVISION, What, decode, unsealed};
use crate::store::error::StoreError;
use crate::store::feed::{Change, Feed};
use crate::store::key_changes::{Ask, Decision, Write, end_again, to_lookup};
use crate::store::keys::{
    ChangeError, Durability, KeyCursor, KeyEdit, KeyPage, KeyStore, Loaded, LoadedKeys, Lookup,
    NewKey, Written,
};

type Row = Option<Vec<u8>>;

#[async_trait]
impl KeyStore for RedisStore {
    fn clock(&self) -> &StoreClock {
        &self.shared.clock
    }

    async fn load(&self, id: KeyId) -> Result<Loaded, StoreError> {
        let shared = &*self.shared;
        let read = Step::new()
            .run(cmd("GET").arg(shared.schema.key(id)))
            .run(cmd("HEXISTS").arg(shared.schema.meta()).arg(FIELD_HAD_KEYS));
        let mut answer = shared.take(read, Over::Loads).await?;
        let lookup = read_lookup(&mut answer, id)?;
        Ok(Loaded {
            epoch: answer.epoch,
            lookup,
            had_keys: answer.reply()?,
        })
    }

    async fn load_all(&self, ids: &[KeyId]) -> Result<LoadedKeys, StoreError> {
        let shared = &*self.shared;
        // One by one: MGET says of a row of another type that it is not there.
        let step = ids.iter().fold(Step::new(), |step, id| {
            step.run(cmd("GET").arg(shared.schema.key(*id)))
        });
        let mut answer = shared.take(step, Over::Loads).await?;
        Ok(LoadedKeys {
            epoch: answer.epoch,
            keys: ids
                .iter()
                .map(|id| (*id, read_lookup(&mut answer, *id)))
                .collect(),
        })
    }

    async fn list(&self, after: Option<KeyCursor>, limit: usize) -> Result<KeyPage, StoreError> {
        let shared = &*self.shared;
        let start = after.map_or("-".into(), |cursor| {
            format!("({}", place(cursor.created_at, cursor.id))
        });
        let mut range = cmd("ZRANGE");
        range.arg(shared.schema.keys()).arg(start).arg("+");
        range.arg("BYLEX").arg("LIMIT").arg(0).arg(limit + 1);
        let places: Vec<String> = shared.ask(&range, Over::Loads).await?;
        let more = places.len() > limit;
        let mut page = KeyPage::default();
        let mut listed = Vec::new();
        for text in places.iter().take(limit) {
            match parse_place(text) {
                Some(place) => listed.push(place),
                None => {
                    tracing::error!(place = ?text, "no place in the list of keys; it is left out")
                }
            }
        }
        let Some((created_at, id)) = listed.last().copied() else {
            return Ok(page);
        };
        page.next = more.then_some(KeyCursor { created_at, id });
        let ids: Vec<_> = listed.into_iter().map(|(_, id)| id).collect();
        for (id, row) in self.load_all(&ids).await?.keys {
            match row {
                Ok(Lookup::Present(record)) => page.records.push(record),
                // Deleted since its place was read.
                Ok(Lookup::Deleted(_) | Lookup::Absent) => {}
                Err(_) => page.unreadable.push(id),
            }
        }
        Ok(page)
    }

    async fn feed_after(&self, after: Revision) -> Result<Feed, StoreError> {
        feed::after(&self.shared, after).await
    }

    async fn remove_spent_markers(&self) -> Result<u64, StoreError> {
        markers::remove_spent(&self.shared).await
    }

    async fn create(&self, key: NewKey) -> Result<Written, ChangeError> {
        change(&self.shared, Ask::Create(key)).await
    }

    async fn edit(&self, id: KeyId, edit: KeyEdit) -> Result<Written, ChangeError> {
        change(&self.shared, Ask::Edit(id, edit)).await
    }

    async fn revoke(&self, id: KeyId) -> Result<Written, ChangeError> {
        change(&self.shared, Ask::Revoke(id)).await
    }

    async fn delete(&self, id: KeyId) -> Result<Written, ChangeError> {
        change(&self.shared, Ask::Delete(id)).await
    }

    async fn settle(&self, written: &Written) -> Durability {
        let Shared {
            replicas, writes, ..
        } = &*self.shared;
        replicas.settle(writes, written.receipt).await
    }

    async fn reassert(&self, end: Change) -> Result<Written, ChangeError> {
        change(&self.shared, Ask::Reassert(end)).await
    }
}

fn read_lookup(answer: &mut Answer, id: KeyId) -> Result<Lookup, StoreError> {
    let row: Row = answer.reply_of(|| id.to_string())?;
    let stored = row.map(|row| decode(&row, || id.to_string())).transpose()?;
    Ok(to_lookup(id, stored))
}

/// Times a change is decided anew because another changed the same key meanwhile.
const ATTEMPTS: u32 = 20;
/// Before the second try at most; doubled before each further one.
const PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

pub(super) async fn change(shared: &Shared, ask: Ask) -> Result<Written, ChangeError> {
    let id = ask.key();
    let mut pause = PAUSE;
    for _ in 0..ATTEMPTS {
        let read = Step::new().run(cmd("GET").arg(shared.schema.key(id)));
        let mut read = shared.take(read, Over::Writes).await?;
        let row: Row = read.reply_of(|| id.to_string())?;
        let stored = row.as_deref().map(|row| decode(row, || id.to_string()));
        let stored = stored.transpose();
        let now = shared.shifted(read.now);
        let mut write = match ask.clone().decide_over(stored, now, UNKNOWN_REVISION)? {
            Decision::Write(write) => Some(*write),
            Decision::Already(..) => None,
        };
        if write.is_none() {
            match already(shared, id, row.as_deref()).await? {
                Already::Written(written) => return Ok(written),
                Already::Half(again) => write = Some(again),
                Already::Moved => {}
            }
        }
        if let Some(write) = write
            && let Some(written) = put(shared, row.as_deref(), write).await?
        {
            return Ok(written);
        }
        tokio::time::sleep(at_random(pause)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    let busy = "too many others change this key at the same time; try again";
    Err(StoreError::NotWritten(busy.into()).into())
}

/// Anything up to `most`, so that those who met do not meet again.
fn at_random(most: Duration) -> Duration {
    // Without randomness it is no more than a wait.
    let random = getrandom::u32().unwrap_or(u32::MAX);
    most.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

/// What a row that says "ended" is worth.
enum Already {
    /// The end is in the counter's past and in the feed: all gateways hear of it.
    Written(Written),
    /// It is not: a step that failed half way left the row. To be written again.
    Half(Write),
    /// The row is another one meanwhile.
    Moved,
}

async fn already(shared: &Shared, id: KeyId, row: Option<&[u8]>) -> Result<Already, ChangeError> {
    let stored: Option<StoredKey> = row.map(|row| decode(row, || id.to_string())).transpose()?;
    let Some(stored) = stored else {
        return Ok(Already::Moved);
    };
    let revision = stored.revision();
    let receipt = shared.writes.number().await;
    // Something has to be written, so that a replica that has it has what was
    // written before, too.
    let mut touch = cmd("HSET");
    touch.arg(shared.schema.meta());
    touch.arg(FIELD_FORMAT).arg(FORMAT);
    let step = Step::new()
        .guarded(cmd("GET").arg(shared.schema.key(id)), row.unwrap_or(b""))
        .run(&touch)
        .run(&feed::entry(shared, revision))
        .run(&feed::oldest(shared));
    let mut answer = shared
        .take(gateways::with_enrolled(shared, step), Over::Writes)
        .await?;
    if answer.word != Word::Done {
        return Ok(Already::Moved);
    }
    answer.reply::<redis::Value>()?;
    let entry = feed::read_key(&mut answer);
    let oldest = feed::read_revision(&mut answer);
    let is_told = entry == Some(id) || oldest.is_some_and(|oldest| oldest > revision);
    if revision > answer.revision || !is_told {
        tracing::error!(key = %id, %revision, "the end of this key was written, but not into the feed of changes; writing it again");
        let again = end_again(id, stored, UNKNOWN_REVISION);
        return Ok(again.map_or(Already::Moved, Already::Half));
    }
    let change = end_again(id, stored, revision).map(|end| {
        end.made(Position {
            revision,
            ..answer.position()
        })
    });
    Ok(change.map_or(Already::Moved, |change| {
        Already::Written(Written {
            change,
            is_new: false,
            enrolled: gateways::read_enrolled(&mut answer).unwrap_or_default(),
            receipt,
        })
    }))
}

/// Writes a change of the key whose row is `row`; `None` where it is not any
/// more, or it is too late.
async fn put(
    shared: &Shared,
    row: Option<&[u8]>,
    write: Write,
) -> Result<Option<Written>, ChangeError> {
    let key = shared.schema.key(write.entry.key);
    let step = written(shared, &write)?;
    let commands = step.commands();
    let step = gateways::with_enrolled(shared, step)
        .guarded(cmd("GET").arg(key), row.unwrap_or(b""))
        .before(write.before.map(|moment| shared.unshifted(moment)));
    let receipt = shared.writes.number().await;
    let mut answer = shared.take(step, Over::Writes).await?;
    if answer.word != Word::Done {
        return Ok(None);
    }
    for _ in 0..commands {
        answer.reply::<redis::Value>()?;
    }
    // It is written: that a gateway's row can't be read is no failure of it.
    let enrolled = gateways::read_enrolled(&mut answer).unwrap_or_default();
    // Acknowledged: a store that says less from now on has lost it.
    shared.saw(answer.revision);
    shared.hear(answer.revision);
    Ok(Some(Written {
        change: write.made(answer.position()),
        is_new: true,
        enrolled,
        receipt,
    }))
}

fn written(shared: &Shared, write: &Write) -> Result<Step, StoreError> {
    let schema = &shared.schema;
    let id = write.entry.key;
    let rows = [unsealed(&write.entry.record)?, unsealed(&write.entry)?];
    let mut set = cmd("SET");
    set.arg(schema.key(id)).arg(ROWS[0]);
    let mut list = match write.entry.what {
        What::Deleted => cmd("ZREM"),
        What::Created | What::Edited | What::Revoked => cmd("ZADD"),
    };
    list.arg(schema.keys());
    if write.entry.what != What::Deleted {
        list.arg(0);
    }
    // Without a place there is nothing to take out.
    let place = write.created_at.map(|at| place(at, id));
    list.arg(place.unwrap_or_default());
    let mut counter = cmd("HSET");
    counter.arg(schema.meta()).arg(FIELD_REVISION).arg(REVISION);
    if write.entry.what == What::Created {
        counter.arg(FIELD_HAD_KEYS).arg(1);
    }
    // The feed first: it is what may refuse.
    let step = Step::of_change(rows)
        .run(&feed::added(shared, ROWS[1]))
        .run(&set)
        .run(&list)
        .run(&counter);
    Ok(match &write.entry.record {
        StoredKey::Deleted(marker) => step.run(&markers::noted(shared, id, marker)),
        StoredKey::Key(_) => step,
    })
}
