//! The feed of key changes: a capped stream, each entry under its revision.
//!
//! Must not know: who follows it. Invariant: an entry that can't be read is named
//! and left out, which its reader notices as a gap.

use std::collections::HashMap;

use redis::{Cmd, cmd};

use super::schema::FIELD_CHANGE;
use super::script::{Answer, REVISION, Step};
use super::shared::{Over, Shared};
use crate::keys::{KeyId, Position, Revision};
use crate::store::codec::{FeedRow, decode};
use crate::store::error::StoreError;
use crate::store::feed::{Feed, KeyChange};
use crate::store::key_changes::to_change;

/// Changes kept. A gateway that is further behind reads all it knows again.
const KEPT: u64 = 10_000;
/// Changes given out in one call.
const BATCH: usize = 1_000;

type Entries = Vec<(String, HashMap<String, Vec<u8>>)>;

/// Adds an entry under the revision that its step makes.
pub(super) fn added(shared: &Shared, row: &str) -> Cmd {
    let mut add = cmd("XADD");
    add.arg(shared.schema.feed());
    add.arg("MAXLEN").arg("~").arg(KEPT);
    // Without a dash Redis reads "-0" into it.
    add.arg(REVISION).arg(FIELD_CHANGE).arg(row);
    add
}

/// The entry of a revision, for [`read_key`].
pub(super) fn entry(shared: &Shared, revision: Revision) -> Cmd {
    let mut range = cmd("XRANGE");
    range.arg(shared.schema.feed());
    range.arg(revision.0).arg(revision.0);
    range
}

/// The oldest entry, for [`read_revision`].
pub(super) fn oldest(shared: &Shared) -> Cmd {
    let mut range = cmd("XRANGE");
    range.arg(shared.schema.feed()).arg("-").arg("+");
    range.arg("COUNT").arg(1);
    range
}

/// Whose entry it is; `None` where there is none, or it can't be read.
pub(super) fn read_key(answer: &mut Answer) -> Option<KeyId> {
    let entries: Entries = answer.reply().ok()?;
    let (_, fields) = entries.first()?;
    let row: FeedRow = decode(fields.get(FIELD_CHANGE)?, String::new).ok()?;
    Some(row.key)
}

/// Which revision it is; `None` where there is none.
pub(super) fn read_revision(answer: &mut Answer) -> Option<Revision> {
    let entries: Entries = answer.reply().ok()?;
    revision(&entries.first()?.0).ok()
}

pub(super) async fn after(shared: &Shared, after: Revision) -> Result<Feed, StoreError> {
    let step = Step::new().run(&range_after(shared, after));
    let mut answer = shared.take(step, Over::Loads).await?;
    let mut feed = Feed {
        position: answer.position(),
        ..Feed::default()
    };
    read(&mut answer, &mut feed);
    Ok(feed)
}

/// The entries after a revision, for [`read`].
pub(super) fn range_after(shared: &Shared, after: Revision) -> Cmd {
    let mut range = cmd("XRANGE");
    range.arg(shared.schema.feed());
    range.arg(after.next().0).arg("+");
    range.arg("COUNT").arg(BATCH);
    range
}

/// Takes the entries into a feed of that position. Those of an older history are
/// told as of this one: they led to it.
pub(super) fn read(answer: &mut Answer, feed: &mut Feed) {
    let entries: Entries = match answer.reply_of(|| "the feed of key changes".into()) {
        Ok(entries) => entries,
        Err(error) => return feed.damaged.push(error),
    };
    for (id, fields) in entries {
        match change(&id, &fields, feed.position) {
            Ok(entry) => feed.entries.push(entry),
            Err(error) => feed.damaged.push(error),
        }
    }
}

fn change(
    id: &str,
    fields: &HashMap<String, Vec<u8>>,
    now: Position,
) -> Result<KeyChange, StoreError> {
    let row = fields.get(FIELD_CHANGE).map_or(&[][..], Vec::as_slice);
    let row: FeedRow = decode(row, || format!("feed entry {id}"))?;
    Ok(KeyChange {
        position: Position {
            revision: revision(id)?,
            ..now
        },
        change: to_change(&row),
    })
}

fn revision(entry: &str) -> Result<Revision, StoreError> {
    let number = entry.split('-').next().and_then(|text| text.parse().ok());
    number.map(Revision).ok_or_else(|| StoreError::Corrupt {
        what: format!("feed entry {entry}"),
        why: "its id is no revision".into(),
    })
}
