//! Row against row.
//!
//! Owns: what is remembered of rows to hold the later ones against. Must not
//! know: where they come from. Invariant: what is remembered grows with keys and
//! the feed alone.

use std::collections::HashMap;

use super::report::KEPT;
use super::{Counts, Finding, Kind, Report};
use crate::keys::{KeyId, KeyStatus, Revision, Timestamp};
use crate::store::scan::{
    OddKind, Row, Stored, check_audit, check_event, check_registration, read_agent, read_change,
    read_key, read_token,
};
use crate::store::{Change, Role};

/// A new history begins so far above all that was seen of the old one.
const HISTORY: u64 = 1 << 32;

/// What a record says.
struct Record {
    revision: Revision,
    ended: bool,
    /// `None`: the marker of a deleted key, or it can't be read.
    created_at: Option<Timestamp>,
    readable: bool,
    listed: bool,
}

/// What a key's last change in the feed says.
struct Last {
    revision: Revision,
    ended: bool,
    deleted: bool,
}

pub(super) struct Comparison {
    counter: Revision,
    now: Timestamp,
    keys: HashMap<KeyId, Record>,
    feed: HashMap<KeyId, Last>,
    first_change: Option<Revision>,
    last_change: Option<Revision>,
    admins: u64,
    report: Report,
    of_kind: HashMap<Kind, u64>,
}

impl Comparison {
    pub fn new(counter: Revision, now: Timestamp) -> Self {
        Self {
            counter,
            now,
            keys: HashMap::new(),
            feed: HashMap::new(),
            first_change: None,
            last_change: None,
            admins: 0,
            report: Report::default(),
            of_kind: HashMap::new(),
        }
    }

    fn found(&mut self, kind: Kind, subject: impl ToString, detail: impl ToString) {
        let count = self.of_kind.entry(kind).or_default();
        *count += 1;
        if *count > KEPT {
            self.report.left_out += 1;
            return;
        }
        self.report.findings.push(Finding {
            kind,
            subject: subject.to_string(),
            detail: detail.to_string(),
        });
    }

    pub fn take(&mut self, row: Row) {
        let Counts {
            keys: _,
            changes,
            tokens,
            agents,
            registrations,
            events,
            audit,
        } = &mut self.report.counts;
        match row {
            Row::Key { id, row } => self.key(id, &row),
            Row::Listed { id, created_at } => self.listed(id, created_at),
            Row::Change { revision, row } => {
                *changes += 1;
                self.change(revision, &row);
            }
            Row::Token { id, row } => {
                *tokens += 1;
                match read_token(id, &row) {
                    Ok(token) => {
                        let opens_all =
                            token.role == Role::Admin && token.status(self.now) == KeyStatus::Valid;
                        self.admins += u64::from(opens_all);
                    }
                    Err(error) => self.found(Kind::Damaged, id, error),
                }
            }
            Row::Agent { id, row } => {
                *agents += 1;
                match read_agent(id, &row) {
                    // The key of an agent that is gone may be deleted before it
                    // is forgotten itself.
                    Ok((key, _)) if self.is_unheard_of(key) => {
                        self.found(Kind::Orphan, id, format!("an agent of {key}"));
                    }
                    Ok(_) => {}
                    Err(error) => self.found(Kind::Damaged, format!("agent {id}"), error),
                }
            }
            Row::Registration { key, agent, row } => {
                *registrations += 1;
                let subject = format!("{key}:{agent}");
                if let Err(error) = check_registration(key, agent, &row) {
                    self.found(Kind::Damaged, &subject, error);
                }
                if !self.exists(key) {
                    self.found(Kind::Orphan, subject, "a registration");
                }
            }
            Row::Use { key, .. } => {
                if !self.exists(key) {
                    self.found(Kind::Orphan, key, "a last use");
                }
            }
            Row::Event { id, row } => {
                *events += 1;
                if let Err(error) = check_event(id, &row) {
                    self.found(Kind::Damaged, format!("event {id}"), error);
                }
            }
            Row::Audit { id, row } => {
                *audit += 1;
                if let Err(error) = check_audit(id, &row) {
                    self.found(Kind::Damaged, format!("audit record {id}"), error);
                }
            }
            Row::Odd(odd) => {
                let kind = match odd.kind {
                    OddKind::Damaged => Kind::Damaged,
                    OddKind::Index => Kind::Index,
                    OddKind::Unknown => Kind::Unknown,
                };
                self.found(kind, odd.subject, odd.fault);
            }
        }
    }

    fn key(&mut self, id: KeyId, row: &[u8]) {
        let record = match read_key(id, row) {
            Ok(stored) => {
                let revision = stored.revision();
                if revision > self.counter {
                    let detail = format!("revision {revision}, the counter is {}", self.counter);
                    self.found(Kind::Revision, id, detail);
                }
                let (ended, created_at) = match stored {
                    Stored::Key(record) => (record.revoked_at.is_some(), Some(record.created_at)),
                    Stored::Deleted { .. } => (true, None),
                };
                Record {
                    revision,
                    ended,
                    created_at,
                    readable: true,
                    listed: false,
                }
            }
            Err(error) => {
                self.found(Kind::Damaged, id, error);
                Record {
                    revision: Revision(0),
                    ended: false,
                    created_at: None,
                    readable: false,
                    listed: false,
                }
            }
        };
        self.keys.insert(id, record);
        self.report.counts.keys = self.keys.len() as u64;
    }

    fn listed(&mut self, id: KeyId, created_at: Timestamp) {
        let detail = match self.keys.get_mut(&id) {
            None => "in the list, without a record".to_owned(),
            Some(record) if !record.readable => {
                record.listed = true;
                return;
            }
            Some(Record {
                created_at: None, ..
            }) => "in the list, but deleted".to_owned(),
            Some(record) if record.created_at != Some(created_at) => {
                format!("in the list as created at {created_at}, which it was not")
            }
            Some(record) => {
                record.listed = true;
                return;
            }
        };
        self.found(Kind::List, id, detail);
    }

    fn change(&mut self, revision: Revision, row: &[u8]) {
        let subject = format!("feed entry {revision}");
        if revision > self.counter {
            let detail = format!("the counter is {}", self.counter);
            self.found(Kind::Revision, &subject, detail);
        }
        self.first_change.get_or_insert(revision);
        if let Some(before) = self.last_change.replace(revision) {
            let step = revision.0.saturating_sub(before.0);
            if revision <= before {
                self.found(Kind::Feed, &subject, format!("it comes after {before}"));
            } else if step != 1 && step < HISTORY {
                let detail = format!("the one before it is {before}");
                self.found(Kind::Feed, &subject, detail);
            }
        }
        let (change, made) = match read_change(revision, row) {
            Ok(read) => read,
            Err(error) => return self.found(Kind::Damaged, subject, error),
        };
        if made != revision {
            self.found(Kind::Feed, subject, format!("its record is of {made}"));
        }
        let deleted = matches!(change, Change::Deleted { .. });
        let last = Last {
            revision,
            ended: deleted || matches!(change, Change::Revoked(_)) || is_revoked(&change),
            deleted,
        };
        self.feed.insert(change.key(), last);
    }

    fn exists(&self, key: KeyId) -> bool {
        self.keys
            .get(&key)
            .is_some_and(|record| record.created_at.is_some() || !record.readable)
    }

    fn is_unheard_of(&self, key: KeyId) -> bool {
        let deleted = self.feed.get(&key).is_some_and(|last| last.deleted);
        // An empty feed does not show what was deleted.
        !self.keys.contains_key(&key) && !deleted && !self.feed.is_empty()
    }

    pub fn end(mut self) -> Report {
        let keys = std::mem::take(&mut self.keys);
        for (id, record) in &keys {
            if record.created_at.is_some() && !record.listed {
                self.found(Kind::List, id, "not in the list");
            }
        }
        let feed = std::mem::take(&mut self.feed);
        for (id, record) in &keys {
            self.untold(*id, record, feed.get(id));
        }
        for (id, last) in feed {
            self.compare(id, keys.get(&id), &last);
        }
        if self.admins == 0 {
            let tokens = self.report.counts.tokens;
            self.found(
                Kind::NoAdminToken,
                "tokens",
                format!("none of {tokens} is of the role admin and valid"),
            );
        }
        self.report
            .findings
            .sort_by(|a, b| (a.kind, &a.subject).cmp(&(b.kind, &b.subject)));
        self.report
    }

    /// An end that its record has and the feed, which reaches back so far, has not.
    fn untold(&mut self, id: KeyId, record: &Record, last: Option<&Last>) {
        let reaches = self
            .first_change
            .is_some_and(|first| first <= record.revision);
        let is_told = last.is_some_and(|last| last.ended && last.revision >= record.revision);
        if record.ended && reaches && !is_told {
            let detail = format!("ended by change {}, which the feed lacks", record.revision);
            self.found(Kind::EndUntold, id, detail);
        }
    }

    fn compare(&mut self, id: KeyId, record: Option<&Record>, last: &Last) {
        let at = last.revision;
        match record {
            Some(record) if !record.readable => {}
            Some(record) if last.ended && !record.ended => {
                let what = if last.deleted { "deleted" } else { "revoked" };
                let detail = format!("{what} by change {at}, but not in its record");
                self.found(Kind::RevokeLost, id, detail);
            }
            // Told by `untold`.
            Some(record) if record.ended && !last.ended => {}
            Some(record) if record.revision != at => {
                let made = record.revision;
                let detail = format!("its last change is {at}, its record is of {made}");
                self.found(Kind::Differs, id, detail);
            }
            // A marker goes by itself once the key would have expired.
            None if !last.deleted => {
                let detail = format!("its last change is {at}, but there is no record");
                self.found(Kind::Differs, id, detail);
            }
            Some(_) | None => {}
        }
    }
}

fn is_revoked(change: &Change) -> bool {
    matches!(
        change,
        Change::Created(record) | Change::Edited(record) if record.revoked_at.is_some()
    )
}
