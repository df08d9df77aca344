//! Reading the trail: filters, and pages of bounded work.
//!
//! Must not know: how records get there. Invariant: one question reads 10,000
//! records at most, whatever its filter.

use super::{Audit, STEP};
use crate::keys::Timestamp;
use crate::store::{AuditEntry, AuditPage, AuditResult, StoreError};

/// Records that one question looks through: with a filter that nothing passes
/// it must not read a whole store.
const LOOK_THROUGH: usize = 10_000;

/// Which records are asked for. All that is given has to hold.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Part of the actor: a token's id or name.
    pub actor: Option<String>,
    /// The action, or what it is of: `key` for all of `key.…`.
    pub action: Option<String>,
    pub target: Option<String>,
    pub since: Option<Timestamp>,
    pub result: Option<AuditResult>,
}

impl AuditFilter {
    fn takes(&self, deed: &AuditEntry) -> bool {
        let is_of = |action: &String| {
            let rest = deed.action.strip_prefix(action.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.actor
            .as_ref()
            .is_none_or(|part| deed.actor.contains(part))
            && self.action.as_ref().is_none_or(is_of)
            && self
                .target
                .as_ref()
                .is_none_or(|id| deed.target.as_ref() == Some(id))
            && self.since.is_none_or(|since| deed.at >= since)
            && self.result.is_none_or(|result| deed.result == result)
    }
}

impl Audit {
    /// At most `limit` records that pass the filter, the newest first, older
    /// than the one of the number `before`. Looks through 10,000 at most: there
    /// may be fewer than `limit`, even none, and older ones all the same.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn page(
        &self,
        filter: &AuditFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<AuditPage, StoreError> {
        let mut found = AuditPage {
            records: Vec::new(),
            next: before,
        };
        let mut looked = 0;
        loop {
            let page = self
                .store
                .audit_before(found.next, STEP.min(limit.max(1) * 4))
                .await?;
            looked += page.records.len().max(1);
            found.next = page.next;
            let mut records = page.records.into_iter();
            while let Some(record) = records.next() {
                // All that follow were written, so done, before that. (An action may
                // have waited for the store longer than those before it.)
                if filter.since.is_some_and(|since| record.written_at < since) {
                    found.next = None;
                    return Ok(found);
                }
                if !filter.takes(&record.deed) {
                    continue;
                }
                let id = record.id;
                found.records.push(record);
                if found.records.len() == limit {
                    let is_end = records.next().is_none() && found.next.is_none();
                    found.next = (!is_end).then_some(id);
                    return Ok(found);
                }
            }
            if found.next.is_none() || looked >= LOOK_THROUGH {
                return Ok(found);
            }
        }
    }
}
