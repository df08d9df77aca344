//! Giving the store file's free pages back: redb reuses them, and never shrinks a
//! file by itself.
//!
//! Must not know: when a store is opened. Invariant: a start reads no rows to find
//! out whether a file is worth it, unless their number says that most of it is free.

use std::path::Path;

use redb::{Database, ReadableDatabase, ReadableTableMetadata, TableError};

use super::database::failed;
use super::open::{OpenError, open_existing};
use super::schema::{
    AGENTS, AUDIT, BY_AGENT, BY_CREATION, EVENTS, FEED, KEYS, REGISTRATIONS, TOKENS,
};
use crate::store::error::StoreError;

/// Smaller files are left alone.
const WORTH_IT: u64 = 64 << 20;
/// More than any row takes on average, with its place in a table, in bytes.
const ROW: u64 = 1_024;

/// A file's size before and after, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compacted {
    /// Before.
    pub before: u64,
    /// After.
    pub after: u64,
}

/// Compacts the file of a store that no gateway uses.
///
/// # Errors
/// [`OpenError`] as for any opening; the file is then as it was.
pub fn compact(path: &Path) -> Result<Compacted, OpenError> {
    let name = path.display().to_string();
    let failed = |why: String| OpenError::Failed {
        path: name.clone(),
        why,
    };
    if !path.try_exists().map_err(|e| failed(e.to_string()))? {
        return Err(OpenError::Absent { path: name });
    }
    let (mut database, _) = open_existing(path, &name)?;
    let before = size(path);
    database.compact().map_err(|e| failed(e.to_string()))?;
    drop(database);
    Ok(Compacted {
        before,
        after: size(path),
    })
}

/// Compacts a file that is large and, by the number of its rows, mostly free.
pub(super) fn compact_if_mostly_free(
    database: &mut Database,
    path: &Path,
) -> Result<(), StoreError> {
    let before = size(path);
    if before < WORTH_IT || rows(database)?.saturating_mul(ROW) > before / 2 {
        return Ok(());
    }
    tracing::info!(
        bytes = before,
        "more than half of the store file is free: compacting it"
    );
    database.compact().map_err(failed)?;
    tracing::info!(bytes = size(path), "the store file is compacted");
    Ok(())
}

fn size(path: &Path) -> u64 {
    path.metadata().map_or(0, |file| file.len())
}

/// How many rows all tables have; each table knows its own number.
fn rows(database: &Database) -> Result<u64, StoreError> {
    let transaction = database.begin_read().map_err(failed)?;
    let mut rows = 0;
    macro_rules! add {
        ($($table:ident)*) => {$(
            rows += match transaction.open_table($table) {
                Ok(table) => table.len().map_err(failed)?,
                // Files of older musters lack some.
                Err(TableError::TableDoesNotExist(_)) => 0,
                Err(error) => return Err(failed(error)),
            };
        )*};
    }
    add!(KEYS BY_CREATION FEED EVENTS AUDIT TOKENS REGISTRATIONS BY_AGENT AGENTS);
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Id, Timestamp};
    use crate::store::embedded::EmbeddedStore;
    use crate::store::{AuditEntry, AuditResult, AuditStore};

    /// Records of the size of a long reason, so that few of them make a large file.
    async fn fill(store: &EmbeddedStore, records: usize) {
        let entry = AuditEntry {
            at: Timestamp::from_millis(1),
            actor: "a".into(),
            action: "key.revoke".into(),
            target: None,
            detail: "x".repeat(20_000),
            from: String::new(),
            door: "grpc".into(),
            gateway: "g".into(),
            result: AuditResult::Ok,
            reason: None,
        };
        for number in 0..records / 100 {
            let writer = Id::random().unwrap();
            let entries = vec![entry.clone(); 100];
            store
                .append_audit(entries, writer, number as u64 + 1)
                .await
                .unwrap();
        }
    }

    #[tokio::test]
    async fn a_start_compacts_a_file_that_is_mostly_free() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.redb");
        let store = EmbeddedStore::open(&path).unwrap();
        fill(&store, 5_000).await;
        let full = size(&path);
        assert!(full > WORTH_IT, "{full}");
        store
            .trim_audit(Timestamp::from_millis(0), 10)
            .await
            .unwrap();
        drop(store);
        assert!(size(&path) > WORTH_IT, "redb does not shrink it");
        let store = EmbeddedStore::open(&path).unwrap();
        let now = size(&path);
        println!("{full} bytes full, {now} after the next start");
        assert!(now < full / 4, "{now}");
        assert_eq!(
            store.audit_before(None, 99).await.unwrap().records.len(),
            10
        );
        drop(store);
        let done = compact(&path).unwrap();
        assert!(done.after <= done.before);
        EmbeddedStore::open(&path).unwrap();
    }

    #[test]
    fn a_file_in_use_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.redb");
        assert!(matches!(compact(&path), Err(OpenError::Absent { .. })));
        let _store = EmbeddedStore::open(&path).unwrap();
        assert!(matches!(compact(&path), Err(OpenError::InUse { .. })));
    }
}
