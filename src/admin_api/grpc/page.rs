//! Page sizes and page tokens.

use std::fmt::Display;
use std::str::FromStr;

use tonic::Status;

use crate::admin_api::error::invalid;
use crate::admin_api::page_token::PageTokens;
use crate::keys::Timestamp;

const DEFAULT_SIZE: u32 = 100;
const LARGEST: u32 = 1000;
/// A page ends once it has this many bytes. An agent's labels may take 16 KiB, its
/// instances' words as much: a page of 1,000 such would be more than a client
/// takes (4 MiB, as gRPC has it), and hide all other agents with it.
pub(super) const FULL: usize = 1 << 20;

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

fn tokens() -> PageTokens {
    PageTokens::of(["grpc"])
}

/// The token of the id at which a page ended.
pub(super) fn id_token(id: &impl Display) -> String {
    tokens().token(&id.to_string())
}

/// Reads the id of a token that an earlier page gave out; empty is the first page.
pub(super) fn id<T: FromStr>(token: &str) -> Result<Option<T>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    let id: Option<String> = tokens().place(token);
    let id = id.and_then(|id| id.parse().ok());
    id.map(Some).ok_or_else(bad_token)
}

/// The token of a place in a list in order of creation; empty after the last page.
pub(super) fn place_token<T: Display>(place: Option<(Timestamp, T)>) -> String {
    place.map_or_else(String::new, |(created_at, id)| {
        tokens().token(&(created_at.as_millis(), id.to_string()))
    })
}

/// Reads a place's token.
pub(super) fn place<T: FromStr>(token: &str) -> Result<Option<(Timestamp, T)>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    let (millis, id): (i64, String) = tokens().place(token).ok_or_else(bad_token)?;
    let id = id.parse().map_err(|_| bad_token())?;
    Ok(Some((Timestamp::from_millis(millis), id)))
}

fn bad_token() -> Status {
    invalid(
        "page_token",
        "not one that a list gave out; leave it empty for the first page",
    )
}
