//! The table of admin tokens. They are few: a list and a revoke read them all.

use async_trait::async_trait;
use redb::{ReadTransaction, ReadableTable, WriteTransaction};

use super::database::{EmbeddedStore, failed};
use super::file::Need;
use super::schema::TOKENS;
use crate::keys::{Timestamp, TokenId};
use crate::store::codec::{TokenRow, decode, encode, token_id};
use crate::store::error::StoreError;
use crate::store::token_changes::{decide_revoke, page};
use crate::store::tokens::{TokenChangeError, TokenCursor, TokenPage, TokenRecord, TokenStore};

#[async_trait]
impl TokenStore for EmbeddedStore {
    async fn token(&self, id: TokenId) -> Result<Option<TokenRecord>, StoreError> {
        self.read(move |t| load(t, id)).await
    }

    async fn put_token(&self, token: TokenRecord) -> Result<(), StoreError> {
        self.put(move |t| put(t, &token)).await
    }

    async fn tokens(
        &self,
        after: Option<TokenCursor>,
        limit: usize,
    ) -> Result<TokenPage, StoreError> {
        self.read(move |t| list(t, after, limit)).await
    }

    async fn revoke_token(&self, id: TokenId) -> Result<TokenRecord, TokenChangeError> {
        let clock = self.shared.clock.clone();
        self.put_if(Need::End, move |t| revoke(t, id, clock.now()))
            .await
    }
}

pub(super) fn load(
    transaction: &ReadTransaction,
    id: TokenId,
) -> Result<Option<TokenRecord>, StoreError> {
    let tokens = transaction.open_table(TOKENS).map_err(failed)?;
    Ok(row(&tokens, id)?.map(|row| row.to_record(id)))
}

pub(super) fn put(transaction: &WriteTransaction, token: &TokenRecord) -> Result<(), StoreError> {
    let mut tokens = transaction.open_table(TOKENS).map_err(failed)?;
    let value = encode(&TokenRow::new(token))?;
    let before = tokens
        .insert(token.id.0.as_bytes(), value.as_slice())
        .map_err(failed)?;
    match before {
        None => Ok(()),
        // Not committed: a token must not come back from a revoke this way.
        Some(_) => Err(StoreError::Failed(format!("{} exists already", token.id))),
    }
}

pub(super) fn list(
    transaction: &ReadTransaction,
    after: Option<TokenCursor>,
    limit: usize,
) -> Result<TokenPage, StoreError> {
    let tokens = transaction.open_table(TOKENS).map_err(failed)?;
    let (records, unreadable) = read_all(&tokens)?;
    Ok(page(records, unreadable, after, limit))
}

/// Revokes a token; true: something was written that has to be committed.
pub(super) fn revoke(
    transaction: &WriteTransaction,
    id: TokenId,
    now: Timestamp,
) -> Result<(TokenRecord, bool), TokenChangeError> {
    let mut tokens = transaction.open_table(TOKENS).map_err(failed)?;
    let row = row(&tokens, id)?.ok_or(TokenChangeError::NotFound(id))?;
    let (all, _) = read_all(&tokens)?;
    let (row, changed) = decide_revoke(id, row, &all, now)?;
    if changed {
        tokens
            .insert(id.0.as_bytes(), encode(&row)?.as_slice())
            .map_err(failed)?;
    }
    Ok((row.to_record(id), changed))
}

fn row(
    tokens: &impl ReadableTable<&'static [u8; 16], &'static [u8]>,
    id: TokenId,
) -> Result<Option<TokenRow>, StoreError> {
    let value = tokens.get(id.0.as_bytes()).map_err(failed)?;
    value
        .map(|value| decode(value.value(), || id.to_string()))
        .transpose()
}

/// The readable tokens, and the ids of the others.
fn read_all(
    tokens: &impl ReadableTable<&'static [u8; 16], &'static [u8]>,
) -> Result<(Vec<TokenRecord>, Vec<TokenId>), StoreError> {
    let (mut records, mut unreadable) = (Vec::new(), Vec::new());
    for entry in tokens.iter().map_err(failed)? {
        let (id, value) = entry.map_err(failed)?;
        let id = token_id(id.value())?;
        match decode::<TokenRow>(value.value(), || id.to_string()) {
            Ok(row) => records.push(row.to_record(id)),
            Err(_) => unreadable.push(id),
        }
    }
    Ok((records, unreadable))
}
