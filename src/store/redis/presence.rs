//! Presence lists: for each a sorted set of its rows by number, with its version as
//! row 0, that expires unless its gateway confirms it.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use redis::{Cmd, cmd};

use super::gateway_rows;
use super::gateways::gateway_id;
use super::script::Step;
use super::shared::{Over, RedisStore, Shared};
use crate::store::error::StoreError;
use crate::store::gateways::GatewayId;
use crate::store::presence::{
    PresenceList, PresenceRow, PresenceStore, PresenceUpdate, PublishedList,
};

/// How long a list stands unconfirmed. With the second for which a reader keeps
/// what it read, a dead gateway's sessions are gone after 10.
const CONFIRMED: Duration = Duration::from_secs(9);
/// Rows in one command, and in one step of those that take several: a script
/// holds up all others.
const ROWS: usize = 2_000;
/// How long a line waits for the gateway that it is for.
const ASK_KEPT: Duration = Duration::from_secs(10);
/// Lines taken at once.
const ASKS: usize = 1_000;

#[async_trait]
impl PresenceStore for RedisStore {
    async fn publish(
        &self,
        gateway: GatewayId,
        list: PresenceList,
        update: PresenceUpdate,
    ) -> Result<bool, StoreError> {
        let name = self.shared.schema.presence_list(list, gateway);
        match update.from {
            Some(from) => change(&self.shared, &name, from, &update).await,
            None => replace(&self.shared, &name, &update).await.map(|()| true),
        }
    }

    async fn read_others(
        &self,
        own: GatewayId,
        list: PresenceList,
        known: &[(GatewayId, u64)],
    ) -> Result<Vec<PublishedList>, StoreError> {
        let schema = &self.shared.schema;
        let names: HashMap<String, Vec<u8>> = self
            .shared
            .ask(cmd("HGETALL").arg(schema.gateways()), Over::Loads)
            .await?;
        let mut gateways = Vec::new();
        for (text, row) in names {
            if let Some(id) = gateway_id(&text).filter(|id| *id != own) {
                gateways.push((id, gateway_rows::name(id, &row)));
            }
        }
        gateways.sort_unstable_by_key(|(id, _)| *id);
        let versions = gateways.iter().fold(Step::new(), |step, (id, _)| {
            step.run(&version(&schema.presence_list(list, *id)))
        });
        let mut answer = self.shared.take(versions, Over::Loads).await?;
        let mut all = Vec::new();
        for (gateway, name) in gateways {
            // Without a version it is not there, or only in part yet.
            let Some(version) = read_version(&answer.reply::<Vec<String>>()?) else {
                continue;
            };
            let is_known = known.contains(&(gateway, version));
            let rows = match is_known {
                true => None,
                false => Some(rows(&self.shared, &schema.presence_list(list, gateway)).await?),
            };
            all.push(PublishedList {
                gateway,
                name,
                version,
                rows,
            });
        }
        Ok(all)
    }

    async fn send_command(&self, gateway: GatewayId, line: String) -> Result<(), StoreError> {
        let name = self.shared.schema.asks(gateway);
        let step = Step::new()
            .once()
            .run(cmd("RPUSH").arg(&name).arg(line))
            .run(cmd("PEXPIRE").arg(&name).arg(millis(ASK_KEPT)));
        self.shared.take(step, Over::Loads).await.map(|_| ())
    }

    async fn take_commands(&self, own: GatewayId) -> Result<Vec<String>, StoreError> {
        let mut take = cmd("LPOP");
        take.arg(self.shared.schema.asks(own)).arg(ASKS);
        let step = Step::new().once().run(&take);
        let mut answer = self.shared.take(step, Over::Loads).await?;
        let lines: Option<Vec<String>> = answer.reply()?;
        Ok(lines.unwrap_or_default())
    }
}

/// A change that fits into one step; else the list is better written whole.
async fn change(
    shared: &Shared,
    name: &str,
    from: u64,
    update: &PresenceUpdate,
) -> Result<bool, StoreError> {
    if update.removed.len() + update.added.len() > ROWS {
        return Ok(false);
    }
    let mut step = Step::new().run(&version(name));
    for number in &update.removed {
        step = step.run(cmd("ZREMRANGEBYSCORE").arg(name).arg(number).arg(number));
    }
    if let Some(add) = added(name, &update.added) {
        step = step.run(&add);
    }
    let step = confirmed(stamped(step, name, update.to), name);
    let mut answer = shared.take(step, Over::Loads).await?;
    Ok(read_version(&answer.reply::<Vec<String>>()?) == Some(from))
}

/// Writes a list anew: in one step, or where it is long in several, and then it
/// has no version until it is whole.
async fn replace(shared: &Shared, name: &str, update: &PresenceUpdate) -> Result<(), StoreError> {
    let mut step = Step::new().run(cmd("DEL").arg(name));
    let mut chunks = update.added.chunks(ROWS).peekable();
    while let Some(rows) = chunks.next() {
        if let Some(add) = added(name, rows) {
            step = step.run(&add);
        }
        if chunks.peek().is_some() {
            let part = std::mem::take(&mut step);
            shared.take(confirmed(part, name), Over::Loads).await?;
        }
    }
    let step = confirmed(stamped(step, name, update.to), name);
    shared.take(step, Over::Loads).await.map(|_| ())
}

async fn rows(shared: &Shared, name: &str) -> Result<Vec<PresenceRow>, StoreError> {
    let mut all: Vec<PresenceRow> = Vec::new();
    loop {
        let after = all.last().map_or(0, |row| row.number);
        let mut range = cmd("ZRANGE");
        range.arg(name).arg(format!("({after}")).arg("+inf");
        range.arg("BYSCORE").arg("LIMIT").arg(0).arg(ROWS);
        let page: Vec<String> = shared.ask(&range, Over::Loads).await?;
        let is_last = page.len() < ROWS;
        for member in page {
            match row(&member) {
                Some(row) => all.push(row),
                None => tracing::error!(list = name, "a row without a number; it is left out"),
            }
        }
        if is_last {
            return Ok(all);
        }
    }
}

fn version(name: &str) -> Cmd {
    let mut range = cmd("ZRANGE");
    range.arg(name).arg(0).arg(0).arg("BYSCORE");
    range
}

fn read_version(members: &[String]) -> Option<u64> {
    members.first()?.split_once(':')?.1.parse().ok()
}

fn stamped(step: Step, name: &str, version: u64) -> Step {
    step.run(cmd("ZREMRANGEBYSCORE").arg(name).arg(0).arg(0))
        .run(cmd("ZADD").arg(name).arg(0).arg(format!("0:{version}")))
}

fn confirmed(step: Step, name: &str) -> Step {
    step.run(cmd("PEXPIRE").arg(name).arg(millis(CONFIRMED)))
}

fn added(name: &str, rows: &[PresenceRow]) -> Option<Cmd> {
    let mut add = cmd("ZADD");
    add.arg(name);
    for row in rows {
        add.arg(row.number)
            .arg(format!("{}:{}", row.number, row.content));
    }
    (!rows.is_empty()).then_some(add)
}

fn row(member: &str) -> Option<PresenceRow> {
    let (number, content) = member.split_once(':')?;
    Some(PresenceRow {
        number: number.parse().ok()?,
        content: content.into(),
    })
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
