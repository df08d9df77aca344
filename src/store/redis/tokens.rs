//! Admin tokens: one hash. A counter of their changes guards a revoke, which
//! looks at all of them.

use std::collections::HashMap;

use async_trait::async_trait;
use redis::cmd;

use super::schema::FIELD_TOKEN_CHANGES;
use super::script::{Step, Word};
use super::shared::{ATTEMPTS, Over, RedisStore, Shared};
use crate::keys::{Id, TokenId};
use crate::store::codec::{TokenRow, decode, encode};
use crate::store::error::StoreError;
use crate::store::token_changes::{decide_revoke, page};
use crate::store::tokens::{TokenChangeError, TokenCursor, TokenPage, TokenRecord, TokenStore};

type Rows = HashMap<String, Vec<u8>>;

#[async_trait]
impl TokenStore for RedisStore {
    async fn token(&self, id: TokenId) -> Result<Option<TokenRecord>, StoreError> {
        let shared = &*self.shared;
        let mut get = cmd("HGET");
        get.arg(shared.schema.tokens()).arg(id.0.to_string());
        let row: Option<Vec<u8>> = shared.ask(&get, Over::Loads).await?;
        row.map(|row| decode::<TokenRow>(&row, || id.to_string()).map(|row| row.to_record(id)))
            .transpose()
    }

    async fn put_token(&self, token: TokenRecord) -> Result<(), StoreError> {
        let shared = &*self.shared;
        let row = encode(&TokenRow::new(&token))?;
        let schema = &shared.schema;
        let id = token.id.0.to_string();
        let step = Step::new()
            .run(cmd("HSETNX").arg(schema.tokens()).arg(id).arg(row))
            .run(&count(shared))
            .once();
        let mut answer = shared.take(step, Over::Writes).await?;
        if answer.reply::<bool>()? {
            Ok(())
        } else {
            Err(StoreError::Failed(format!("{} exists already", token.id)))
        }
    }

    async fn tokens(
        &self,
        after: Option<TokenCursor>,
        limit: usize,
    ) -> Result<TokenPage, StoreError> {
        let shared = &*self.shared;
        let mut get = cmd("HGETALL");
        get.arg(shared.schema.tokens());
        let (records, unreadable) = read_all(&shared.ask(&get, Over::Loads).await?);
        Ok(page(records, unreadable, after, limit))
    }

    async fn revoke_token(&self, id: TokenId) -> Result<TokenRecord, TokenChangeError> {
        let shared = &*self.shared;
        let schema = &shared.schema;
        let field = id.0.to_string();
        for _ in 0..ATTEMPTS {
            let mut changes = cmd("HGET");
            changes.arg(schema.meta()).arg(FIELD_TOKEN_CHANGES);
            let read = Step::new()
                .run(&changes)
                .run(cmd("HGETALL").arg(schema.tokens()));
            let mut read = shared.take(read, Over::Writes).await?;
            let changes: Option<u64> = read.reply()?;
            let rows: Rows = read.reply()?;
            let row = rows.get(&field).ok_or(TokenChangeError::NotFound(id))?;
            let row: TokenRow = decode(row, || id.to_string())?;
            let (all, _) = read_all(&rows);
            let (row, changed) = decide_revoke(id, row, &all, shared.shifted(read.now))?;
            if !changed {
                return Ok(row.to_record(id));
            }
            let mut set = cmd("HSET");
            set.arg(schema.tokens()).arg(&field).arg(encode(&row)?);
            let step = Step::new().run(&set).run(&count(shared)).at_count(
                schema.meta(),
                FIELD_TOKEN_CHANGES,
                changes.unwrap_or(0),
            );
            if shared.take(step, Over::Writes).await?.word == Word::Done {
                return Ok(row.to_record(id));
            }
        }
        let busy = "too many others change tokens at the same time; try again";
        Err(StoreError::Failed(busy.into()).into())
    }
}

fn count(shared: &Shared) -> redis::Cmd {
    let mut count = cmd("HINCRBY");
    count
        .arg(shared.schema.meta())
        .arg(FIELD_TOKEN_CHANGES)
        .arg(1);
    count
}

/// The readable tokens, and the ids of the others.
fn read_all(rows: &Rows) -> (Vec<TokenRecord>, Vec<TokenId>) {
    let (mut records, mut unreadable) = (Vec::new(), Vec::new());
    for (text, row) in rows {
        let Some(id) = Id::parse(text).map(TokenId) else {
            tracing::error!(id = ?text, "no token's id; it is left out");
            continue;
        };
        match decode::<TokenRow>(row, || id.to_string()) {
            Ok(row) => records.push(row.to_record(id)),
            Err(_) => unreadable.push(id),
        }
    }
    (records, unreadable)
}
