//! Settings: rows of the meta table.

use async_trait::async_trait;
use redb::{ReadTransaction, ReadableTable};

use super::database::{EmbeddedStore, failed};
use super::file::Need;
use super::schema::META;
use crate::store::error::StoreError;
use crate::store::settings::SettingStore;

/// What their names begin with.
const PREFIX: &str = "setting:";

#[async_trait]
impl SettingStore for EmbeddedStore {
    async fn setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        let name = name.to_owned();
        self.read(move |transaction| {
            let meta = transaction.open_table(META).map_err(failed)?;
            get(&meta, &name)
        })
        .await
    }

    async fn set(&self, name: &str, value: &str) -> Result<Option<String>, StoreError> {
        let (name, value) = (name.to_owned(), value.to_owned());
        self.put_if(Need::Other, move |transaction| {
            let mut meta = transaction.open_table(META).map_err(failed)?;
            let before = get(&meta, &name)?;
            let row = format!("{PREFIX}{name}");
            meta.insert(row.as_str(), value.as_bytes())
                .map_err(failed)?;
            Ok::<_, StoreError>((before, true))
        })
        .await
    }
}

fn get(
    meta: &impl ReadableTable<&'static str, &'static [u8]>,
    name: &str,
) -> Result<Option<String>, StoreError> {
    let row = format!("{PREFIX}{name}");
    let value = meta.get(row.as_str()).map_err(failed)?;
    value.map(|value| text(name, value.value())).transpose()
}

fn text(name: &str, value: &[u8]) -> Result<String, StoreError> {
    String::from_utf8(value.to_vec()).map_err(|error| StoreError::Corrupt {
        what: format!("the setting {name}"),
        why: error.utf8_error().to_string(),
    })
}

/// All that are set.
pub(super) fn all(transaction: &ReadTransaction) -> Result<Vec<(String, String)>, StoreError> {
    let meta = transaction.open_table(META).map_err(failed)?;
    let mut found = Vec::new();
    for row in meta.range(PREFIX..).map_err(failed)? {
        let (row, value) = row.map_err(failed)?;
        let Some(name) = row.value().strip_prefix(PREFIX) else {
            break;
        };
        found.push((name.to_owned(), text(name, value.value())?));
    }
    Ok(found)
}
