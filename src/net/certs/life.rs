//! From when to when a certificate is good, and when to say that it ends.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::names::Name;
use super::parse;
use crate::keys::Timestamp;

/// A certificate that muster does not renew is reported this long before its end, or
/// when a third of its life is left, whichever is less.
pub(super) const TELL_BEFORE: Duration = Duration::from_secs(30 * 86_400);

#[derive(Debug, Clone)]
pub(super) struct Leaf {
    pub(super) names: BTreeSet<Name>,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
}

impl Leaf {
    pub(super) fn of(facts: &parse::Facts) -> Self {
        Self {
            names: facts.names.clone(),
            not_before: facts.not_before,
            not_after: facts.not_after,
        }
    }

    /// Past two thirds of its life, or before it.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        let life = self.not_after.saturating_since(self.not_before);
        now < self.not_before || now >= self.not_before.saturating_add(life / 3 * 2)
    }

    /// Little of its life is left.
    pub(super) fn ends_soon(&self, now: Timestamp) -> bool {
        let life = self.not_after.saturating_since(self.not_before);
        self.not_after.saturating_since(now) < TELL_BEFORE.min(life / 3)
    }
}

pub(super) fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_millis(0).saturating_add(since)
}
