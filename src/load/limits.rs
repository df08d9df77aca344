//! Are there enough open files for the run?

use std::fs;

use super::LoadError;

/// The runtime's own, the admin connection, the looks at `/metrics`, the report.
const SPARE: u64 = 64;

/// Refuses a run that would fail half-way for want of descriptors. Where the
/// host does not say its limit, the run is tried.
pub(super) fn check(connections: u64) -> Result<(), LoadError> {
    let told = fs::read_to_string("/proc/self/limits").ok();
    judge(connections, told.as_deref().and_then(soft_limit))
}

fn judge(connections: u64, limit: Option<u64>) -> Result<(), LoadError> {
    let needed = connections.saturating_add(SPARE);
    match limit {
        Some(limit) if limit < needed => Err(LoadError::TooFewFiles { needed, limit }),
        _ => Ok(()),
    }
}

fn soft_limit(limits: &str) -> Option<u64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_ascii_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_are_refused_with_the_number_needed() {
        let limits =
            "Limit   Soft Limit  Hard Limit  Units\nMax open files   1024   524288  files\n";
        assert_eq!(soft_limit(limits), Some(1024));
        let refused = judge(10_000, soft_limit(limits)).unwrap_err().to_string();
        assert!(refused.contains("ulimit -n 10064"), "{refused}");
        judge(900, soft_limit(limits)).unwrap();
        judge(
            10_000,
            soft_limit("Max open files  unlimited  unlimited files"),
        )
        .unwrap();
        judge(10_000, soft_limit("")).unwrap();
    }

    #[test]
    fn this_host_tells_its_limit() {
        let limits = fs::read_to_string("/proc/self/limits").unwrap();
        assert!(soft_limit(&limits).unwrap() > 0);
    }
}
