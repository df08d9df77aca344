//! Claims: rows of the meta table.

use async_trait::async_trait;
use redb::{ReadableTable, WriteTransaction};

use super::database::{EmbeddedStore, failed};
use super::file::Need;
use super::schema::META;
use crate::store::claims::ClaimStore;
use crate::store::error::StoreError;

#[async_trait]
impl ClaimStore for EmbeddedStore {
    async fn claim(&self, name: &str, value: &str) -> Result<String, StoreError> {
        let (name, value) = (name.to_owned(), value.to_owned());
        self.put_if(Need::Other, move |t| take(t, &name, &value))
            .await
    }
}

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
