//! Keys: loads, lists and changes.
//!
//! A change is decided here over what was read, and written only if the store's
//! revision is still the one of the read and the store's clock is not past what
//! the decision rests on; else it is decided again.

use async_trait::async_trait;
use redis::cmd;

use super::gateways;
use super::schema::{FIELD_CHANGE, FIELD_HAD_KEYS, FIELD_REVISION, parse_place, place};
use super::script::{Step, Word};
use super::shared::{ATTEMPTS, Over, RedisStore, Shared};
use crate::keys::KeyId;
use crate::keys::Position;
use crate::store::clock::StoreClock;
use crate::store::codec::{StoredKey, What, decode, encode};
use crate::store::error::StoreError;
use crate::store::feed::{Change, Feed, KeyChange};
use crate::store::key_changes::{Ask, Decision, Write};
use crate::store::keys::{
    ChangeError, Durability, KeyCursor, KeyEdit, KeyPage, KeyStore, Loaded, Lookup, NewKey, Written,
};

/// Changes kept in the feed. A gateway that is further behind reads all it
/// knows again.
const FEED_KEPT: u64 = 10_000;
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
        let row: Row = answer.reply()?;
        let had_keys = answer.reply()?;
        let stored = row.map(|row| decode(&row, || id.to_string())).transpose()?;
        Ok(Loaded {
            epoch: answer.epoch,
            lookup: match stored {
                Some(StoredKey::Key(row)) => Lookup::Present(row.to_record(id)),
                Some(StoredKey::Deleted(_)) => Lookup::Deleted,
                None => Lookup::Absent,
            },
            had_keys,
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
            listed.push(parse_place(text).ok_or_else(|| StoreError::Corrupt {
                what: "the list of keys".into(),
                why: format!("{text:?} is no place in it"),
            })?);
        }
        let Some((created_at, id)) = listed.last().copied() else {
            return Ok(page);
        };
        page.next = more.then_some(KeyCursor { created_at, id });
        let mut get = cmd("MGET");
        for (_, id) in &listed {
            get.arg(shared.schema.key(*id));
        }
        let rows: Vec<Row> = shared.ask(&get, Over::Loads).await?;
        for ((_, id), row) in listed.into_iter().zip(rows) {
            match row.map(|row| decode(&row, || id.to_string())) {
                Some(Ok(StoredKey::Key(row))) => page.records.push(row.to_record(id)),
                // Deleted since its place was read.
                Some(Ok(StoredKey::Deleted(_))) | None => {}
                Some(Err(_)) => page.unreadable.push(id),
            }
        }
        Ok(page)
    }

    async fn changes(&self, after: Position) -> Result<Option<Feed>, StoreError> {
        gateways::changes(&self.shared, after).await
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

pub(super) async fn change(shared: &Shared, ask: Ask) -> Result<Written, ChangeError> {
    let id = ask.key();
    for _ in 0..ATTEMPTS {
        let read = Step::new().run(cmd("GET").arg(shared.schema.key(id)));
        let mut read = shared.take(read, Over::Writes).await?;
        let row: Row = read.reply()?;
        let stored = row.map(|row| decode(&row, || id.to_string())).transpose()?;
        let now = shared.shifted(read.now);
        let write = match ask.clone().decide(stored, now, read.revision.next())? {
            Decision::Write(write) => write,
            Decision::Already(change, revision) => {
                let receipt = shared.writes.number().await;
                let (enrolled, mut position) = gateways::all_after_a_write(shared).await?;
                position.revision = revision;
                return Ok(Written {
                    change: KeyChange { position, change },
                    is_new: false,
                    enrolled,
                    receipt,
                });
            }
        };
        let step = gateways::with_enrolled(shared, written(shared, &write)?)
            .guarded(FIELD_REVISION, read.revision.0)
            .before(write.before.map(|moment| shared.unshifted(moment)));
        let receipt = shared.writes.number().await;
        let mut answer = shared.take(step, Over::Writes).await?;
        if answer.word == Word::Done {
            for _ in 0..COMMANDS {
                answer.reply::<redis::Value>()?;
            }
            let enrolled = gateways::read_enrolled(&mut answer)?;
            // Acknowledged: a store that says less from now on has lost it.
            shared.saw(write.revision);
            shared.hear(write.revision);
            return Ok(Written {
                change: write.change(answer.epoch),
                is_new: true,
                enrolled,
                receipt,
            });
        }
    }
    let busy = "too many others change keys at the same time; try again";
    Err(StoreError::Failed(busy.into()).into())
}

/// The commands of a change, before those that read the enrolled gateways.
const COMMANDS: usize = 4;

fn written(shared: &Shared, write: &Write) -> Result<Step, StoreError> {
    let schema = &shared.schema;
    let id = write.entry.key;
    let revision = write.revision.0;
    let mut set = cmd("SET");
    set.arg(schema.key(id)).arg(encode(&write.entry.record)?);
    if let StoredKey::Deleted(marker) = &write.entry.record {
        // The marker goes when the key would have expired; one of the past at once.
        set.arg("PXAT");
        set.arg(shared.unshifted(marker.expires_at).as_millis().max(1));
    }
    let mut list = match write.entry.what {
        What::Deleted => cmd("ZREM"),
        What::Created | What::Edited | What::Revoked => cmd("ZADD"),
    };
    list.arg(schema.keys());
    if write.entry.what != What::Deleted {
        list.arg(0);
    }
    list.arg(place(write.created_at, id));
    let mut feed = cmd("XADD");
    feed.arg(schema.feed())
        .arg("MAXLEN")
        .arg("~")
        .arg(FEED_KEPT);
    feed.arg(format!("{revision}-0"));
    feed.arg(FIELD_CHANGE).arg(encode(&write.entry)?);
    let mut counter = cmd("HSET");
    counter.arg(schema.meta()).arg(FIELD_REVISION).arg(revision);
    if write.entry.what == What::Created {
        counter.arg(FIELD_HAD_KEYS).arg(1);
    }
    Ok(Step::new().run(&set).run(&list).run(&feed).run(&counter))
}
