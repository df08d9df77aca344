//! Is a store sound? Every row is read, and what belongs together compared.
//!
//! Owns: what is inconsistent, how bad it is, what to do about it. Must not
//! know: how a backend is read, what is printed.
//! Invariants: nothing is changed; of a store that others change meanwhile a
//! finding counts only if a second look finds it again.

mod compare;
mod kinds;
mod report;

use std::collections::HashSet;

pub use kinds::Kind;
pub use report::Report;
pub(crate) use report::{Counts, Finding};

use super::MaintenanceError;
use super::error::existing;
use crate::server::config::{Config, StorePlace};
use crate::server::redis_options;
use crate::store::scan::Scan;
use crate::store::{embedded, redis};
use compare::Comparison;

/// Checks the store of `config`. `progress` gets the number of rows read so
/// far.
///
/// # Errors
/// [`MaintenanceError`].
pub async fn check(
    config: &Config,
    progress: &mut dyn FnMut(u64),
) -> Result<Report, MaintenanceError> {
    let mut rows = 0;
    let scan = begin(config).await?;
    let shared = scan.shared;
    let mut report = look(scan, &mut rows, progress).await?;
    if shared && !report.findings.is_empty() {
        let again = look(begin(config).await?, &mut rows, progress).await?;
        let again: HashSet<(Kind, String)> = again
            .findings
            .into_iter()
            .map(|finding| (finding.kind, finding.subject))
            .collect();
        report
            .findings
            .retain(|finding| again.contains(&(finding.kind, finding.subject.clone())));
    }
    Ok(report)
}

async fn begin(config: &Config) -> Result<Scan, MaintenanceError> {
    if config.store.place == StorePlace::Embedded {
        let dir = existing(&config.data_dir)?;
        return Ok(embedded::scan(&dir.store())?);
    }
    let options = redis_options(&config.store, None)?;
    let scan = match options {
        Some(options) => redis::scan(&options).await?,
        None => None,
    };
    scan.ok_or(MaintenanceError::NoStore)
}

async fn look(
    mut scan: Scan,
    rows: &mut u64,
    progress: &mut dyn FnMut(u64),
) -> Result<Report, MaintenanceError> {
    let mut comparison = Comparison::new(scan.revision, scan.now);
    while let Some(page) = scan.pages.recv().await {
        let page = page?;
        *rows += page.len() as u64;
        for row in page {
            comparison.take(row);
        }
        progress(*rows);
    }
    Ok(comparison.end())
}
