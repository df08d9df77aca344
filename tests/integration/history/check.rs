//! What must hold in every history. Pure: it knows no gateway and no clock.
//!
//! | | |
//! | --- | --- |
//! | I1 | nobody is let in later than the bound after an acknowledged revoke |
//! | I2 | no session lives later than the bound after it |
//! | I3 | what was once answered as revoked is never good again |
//! | I4 | a valid key is never answered UNAUTHENTICATED |
//! | I5 | an acknowledged revoke is never lost |

use std::collections::BTreeMap;
use std::time::Duration;

/// One operation and what came of it. Times are since the history's beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub key: u64,
    /// Which gateway's process: one that was started again is another. `None`:
    /// it can't be told which one answered.
    pub gateway: Option<u64>,
    pub op: Op,
    pub begun: Duration,
    pub done: Duration,
    pub answer: Answer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Create,
    Edit,
    Revoke,
    Delete,
    Join,
    /// The session has that number.
    Subscribe(u64),
    /// Of the session with that number.
    End(u64),
    /// An operator looks at the key, once all is well again.
    Read,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Done, let in; for a read, the key is valid.
    Yes,
    /// The key was revoked or deleted.
    Ended,
    /// UNAUTHENTICATED for another reason; for a read, there is no such key.
    Refused(String),
    /// A fault of ours, a connection that broke: whether it was done is not
    /// known. For a session's end, that the agent left.
    Unknown,
}

/// How late is too late, counted from the acknowledgement.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub joins: Duration,
    pub sessions: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    I1,
    I2,
    I3,
    I4,
    I5,
}

#[derive(Debug, Clone)]
pub struct Violation {
    pub of: Invariant,
    /// The entry that shows it.
    pub entry: Entry,
}

/// Everything in `history` that must not be.
pub fn check(history: &[Entry], bounds: Bounds) -> Vec<Violation> {
    let last = history.iter().map(|entry| entry.done).max();
    let mut keys: BTreeMap<u64, Vec<&Entry>> = BTreeMap::new();
    for entry in history {
        keys.entry(entry.key).or_default().push(entry);
    }
    let mut found = Vec::new();
    for entries in keys.values() {
        check_key(entries, bounds, last.unwrap_or_default(), &mut found);
    }
    found
}

fn check_key(entries: &[&Entry], bounds: Bounds, last: Duration, found: &mut Vec<Violation>) {
    let mut violation = |of, entry: &Entry| {
        found.push(Violation {
            of,
            entry: entry.clone(),
        });
    };
    let ends = |entry: &&&Entry| matches!(entry.op, Op::Revoke | Op::Delete);
    // Asked for: from then on it may be revoked, whatever the answer.
    let asked = entries.iter().filter(ends).map(|entry| entry.begun).min();
    let acknowledged = entries.iter().filter(ends);
    let acknowledged = acknowledged.filter(|entry| entry.answer == Answer::Yes);
    let acknowledged = acknowledged.map(|entry| entry.done).min();
    let told: Vec<_> = entries
        .iter()
        .filter(|entry| entry.answer == Answer::Ended)
        .collect();

    // They may know of a revoke that the store does not have, and die with it.
    let pending = entries
        .iter()
        .filter(|entry| acknowledged.is_none() && ends(entry));
    let pending: Vec<_> = pending.map(|entry| entry.gateway).collect();

    for entry in entries {
        let is_in = entry.op.lets_in() && entry.answer == Answer::Yes;
        let is_late =
            |at| acknowledged.is_some_and(|acknowledged| at > acknowledged + bounds.joins);
        if is_in && is_late(entry.begun) {
            violation(Invariant::I1, entry);
        }
        if is_in
            && told
                .iter()
                .any(|told| un_revokes(entry, told, &pending, bounds))
        {
            violation(Invariant::I3, entry);
        }
        if let (Op::Subscribe(number), Answer::Yes, Some(acknowledged)) =
            (entry.op, &entry.answer, acknowledged)
        {
            let end = entries.iter().find(|other| other.op == Op::End(number));
            let end = end.map_or(last, |end| end.done);
            if end > acknowledged + bounds.sessions {
                violation(Invariant::I2, entry);
            }
        }
        let is_final = matches!(entry.answer, Answer::Ended | Answer::Refused(_));
        if is_final
            && entry.op.is_of_agents_or_read()
            && asked.is_none_or(|asked| entry.done < asked)
        {
            violation(Invariant::I4, entry);
        }
        if entry.op == Op::Read && entry.answer == Answer::Yes && is_late(entry.begun) {
            violation(Invariant::I5, entry);
        }
    }
}

/// Let in although it was told before that the key is revoked: by the same
/// process, or by another one after the time that it has to hear of it.
fn un_revokes(entry: &Entry, told: &Entry, pending: &[Option<u64>], bounds: Bounds) -> bool {
    let same = entry.gateway.is_some() && entry.gateway == told.gateway;
    if same {
        return entry.begun > told.done;
    }
    !pending.contains(&told.gateway) && entry.begun > told.done + bounds.joins
}

impl Op {
    fn lets_in(self) -> bool {
        matches!(self, Self::Join | Self::Subscribe(_))
    }

    fn is_of_agents_or_read(self) -> bool {
        match self {
            Self::Join | Self::Subscribe(_) | Self::End(_) | Self::Read => true,
            Self::Create | Self::Edit | Self::Revoke | Self::Delete => false,
        }
    }
}
