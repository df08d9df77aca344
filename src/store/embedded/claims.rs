//! Claims: rows of the meta table.

use redb::{ReadableTable, WriteTransaction};

use super::failed;
use super::open::META;
use crate::store::keys::StoreError;

/// What stands, and whether it had to be written.
pub(super) fn take(
    transaction: &WriteTransaction,
    name: &str,
    value: &str,
) -> Result<(String, bool), StoreError> {
    let row = format!("claim:{name}");
    let mut meta = transaction.open_table(META).map_err(failed)?;
    let standing = meta.get(row.as_str()).map_err(failed)?;
    let standing = standing.map(|value| value.value().to_vec());
    match standing {
        Some(bytes) => String::from_utf8(bytes)
            .map(|standing| (standing, false))
            .map_err(|error| StoreError::Corrupt {
                what: row,
                why: error.utf8_error().to_string(),
            }),
        None => {
            meta.insert(row.as_str(), value.as_bytes())
                .map_err(failed)?;
            Ok((value.to_owned(), true))
        }
    }
}
