//! Lists and revokes of admin tokens, decided alike for every backend. They
//! are few: both look at all of them.

use super::codec::TokenRow;
use super::tokens::{Role, TokenChangeError, TokenCursor, TokenPage, TokenRecord};
use crate::keys::{KeyStatus, Timestamp, TokenId};

/// The page after `after` of all the tokens.
pub(in crate::store) fn page(
    mut records: Vec<TokenRecord>,
    unreadable: Vec<TokenId>,
    after: Option<TokenCursor>,
    limit: usize,
) -> TokenPage {
    records.retain(|token| after.is_none_or(|after| TokenCursor::of(token) > after));
    records.sort_by_key(TokenCursor::of);
    let more = records.len() > limit;
    records.truncate(limit);
    TokenPage {
        next: records.last().filter(|_| more).map(TokenCursor::of),
        records,
        unreadable: if after.is_none() {
            unreadable
        } else {
            Vec::new()
        },
    }
}

/// The row after its revoke; false: it was so before. `all` are the readable
/// tokens in the step that will write it.
pub(in crate::store) fn decide_revoke(
    id: TokenId,
    mut row: TokenRow,
    all: &[TokenRecord],
    now: Timestamp,
) -> Result<(TokenRow, bool), TokenChangeError> {
    let opens_all =
        |token: &TokenRecord| token.role == Role::Admin && token.status(now) == KeyStatus::Valid;
    if row.revoked_at.is_some() {
        return Ok((row, false));
    }
    if opens_all(&row.to_record(id)) && !all.iter().any(|other| other.id != id && opens_all(other))
    {
        return Err(TokenChangeError::LastAdmin(id));
    }
    row.revoked_at = Some(now);
    Ok((row, true))
}
