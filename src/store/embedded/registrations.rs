//! The tables of registrations, agents and last uses of keys.

use std::ops::Bound::{Excluded, Unbounded};

use async_trait::async_trait;
use redb::{ReadTransaction, ReadableTable, Table, TableError, WriteTransaction};
use uuid::Uuid;

use super::database::{EmbeddedStore, failed};
use super::file::Need;
use super::schema::{AGENTS, BY_AGENT, Place, REGISTRATIONS, USES};
use crate::keys::{KeyId, Timestamp};
use crate::store::codec::{decode, encode, key_id};
use crate::store::error::StoreError;
use crate::store::registration_rows::{
    RegistrationRow, UseRow, agent_row, registration_row, sound,
};
use crate::store::registrations::{
    AgentRecord, InstanceBatch, InstanceCursor, InstanceNews, InstanceStore, Registration,
};

#[async_trait]
impl InstanceStore for EmbeddedStore {
    async fn registrations(
        &self,
        after: Option<(KeyId, Uuid)>,
        limit: usize,
    ) -> Result<Vec<Registration>, StoreError> {
        self.read(move |t| registrations(t, after, limit)).await
    }

    async fn agents(
        &self,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<AgentRecord>, StoreError> {
        self.read(move |t| agents(t, after, limit)).await
    }

    async fn key_uses(
        &self,
        after: Option<KeyId>,
        limit: usize,
    ) -> Result<Vec<(KeyId, Timestamp)>, StoreError> {
        self.read(move |t| key_uses(t, after, limit)).await
    }

    async fn save_instances(&self, batch: InstanceBatch) -> Result<Vec<Uuid>, StoreError> {
        self.put_if(Need::Other, move |t| {
            save(t, &batch).map(|gone| (gone, true))
        })
        .await
    }

    async fn forget_registrations(&self, key: KeyId) -> Result<(), StoreError> {
        self.put(move |t| forget(t, key)).await
    }

    async fn news(
        &self,
        _after: Option<InstanceCursor>,
    ) -> Result<Option<InstanceNews>, StoreError> {
        Ok(None)
    }
}

pub(super) fn registrations(
    transaction: &ReadTransaction,
    after: Option<(KeyId, Uuid)>,
    limit: usize,
) -> Result<Vec<Registration>, StoreError> {
    let table = transaction.open_table(REGISTRATIONS).map_err(failed)?;
    let start = match &after {
        Some((key, agent)) => Excluded((key.0.as_bytes(), agent.as_bytes())),
        None => Unbounded,
    };
    let mut rows = Vec::new();
    for entry in table
        .range::<Place<'_>>((start, Unbounded))
        .map_err(failed)?
    {
        let (place, value) = entry.map_err(failed)?;
        let (key, agent) = place.value();
        let (key, agent) = (key_id(key)?, Uuid::from_bytes(*agent));
        let what = || format!("{key}'s agent {agent}");
        if let Some(row) = sound::<RegistrationRow>(value.value(), what) {
            rows.push(row.to_registration(key, agent));
        }
        if rows.len() == limit {
            break;
        }
    }
    Ok(rows)
}

pub(super) fn agents(
    transaction: &ReadTransaction,
    after: Option<Uuid>,
    limit: usize,
) -> Result<Vec<AgentRecord>, StoreError> {
    let table = transaction.open_table(AGENTS).map_err(failed)?;
    let start = match &after {
        Some(agent) => Excluded(agent.as_bytes()),
        None => Unbounded,
    };
    let mut rows = Vec::new();
    for entry in table
        .range::<&[u8; 16]>((start, Unbounded))
        .map_err(failed)?
    {
        let (agent, value) = entry.map_err(failed)?;
        let agent = Uuid::from_bytes(*agent.value());
        let what = || format!("agent {agent}");
        rows.extend(sound::<AgentRecord>(value.value(), what));
        if rows.len() == limit {
            break;
        }
    }
    Ok(rows)
}

pub(super) fn key_uses(
    transaction: &ReadTransaction,
    after: Option<KeyId>,
    limit: usize,
) -> Result<Vec<(KeyId, Timestamp)>, StoreError> {
    let table = match transaction.open_table(USES) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        table => table.map_err(failed)?,
    };
    let start = match &after {
        Some(key) => Excluded(key.0.as_bytes()),
        None => Unbounded,
    };
    let mut rows = Vec::new();
    for entry in table
        .range::<&[u8; 16]>((start, Unbounded))
        .map_err(failed)?
    {
        let (key, value) = entry.map_err(failed)?;
        let key = key_id(key.value())?;
        let what = || format!("the last use of {key}");
        rows.extend(sound::<UseRow>(value.value(), what).map(|row| (key, row.last_used)));
        if rows.len() == limit {
            break;
        }
    }
    Ok(rows)
}

pub(super) fn save(
    transaction: &WriteTransaction,
    batch: &InstanceBatch,
) -> Result<Vec<Uuid>, StoreError> {
    let mut registrations = transaction.open_table(REGISTRATIONS).map_err(failed)?;
    let mut by_agent = transaction.open_table(BY_AGENT).map_err(failed)?;
    let mut agents = transaction.open_table(AGENTS).map_err(failed)?;
    for row in &batch.registrations {
        let (key, agent) = (row.key.0.as_bytes(), row.agent.as_bytes());
        let before = registrations.get((key, agent)).map_err(failed)?;
        let value = registration_row(row, before.as_ref().map(|row| row.value()))?;
        if before.is_none() {
            by_agent.insert((agent, key), ()).map_err(failed)?;
        }
        drop(before);
        registrations
            .insert((key, agent), value.as_slice())
            .map_err(failed)?;
    }
    for record in &batch.agents {
        let before = agents.get(record.agent.as_bytes()).map_err(failed)?;
        let value = agent_row(record, before.as_ref().map(|row| row.value()))?;
        drop(before);
        agents
            .insert(record.agent.as_bytes(), value.as_slice())
            .map_err(failed)?;
    }
    let mut uses = transaction.open_table(USES).map_err(failed)?;
    for (key, at) in &batch.uses {
        let before = uses.get(key.0.as_bytes()).map_err(failed)?;
        let before = before.and_then(|value| decode::<UseRow>(value.value(), String::new).ok());
        let (last_used, unknown) = match before {
            Some(row) => (row.last_used.max(*at), row.unknown),
            None => (*at, serde_json::Map::new()),
        };
        let value = encode(&UseRow { last_used, unknown })?;
        uses.insert(key.0.as_bytes(), value.as_slice())
            .map_err(failed)?;
    }
    let mut gone = Vec::new();
    for agent in &batch.forgotten {
        let row = agents.remove(agent.as_bytes()).map_err(failed)?;
        gone.extend(row.map(|_| *agent));
        for key in keys_of(&by_agent, agent)? {
            registrations
                .remove((&key, agent.as_bytes()))
                .map_err(failed)?;
            by_agent.remove((agent.as_bytes(), &key)).map_err(failed)?;
        }
    }
    Ok(gone)
}

fn keys_of(
    by_agent: &Table<'_, Place<'static>, ()>,
    agent: &Uuid,
) -> Result<Vec<[u8; 16]>, StoreError> {
    let all = (agent.as_bytes(), &[0; 16])..=(agent.as_bytes(), &[0xff; 16]);
    by_agent
        .range::<Place<'_>>(all)
        .map_err(failed)?
        .map(|entry| entry.map(|(place, _)| *place.value().1).map_err(failed))
        .collect()
}

pub(super) fn forget(transaction: &WriteTransaction, key: KeyId) -> Result<(), StoreError> {
    let mut registrations = transaction.open_table(REGISTRATIONS).map_err(failed)?;
    let mut by_agent = transaction.open_table(BY_AGENT).map_err(failed)?;
    let mut uses = transaction.open_table(USES).map_err(failed)?;
    uses.remove(key.0.as_bytes()).map_err(failed)?;
    let of_key = (key.0.as_bytes(), &[0; 16])..=(key.0.as_bytes(), &[0xff; 16]);
    registrations
        .retain_in::<Place<'_>, _>(of_key, |place, _| {
            // An error here would be one of the transaction, which its commit
            // then reports.
            let _ = by_agent.remove((place.1, place.0));
            false
        })
        .map_err(failed)
}
