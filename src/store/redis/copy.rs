//! A store made from the rows of another one.
//!
//! Owns: what a copy writes where. Must not know: where the rows come from.
//! Invariants: nothing is written where something is; until the copy is
//! complete a mark in meta keeps every gateway out.

use redis::{Pipeline, Value, cmd};

use super::error::RedisOpenError;
use super::info::field;
use super::open::random_epoch_text;
use super::options::RedisOptions;
use super::schema::{
    FIELD_COPYING, FIELD_EPOCH, FIELD_EXPIRIES_UNTIL, FIELD_FORMAT, FIELD_HAD_KEYS, FIELD_REPLID,
    FIELD_REVISION, FIELD_STORE_ID, FORMAT, claim, place, registration, setting,
};
use super::unscripted::Plain;
use crate::keys::{Id, Revision, Timestamp};
use crate::store::error::StoreError;
use crate::store::scan::{Row, Stored, read_key};

/// A copy that is not complete.
pub struct CopyTarget {
    plain: Plain,
    mark: String,
}

/// What makes a copy complete.
#[derive(Debug, Clone)]
pub struct CopyEnd {
    /// The counter of changes; no row has a greater one.
    pub revision: Revision,
    /// Keys that expired up to here have had their event.
    pub expiries_until: Option<Timestamp>,
    /// Claims that stand from the start: name and value.
    pub claims: Vec<(String, String)>,
    /// What is set for all gateways, by name.
    pub settings: Vec<(String, String)>,
}

impl CopyTarget {
    /// Marks a copy as begun, at `now`, where nothing is. `again`: what an
    /// interrupted copy left there is removed first.
    ///
    /// # Errors
    /// [`RedisOpenError`]; then nothing was changed.
    pub async fn begin(
        options: &RedisOptions,
        now: Timestamp,
        again: bool,
    ) -> Result<Self, RedisOpenError> {
        let plain = Plain::connect(options).await?;
        let meta = plain.schema.meta();
        let mut get = cmd("HGET");
        let begun: Result<Option<String>, _> = plain.ask(get.arg(&meta).arg(FIELD_COPYING)).await;
        match begun {
            Ok(Some(begun)) if !again => return Err(RedisOpenError::Copying { begun }),
            Ok(Some(_)) => remove_all(&plain).await?,
            // Of another type: it is taken, as the scan finds.
            Ok(None) | Err(_) => {}
        }
        if let Some(found) = first_name(&plain).await? {
            return Err(RedisOpenError::Taken { found });
        }
        let mark = now.to_string();
        let mut make = redis::pipe();
        make.atomic();
        make.cmd("HSETNX").arg(&meta).arg(FIELD_COPYING).arg(&mark);
        make.cmd("HLEN").arg(&meta);
        let (marked, fields): (bool, u64) = plain.ask_all(&make).await?;
        if !marked || fields != 1 {
            // A gateway made a store here at this moment.
            if marked {
                let mut unmark = cmd("HDEL");
                let _: Value = plain.ask(unmark.arg(&meta).arg(FIELD_COPYING)).await?;
            }
            return Err(RedisOpenError::Taken { found: meta });
        }
        Ok(Self { plain, mark })
    }

    /// Writes rows; those of the feed and what is odd are left out. Returns how
    /// many it wrote.
    ///
    /// # Errors
    /// [`StoreError`]; `Corrupt` when a key's row can't be read.
    pub async fn put(&self, rows: &[Row]) -> Result<u64, StoreError> {
        let mut pipe = redis::pipe();
        let mut written = 0;
        for row in rows {
            written += u64::from(self.add(&mut pipe, row)?);
        }
        if written > 0 {
            let _: Value = self.plain.ask_all(&pipe).await?;
        }
        Ok(written)
    }

    fn add(&self, pipe: &mut Pipeline, row: &Row) -> Result<bool, StoreError> {
        let schema = &self.plain.schema;
        match row {
            Row::Key { id, row } => {
                pipe.cmd("SET").arg(schema.key(*id)).arg(row);
                if let Stored::Deleted { expires_at, .. } = read_key(*id, row)? {
                    pipe.cmd("ZADD").arg(schema.markers());
                    pipe.arg(expires_at.as_millis()).arg(id.0.to_string());
                }
            }
            Row::Listed { id, created_at } => {
                pipe.cmd("ZADD").arg(schema.keys()).arg(0);
                pipe.arg(place(*created_at, *id));
            }
            Row::Token { id, row } => {
                pipe.cmd("HSET").arg(schema.tokens());
                pipe.arg(id.0.to_string()).arg(row);
            }
            Row::Agent { id, row } => {
                let id = id.to_string();
                pipe.cmd("HSET").arg(schema.agents()).arg(&id).arg(row);
                pipe.cmd("ZADD").arg(schema.agent_index()).arg(0).arg(&id);
            }
            Row::Registration { key, agent, row } => {
                let place = registration(*key, *agent);
                pipe.cmd("HSET").arg(schema.registrations());
                pipe.arg(&place).arg(row);
                pipe.cmd("ZADD").arg(schema.registration_index());
                pipe.arg(0).arg(&place);
                pipe.cmd("SADD").arg(schema.keys_of(*agent));
                pipe.arg(key.0.to_string());
            }
            Row::Use { key, at } => {
                let id = key.0.to_string();
                pipe.cmd("ZADD").arg(schema.uses());
                pipe.arg(at.as_millis()).arg(&id);
                pipe.cmd("ZADD").arg(schema.use_index()).arg(0).arg(&id);
            }
            Row::Event { id, row } => {
                pipe.cmd("ZADD").arg(schema.events()).arg(*id).arg(row);
            }
            Row::Audit { id, row } => {
                pipe.cmd("ZADD").arg(schema.audit()).arg(*id).arg(row);
            }
            // No gateway has a position in the new store's history.
            Row::Change { .. } | Row::Odd(_) => return Ok(false),
        }
        Ok(true)
    }

    /// Reads the keys and tokens among the rows back, and holds each against
    /// what it should be; a deleted key's marker may have gone by itself.
    ///
    /// # Errors
    /// [`StoreError`]; `Corrupt` names the first that differs.
    pub async fn verify(&self, rows: &[Row]) -> Result<u64, StoreError> {
        let schema = &self.plain.schema;
        let mut pipe = redis::pipe();
        let mut expected = Vec::new();
        for row in rows {
            match row {
                Row::Key { id, row } => {
                    pipe.cmd("GET").arg(schema.key(*id));
                    let may_go = matches!(read_key(*id, row)?, Stored::Deleted { .. });
                    expected.push((id.to_string(), row, may_go));
                }
                Row::Token { id, row } => {
                    pipe.cmd("HGET").arg(schema.tokens());
                    pipe.arg(id.0.to_string());
                    expected.push((id.to_string(), row, false));
                }
                _ => {}
            }
        }
        if expected.is_empty() {
            return Ok(0);
        }
        let found: Vec<Option<Vec<u8>>> = self.plain.ask_all(&pipe).await?;
        for ((what, row, may_go), found) in expected.iter().zip(&found) {
            match found {
                Some(found) if found == *row => {}
                None if *may_go => {}
                _ => {
                    return Err(StoreError::Corrupt {
                        what: what.clone(),
                        why: "the copy read back differs".into(),
                    });
                }
            }
        }
        Ok(found.len() as u64)
    }

    /// How many are there: keys in the list, tokens, agents, registrations,
    /// last uses, events, records of the audit trail.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn counts(&self) -> Result<[u64; 7], StoreError> {
        let schema = &self.plain.schema;
        let mut ask = redis::pipe();
        ask.cmd("ZCARD").arg(schema.keys());
        ask.cmd("HLEN").arg(schema.tokens());
        ask.cmd("ZCARD").arg(schema.agent_index());
        ask.cmd("ZCARD").arg(schema.registration_index());
        ask.cmd("ZCARD").arg(schema.use_index());
        ask.cmd("ZCARD").arg(schema.events());
        ask.cmd("ZCARD").arg(schema.audit());
        self.plain.ask_all(&ask).await
    }

    /// Makes it a store, and returns its id.
    ///
    /// # Errors
    /// [`RedisOpenError`]; if the copy's mark is another's, that began it anew.
    pub async fn finish(self, end: CopyEnd) -> Result<Id, RedisOpenError> {
        let plain = &self.plain;
        let meta = plain.schema.meta();
        let random = |error: getrandom::Error| RedisOpenError::NoRandomness(error.to_string());
        let id = Id::random().map_err(random)?;
        let mut ask = redis::pipe();
        ask.cmd("HGET").arg(&meta).arg(FIELD_COPYING);
        ask.cmd("INFO").arg("replication");
        let (mark, info): (Option<String>, String) = plain.ask_all(&ask).await?;
        if mark.as_ref() != Some(&self.mark) {
            let begun = mark.unwrap_or_else(|| "another time".into());
            return Err(RedisOpenError::Copying { begun });
        }
        let replid = field(&info, "master_replid");
        let mut make = redis::pipe();
        make.atomic();
        let mut set = |field: &str, value: &str| {
            make.cmd("HSET").arg(&meta).arg(field).arg(value);
        };
        set(FIELD_FORMAT, FORMAT);
        set(FIELD_STORE_ID, &id.to_string());
        set(FIELD_REPLID, replid.unwrap_or(""));
        set(FIELD_EPOCH, &random_epoch_text()?);
        set(FIELD_REVISION, &end.revision.to_string());
        if end.revision > Revision(0) {
            set(FIELD_HAD_KEYS, "1");
        }
        if let Some(until) = end.expiries_until {
            set(FIELD_EXPIRIES_UNTIL, &until.as_millis().to_string());
        }
        for (name, value) in &end.claims {
            set(&claim(name), value);
        }
        for (name, value) in &end.settings {
            set(&setting(name), value);
        }
        make.cmd("HDEL").arg(&meta).arg(FIELD_COPYING);
        let _: Value = plain.ask_all(&make).await?;
        Ok(id)
    }
}

/// A name under the prefix, if there is any.
async fn first_name(plain: &Plain) -> Result<Option<String>, StoreError> {
    let mut cursor = 0;
    loop {
        let (next, names) = plain.scan(cursor).await?;
        if let Some(name) = names.first() {
            return Ok(Some(String::from_utf8_lossy(name).into_owned()));
        }
        cursor = next;
        if cursor == 0 {
            return Ok(None);
        }
    }
}

/// The mark last: until then it stays a copy that is not complete.
async fn remove_all(plain: &Plain) -> Result<(), StoreError> {
    let meta = plain.schema.meta();
    let mut cursor = 0;
    loop {
        let (next, mut names) = plain.scan(cursor).await?;
        names.retain(|name| name != meta.as_bytes());
        if !names.is_empty() {
            let _: u64 = plain.ask(cmd("DEL").arg(names)).await?;
        }
        cursor = next;
        if cursor == 0 {
            break;
        }
    }
    let _: u64 = plain.ask(cmd("DEL").arg(meta)).await?;
    Ok(())
}
