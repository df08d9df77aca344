//! Agents, registrations and last uses of keys.

use async_trait::async_trait;
use redis::cmd;
use uuid::Uuid;

use super::registration_feed;
use super::schema::{parse_registration, registration, registrations_of};
use super::script::Step;
use super::shared::{Over, RedisStore, Shared};
use crate::keys::{Id, KeyId, Timestamp};
use crate::store::error::StoreError;
use crate::store::registration_rows::{RegistrationRow, agent_row, registration_row, sound};
use crate::store::registrations::{
    AgentNews, AgentRecord, InstanceBatch, InstanceCursor, InstanceNews, InstanceStore,
    Registration,
};

/// Rows in one command: Lua's stack holds 8,000 words.
const ROWS_AT_ONCE: usize = 1_000;

type Row = Option<Vec<u8>>;

#[async_trait]
impl InstanceStore for RedisStore {
    async fn registrations(
        &self,
        after: Option<(KeyId, Uuid)>,
        limit: usize,
    ) -> Result<Vec<Registration>, StoreError> {
        let shared = &*self.shared;
        let schema = &shared.schema;
        let mut start = after.map(|(key, agent)| registration(key, agent));
        let mut found = Vec::new();
        loop {
            let wanted = (limit - found.len()).min(ROWS_AT_ONCE);
            let places = range(
                shared,
                &schema.registration_index(),
                start.as_deref(),
                wanted,
            )
            .await?;
            let rows = rows(shared, &schema.registrations(), &places).await?;
            let rows = places.iter().zip(rows);
            found.extend(rows.filter_map(|(place, row)| to_registration(place, &row?)));
            if places.len() < wanted || found.len() == limit {
                return Ok(found);
            }
            start = places.last().cloned();
        }
    }

    async fn agents(
        &self,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<AgentRecord>, StoreError> {
        let shared = &*self.shared;
        let schema = &shared.schema;
        let mut start = after.map(|agent| agent.to_string());
        let mut found = Vec::new();
        loop {
            let wanted = (limit - found.len()).min(ROWS_AT_ONCE);
            let ids = range(shared, &schema.agent_index(), start.as_deref(), wanted).await?;
            let rows = rows(shared, &schema.agents(), &ids).await?;
            let rows = ids.iter().zip(rows);
            found.extend(rows.filter_map(|(id, row)| to_agent(id, &row?)));
            if ids.len() < wanted || found.len() == limit {
                return Ok(found);
            }
            start = ids.last().cloned();
        }
    }

    async fn key_uses(
        &self,
        after: Option<KeyId>,
        limit: usize,
    ) -> Result<Vec<(KeyId, Timestamp)>, StoreError> {
        let shared = &*self.shared;
        let schema = &shared.schema;
        let mut start = after.map(|key| key.0.to_string());
        let mut found = Vec::new();
        loop {
            let wanted = (limit - found.len()).min(ROWS_AT_ONCE);
            let ids = range(shared, &schema.use_index(), start.as_deref(), wanted).await?;
            found.extend(uses_of(shared, &ids).await?);
            if ids.len() < wanted || found.len() == limit {
                return Ok(found);
            }
            start = ids.last().cloned();
        }
    }

    async fn save_instances(&self, batch: InstanceBatch) -> Result<Vec<Uuid>, StoreError> {
        let shared = &*self.shared;
        let batch = &batch;
        let schema = &shared.schema;
        let places: Vec<_> = batch
            .registrations
            .iter()
            .map(|row| registration(row.key, row.agent))
            .collect();
        let ids: Vec<_> = batch
            .agents
            .iter()
            .map(|row| row.agent.to_string())
            .collect();
        let mut step = Step::new();
        // First, so that their replies are the first.
        for agent in &batch.forgotten {
            let id = agent.to_string();
            step = step.run(cmd("HDEL").arg(schema.agents()).arg(id));
        }
        let before = rows(shared, &schema.registrations(), &places).await?;
        for ((row, place), before) in batch.registrations.iter().zip(&places).zip(before) {
            let value = registration_row(row, before.as_deref())?;
            let key = row.key.0.to_string();
            step = step
                .run(
                    cmd("HSET")
                        .arg(schema.registrations())
                        .arg(place)
                        .arg(value),
                )
                .run(
                    cmd("ZADD")
                        .arg(schema.registration_index())
                        .arg(0)
                        .arg(place),
                )
                .run(cmd("SADD").arg(schema.keys_of(row.agent)).arg(key));
        }
        let before = rows(shared, &schema.agents(), &ids).await?;
        for ((record, id), before) in batch.agents.iter().zip(&ids).zip(before) {
            let value = agent_row(record, before.as_deref())?;
            step = step
                .run(cmd("HSET").arg(schema.agents()).arg(id).arg(value))
                .run(cmd("ZADD").arg(schema.agent_index()).arg(0).arg(id));
        }
        for (key, at) in &batch.uses {
            let id = key.0.to_string();
            let mut forward = cmd("ZADD");
            forward
                .arg(schema.uses())
                .arg("GT")
                .arg(at.as_millis())
                .arg(&id);
            step = step
                .run(&forward)
                .run(cmd("ZADD").arg(schema.use_index()).arg(0).arg(&id));
        }
        for agent in &batch.forgotten {
            let mut keys = cmd("SMEMBERS");
            keys.arg(schema.keys_of(*agent));
            let keys: Vec<String> = shared.ask(&keys, Over::Loads).await?;
            for key in keys.iter().filter_map(|key| Id::parse(key)) {
                step = without_registration(shared, step, &registration(KeyId(key), *agent));
            }
            let id = agent.to_string();
            step = step
                .run(cmd("DEL").arg(schema.keys_of(*agent)))
                .run(cmd("ZREM").arg(schema.agent_index()).arg(&id));
        }
        step = step.run(&registration_feed::saved(shared, batch));
        let mut answer = shared.take(step, Over::Writes).await?;
        let mut gone = Vec::new();
        for agent in &batch.forgotten {
            if answer.reply::<bool>()? {
                gone.push(*agent);
            }
        }
        Ok(gone)
    }

    async fn forget_registrations(&self, key: KeyId) -> Result<(), StoreError> {
        let shared = &*self.shared;
        let schema = &shared.schema;
        let (begin, end) = registrations_of(key);
        loop {
            let mut range = cmd("ZRANGE");
            range.arg(schema.registration_index()).arg(&begin).arg(&end);
            range.arg("BYLEX").arg("LIMIT").arg(0).arg(ROWS_AT_ONCE);
            let places: Vec<String> = shared.ask(&range, Over::Loads).await?;
            if places.is_empty() {
                break;
            }
            let mut step = Step::new();
            for place in &places {
                step = without_registration(shared, step, place);
                if let Some((key, agent)) = parse_registration(place) {
                    let id = key.0.to_string();
                    step = step.run(cmd("SREM").arg(schema.keys_of(agent)).arg(id));
                }
            }
            shared.take(step, Over::Writes).await?;
        }
        let id = key.0.to_string();
        let step = Step::new()
            .run(cmd("ZREM").arg(schema.uses()).arg(&id))
            .run(cmd("ZREM").arg(schema.use_index()).arg(&id))
            .run(&registration_feed::forgot(shared, key));
        shared.take(step, Over::Writes).await.map(|_| ())
    }

    async fn news(
        &self,
        after: Option<InstanceCursor>,
    ) -> Result<Option<InstanceNews>, StoreError> {
        registration_feed::news(&self.shared, after).await.map(Some)
    }
}

/// When these keys were last used; those that never were are left out.
pub(super) async fn uses_of(
    shared: &Shared,
    ids: &[String],
) -> Result<Vec<(KeyId, Timestamp)>, StoreError> {
    let mut found = Vec::with_capacity(ids.len());
    for ids in ids.chunks(ROWS_AT_ONCE) {
        let mut scores = cmd("ZMSCORE");
        scores.arg(shared.schema.uses()).arg(ids);
        let scores: Vec<Option<i64>> = shared.ask(&scores, Over::Loads).await?;
        found.extend(ids.iter().zip(scores).filter_map(|(id, millis)| {
            Some((KeyId(Id::parse(id)?), Timestamp::from_millis(millis?)))
        }));
    }
    Ok(found)
}

/// All that there is of these agents.
pub(super) async fn of_agents(
    shared: &Shared,
    agents: &[Uuid],
) -> Result<Vec<AgentNews>, StoreError> {
    let schema = &shared.schema;
    let ids: Vec<_> = agents.iter().map(Uuid::to_string).collect();
    let records = rows(shared, &schema.agents(), &ids).await?;
    let mut news = Vec::with_capacity(agents.len());
    for ((agent, id), row) in agents.iter().zip(&ids).zip(records) {
        news.push(AgentNews {
            agent: *agent,
            record: row.and_then(|row| to_agent(id, &row)),
            registrations: Vec::new(),
        });
    }
    for news in news.chunks_mut(ROWS_AT_ONCE) {
        let mut step = Step::new();
        for one in &*news {
            step = step.run(cmd("SMEMBERS").arg(schema.keys_of(one.agent)));
        }
        let mut answer = shared.take(step, Over::Loads).await?;
        let mut places = Vec::new();
        for (at, one) in news.iter().enumerate() {
            let keys: Vec<String> = answer.reply()?;
            let keys = keys.iter().filter_map(|key| Id::parse(key));
            places.extend(keys.map(|key| (at, registration(KeyId(key), one.agent))));
        }
        let (of, places): (Vec<_>, Vec<_>) = places.into_iter().unzip();
        let rows = rows(shared, &schema.registrations(), &places).await?;
        for ((at, place), row) in of.into_iter().zip(&places).zip(rows) {
            let row = row.and_then(|row| to_registration(place, &row));
            news[at].registrations.extend(row);
        }
    }
    Ok(news)
}

fn to_agent(id: &str, row: &[u8]) -> Option<AgentRecord> {
    sound(row, || format!("agent {id}"))
}

fn to_registration(place: &str, row: &[u8]) -> Option<Registration> {
    let Some((key, agent)) = parse_registration(place) else {
        tracing::error!(?place, "not the place of a registration; it is left out");
        return None;
    };
    let what = || format!("{key}'s agent {agent}");
    sound::<RegistrationRow>(row, what).map(|row| row.to_registration(key, agent))
}

async fn range(
    shared: &Shared,
    index: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<String>, StoreError> {
    let start = after.map_or("-".into(), |after| format!("({after}"));
    let mut range = cmd("ZRANGE");
    range.arg(index).arg(start).arg("+").arg("BYLEX");
    range.arg("LIMIT").arg(0).arg(limit);
    shared.ask(&range, Over::Loads).await
}

async fn rows(shared: &Shared, hash: &str, fields: &[String]) -> Result<Vec<Row>, StoreError> {
    let mut all = Vec::with_capacity(fields.len());
    for chunk in fields.chunks(ROWS_AT_ONCE) {
        let mut get = cmd("HMGET");
        get.arg(hash).arg(chunk);
        all.extend(shared.ask::<Vec<Row>>(&get, Over::Loads).await?);
    }
    Ok(all)
}

fn without_registration(shared: &Shared, step: Step, place: &str) -> Step {
    let schema = &shared.schema;
    step.run(cmd("HDEL").arg(schema.registrations()).arg(place))
        .run(cmd("ZREM").arg(schema.registration_index()).arg(place))
}
