//! The feed of agents, registrations and last uses: a capped stream that says
//! which were written, and by whom, so that other gateways read those again.
//!
//! Invariant: an entry is written in one step with the rows that it names.

use std::collections::{BTreeSet, HashMap};

use redis::{Cmd, cmd};
use uuid::Uuid;

use super::registrations;
use super::schema::{FIELD_AGENTS, FIELD_FORGOTTEN, FIELD_USES, FIELD_WRITER};
use super::script::Step;
use super::shared::{Over, Shared};
use crate::keys::{Id, KeyId};
use crate::store::error::StoreError;
use crate::store::registrations::{InstanceBatch, InstanceCursor, InstanceNews};

/// Entries kept; a gateway that is further behind reads all again. Each stands
/// for up to a second of a gateway's writes.
const FEED_KEPT: u64 = 10_000;
/// Entries read at a time: each may name thousands of agents.
const ENTRIES_AT_ONCE: usize = 8;
/// Before the first entry.
const START: &str = "0-0";

type Entries = Vec<(String, HashMap<String, Vec<u8>>)>;

/// The entry for a batch.
pub(super) fn saved(shared: &Shared, batch: &InstanceBatch) -> Cmd {
    let registered = batch.registrations.iter().map(|row| row.agent);
    let reported = batch.agents.iter().map(|row| row.agent);
    let gone = batch.forgotten.iter().copied();
    let agents: BTreeSet<Uuid> = registered.chain(reported).chain(gone).collect();
    let agents: Vec<u8> = agents.iter().flat_map(Uuid::as_bytes).copied().collect();
    let keys = batch.uses.iter().map(|(key, _)| key.0);
    let keys: Vec<u8> = keys.flat_map(|id| *id.as_bytes()).collect();
    let mut add = added(shared);
    add.arg(FIELD_AGENTS).arg(agents).arg(FIELD_USES).arg(keys);
    add
}

/// The entry for a deleted key.
pub(super) fn forgot(shared: &Shared, key: KeyId) -> Cmd {
    let mut add = added(shared);
    add.arg(FIELD_FORGOTTEN).arg(key.0.as_bytes());
    add
}

fn added(shared: &Shared) -> Cmd {
    let mut add = cmd("XADD");
    add.arg(shared.schema.instance_feed());
    add.arg("MAXLEN").arg("~").arg(FEED_KEPT).arg("*");
    add.arg(FIELD_WRITER).arg(shared.writer.as_bytes());
    add
}

pub(super) async fn news(
    shared: &Shared,
    after: Option<InstanceCursor>,
) -> Result<InstanceNews, StoreError> {
    let feed = shared.schema.instance_feed();
    let from = after.as_ref().map_or(START, |cursor| &cursor.entry);
    let mut newest = cmd("XREVRANGE");
    newest.arg(&feed).arg("+").arg("-").arg("COUNT").arg(1);
    let mut standing = cmd("XRANGE");
    standing.arg(&feed).arg(from).arg(from);
    let mut next = cmd("XRANGE");
    next.arg(&feed).arg(format!("({from}")).arg("+");
    next.arg("COUNT").arg(ENTRIES_AT_ONCE);
    let step = Step::new().run(&newest).run(&standing).run(&next);
    let mut answer = shared.take(step, Over::Loads).await?;
    let newest: Entries = answer.reply()?;
    let standing: Entries = answer.reply()?;
    let entries: Entries = answer.reply()?;
    let last = newest.first().map_or(START, |(id, _)| id);

    let mut news = InstanceNews {
        cursor: InstanceCursor {
            epoch: answer.epoch,
            entry: last.to_owned(),
        },
        whole: false,
        is_last: true,
        agents: Vec::new(),
        uses: Vec::new(),
        forgotten_keys: Vec::new(),
    };
    // Where the entry of the cursor is gone, others may be gone with it; in
    // another history it may stand for something else.
    news.whole = after.is_none_or(|cursor| {
        cursor.epoch != answer.epoch || (cursor.entry != last && standing.is_empty())
    });
    if news.whole {
        return Ok(news);
    }
    if let Some((id, _)) = entries.last() {
        news.is_last = id == last;
        id.clone_into(&mut news.cursor.entry);
    }
    let (mut agents, mut uses) = (BTreeSet::new(), BTreeSet::new());
    let own = |fields: &HashMap<_, Vec<u8>>| {
        let writer = fields.get(FIELD_WRITER);
        writer.is_some_and(|writer| writer == shared.writer.as_bytes())
    };
    for (_, fields) in entries.iter().filter(|(_, fields)| !own(fields)) {
        let ids = |field: &str| {
            let bytes = fields.get(field).map_or(&[][..], Vec::as_slice);
            bytes.chunks_exact(16)
        };
        agents.extend(ids(FIELD_AGENTS).filter_map(|id| Uuid::from_slice(id).ok()));
        uses.extend(ids(FIELD_USES).filter_map(Id::from_bytes));
        let keys = ids(FIELD_FORGOTTEN).filter_map(Id::from_bytes);
        news.forgotten_keys.extend(keys.map(KeyId));
    }
    let agents: Vec<_> = agents.into_iter().collect();
    let uses: Vec<_> = uses.iter().map(Id::to_string).collect();
    news.agents = registrations::of_agents(shared, &agents).await?;
    news.uses = registrations::uses_of(shared, &uses).await?;
    Ok(news)
}
