//! Agents, registrations and last uses: each hash with the index beside it.

use redis::cmd;
use uuid::Uuid;

use super::{Bytes, End, Walk};
use crate::keys::{Id, KeyId, Timestamp};
use crate::store::redis::schema::{parse_registration, registration};
use crate::store::scan::{OddKind, Oddity, PAGE, Row};

impl Walk {
    pub(super) async fn agents(&mut self) -> Result<(), End> {
        let schema = &self.plain.schema;
        let (hash, index) = (schema.agents(), schema.agent_index());
        self.rows_of(&hash, &index, |id, row| match id.parse() {
            Ok(id) => Row::Agent { id, row },
            Err(_) => Oddity::row(OddKind::Damaged, format!("agent {id:?}"), "its id is none"),
        })
        .await
    }

    pub(super) async fn registrations(&mut self) -> Result<(), End> {
        let schema = &self.plain.schema;
        let (hash, index) = (schema.registrations(), schema.registration_index());
        self.rows_of(&hash, &index, |place, row| {
            match parse_registration(place) {
                Some((key, agent)) => Row::Registration { key, agent, row },
                None => {
                    let what = format!("registration {place:?}");
                    Oddity::row(OddKind::Damaged, what, "its place is none")
                }
            }
        })
        .await?;
        self.places_under_agents(&hash).await
    }

    /// Reads a hash, and holds its fields against the sorted set of them.
    async fn rows_of(
        &mut self,
        hash: &str,
        index: &str,
        to_row: impl Fn(&str, Bytes) -> Row,
    ) -> Result<(), End> {
        let (mut cursor, mut missing) = (0_u64, false);
        loop {
            let mut scan = cmd("HSCAN");
            scan.arg(hash).arg(cursor).arg("COUNT").arg(PAGE);
            let (next, rows): (u64, Vec<(String, Bytes)>) = self.plain.ask(&scan).await?;
            let fields: Vec<&String> = rows.iter().map(|(field, _)| field).collect();
            for field in self.not_in(index, &fields).await? {
                missing = true;
                let fault = format!("has a row, but no place in {index}");
                self.odd(OddKind::Index, &field, &fault).await?;
            }
            let rows = rows.into_iter().map(|(field, row)| to_row(&field, row));
            self.pages.add(rows).await?;
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        let mut ask = redis::pipe();
        ask.cmd("HLEN").arg(hash).cmd("ZCARD").arg(index);
        let (rows, places): (u64, u64) = self.plain.ask_all(&ask).await?;
        if rows == places && !missing {
            return Ok(());
        }
        let mut after = "-".to_owned();
        loop {
            let places = self.page_of(index, &after).await?;
            let Some(last) = places.last() else {
                return Ok(());
            };
            after = format!("({last}");
            let mut get = cmd("HMGET");
            get.arg(hash).arg(&places);
            let rows: Vec<Option<Bytes>> = self.plain.ask(&get).await?;
            for (place, _) in places.iter().zip(rows).filter(|(_, row)| row.is_none()) {
                let fault = format!("has a place in {index}, but no row");
                self.odd(OddKind::Index, place, &fault).await?;
            }
        }
    }

    async fn page_of(&self, index: &str, after: &str) -> Result<Vec<String>, End> {
        let mut range = cmd("ZRANGE");
        range.arg(index).arg(after).arg("+").arg("BYLEX");
        range.arg("LIMIT").arg(0).arg(PAGE);
        Ok(self.plain.ask(&range).await?)
    }

    async fn not_in(&self, index: &str, members: &[&String]) -> Result<Vec<String>, End> {
        if members.is_empty() {
            return Ok(Vec::new());
        }
        let mut scores = cmd("ZMSCORE");
        scores.arg(index).arg(members);
        let scores: Vec<Option<f64>> = self.plain.ask(&scores).await?;
        let members = members.iter().zip(scores);
        let absent = members.filter(|(_, score)| score.is_none());
        Ok(absent.map(|(member, _)| (*member).clone()).collect())
    }

    /// Every registration must be found through its agent, too.
    async fn places_under_agents(&mut self, hash: &str) -> Result<(), End> {
        let mut after = "-".to_owned();
        loop {
            let index = self.plain.schema.registration_index();
            let places = self.page_of(&index, &after).await?;
            let Some(last) = places.last() else {
                return Ok(());
            };
            after = format!("({last}");
            let known: Vec<_> = places
                .iter()
                .filter_map(|place| Some((place, parse_registration(place)?)))
                .collect();
            let mut ask = redis::pipe();
            for (_, (key, agent)) in &known {
                ask.cmd("SISMEMBER").arg(self.plain.schema.keys_of(*agent));
                ask.arg(key.0.to_string());
            }
            let there: Vec<bool> = self.plain.ask_all(&ask).await?;
            for ((place, _), _) in known.iter().zip(there).filter(|(_, there)| !there) {
                let fault = format!("is in {hash}, but not under its agent");
                self.odd(OddKind::Index, place, &fault).await?;
            }
        }
    }

    /// What lies under agents must be registrations.
    pub(super) async fn keys_of(&mut self, agents: &[Uuid]) -> Result<(), End> {
        for agents in agents.chunks(PAGE) {
            let mut members = redis::pipe();
            for agent in agents {
                members
                    .cmd("SMEMBERS")
                    .arg(self.plain.schema.keys_of(*agent));
            }
            let keys: Vec<Vec<String>> = self.plain.ask_all(&members).await?;
            let keys = agents.iter().zip(keys);
            let places: Vec<_> = keys
                .flat_map(|(agent, keys)| keys.into_iter().map(|key| (*agent, key)))
                .collect();
            if places.is_empty() {
                continue;
            }
            let mut get = cmd("HMGET");
            get.arg(self.plain.schema.registrations());
            for (agent, key) in &places {
                let place = Id::parse(key).map(|key| registration(KeyId(key), *agent));
                get.arg(place.unwrap_or_default());
            }
            let rows: Vec<Option<Bytes>> = self.plain.ask(&get).await?;
            for ((agent, key), _) in places.iter().zip(rows).filter(|(_, row)| row.is_none()) {
                let name = self.plain.schema.keys_of(*agent);
                let fault = format!("names the key {key:?}, but there is no such registration");
                self.odd(OddKind::Index, &name, &fault).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn uses(&mut self) -> Result<(), End> {
        let schema = &self.plain.schema;
        let (name, index) = (schema.uses(), schema.use_index());
        let mut at = 0;
        loop {
            let mut range = cmd("ZRANGE");
            range
                .arg(&name)
                .arg(at)
                .arg(at + PAGE - 1)
                .arg("WITHSCORES");
            let rows: Vec<(String, f64)> = self.plain.ask(&range).await?;
            if rows.is_empty() {
                break;
            }
            at += rows.len();
            let ids: Vec<&String> = rows.iter().map(|(id, _)| id).collect();
            for id in self.not_in(&index, &ids).await? {
                let fault = format!("has a last use, but no place in {index}");
                self.odd(OddKind::Index, &id, &fault).await?;
            }
            let rows = rows.into_iter().map(|(id, millis)| match Id::parse(&id) {
                Some(key) => Row::Use {
                    key: KeyId(key),
                    at: Timestamp::from_millis(millis as i64),
                },
                None => Oddity::row(OddKind::Damaged, &name, format!("{id:?} is no key's id")),
            });
            self.pages.add(rows).await?;
        }
        let mut after = "-".to_owned();
        loop {
            let ids = self.page_of(&index, &after).await?;
            let Some(last) = ids.last() else {
                return Ok(());
            };
            after = format!("({last}");
            for id in self.not_in(&name, &ids.iter().collect::<Vec<_>>()).await? {
                let fault = format!("has a place in {index}, but no last use");
                self.odd(OddKind::Index, &id, &fault).await?;
            }
        }
    }
}
