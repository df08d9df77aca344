//! Whether Redis may throw keys away when its memory is full.

use super::info::field;

/// What has to be changed, in words, by the master's `INFO memory`; `None`: nothing.
pub(super) fn evicts(info: &str) -> Option<String> {
    // Servers that do not say it are taken at their default, noeviction.
    let policy = field(info, "maxmemory_policy")?;
    (policy != "noeviction").then(|| {
        format!(
            "Redis may throw keys away when its memory is full (maxmemory-policy {policy}), and \
             with them their revokes; set it to noeviction (redis-cli: CONFIG SET \
             maxmemory-policy noeviction, then CONFIG REWRITE)"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_noeviction_keeps_all() {
        assert_eq!(evicts("used:1\r\nmaxmemory_policy:noeviction\r\n"), None);
        let why = evicts("maxmemory_policy:allkeys-lru\r\n").unwrap();
        assert!(
            why.contains("allkeys-lru") && why.contains("CONFIG SET"),
            "{why}"
        );
        assert_eq!(evicts("used:1"), None);
    }
}
