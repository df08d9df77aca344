//! Page sizes and page tokens.

use std::str::FromStr;

use tonic::Status;

use super::status::invalid;
use crate::keys::{KeyId, Timestamp};
use crate::store::KeyCursor;

const DEFAULT_SIZE: u32 = 100;
const LARGEST: u32 = 1000;

/// How many rows a page has: 1 to 1000, 0 for the default of 100.
pub(super) fn size(asked: u32) -> Result<usize, Status> {
    match asked {
        0 => Ok(DEFAULT_SIZE as usize),
        1..=LARGEST => Ok(asked as usize),
        _ => Err(invalid(
            "page_size",
            format_args!("{asked} is too many; 1 to {LARGEST}"),
        )),
    }
}

/// Reads a token that an earlier page gave out; empty is the first page.
pub(super) fn token<T: FromStr>(token: &str) -> Result<Option<T>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    token.parse().map(Some).map_err(|_| bad_token())
}

fn bad_token() -> Status {
    invalid(
        "page_token",
        "not one that a list gave out; leave it empty for the first page",
    )
}

/// A key cursor as a token: `<milliseconds>.<key id>`.
pub(super) fn key_token(cursor: Option<KeyCursor>) -> String {
    cursor.map_or_else(String::new, |cursor| {
        format!("{}.{}", cursor.created_at.as_millis(), cursor.id)
    })
}

/// Reads a key cursor's token.
pub(super) fn key_cursor(token: &str) -> Result<Option<KeyCursor>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    let (millis, id) = token.split_once('.').ok_or_else(bad_token)?;
    Ok(Some(KeyCursor {
        created_at: Timestamp::from_millis(millis.parse().map_err(|_| bad_token())?),
        id: KeyId::from_str(id).map_err(|_| bad_token())?,
    }))
}
