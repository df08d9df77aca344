//! What a check of a whole store found.

use super::kinds::Kind;

/// Findings of one kind that are kept.
pub(super) const KEPT: u64 = 1_000;

/// Something that is inconsistent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What kind of thing.
    pub kind: Kind,
    /// What it is about: a key's id, an agent's, a name in the store.
    pub subject: String,
    /// What is wrong with it.
    pub detail: String,
}

/// What a look at a whole store found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// How much was read.
    pub counts: Counts,
    /// The worst first; at most 1,000 of a kind.
    pub findings: Vec<Finding>,
    /// Findings beyond those.
    pub left_out: u64,
}

/// How many rows there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Keys, with the markers of deleted ones.
    pub keys: u64,
    /// Changes in the feed.
    pub changes: u64,
    pub tokens: u64,
    pub agents: u64,
    pub registrations: u64,
    pub events: u64,
    /// Records of the audit trail.
    pub audit: u64,
}
