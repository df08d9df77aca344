//! The whole of a store in Redis, row by row, by commands that only read.
//!
//! Invariant: what others change meanwhile may look out of order, but not twice
//! in the same way.

mod registrations;

use redis::cmd;

use super::error::RedisOpenError;
use super::open::identity;
use super::options::RedisOptions;
use super::schema::{FIELD_CHANGE, FIELD_EXPIRIES_UNTIL, FIELD_REVISION, Name, parse_place};
use super::unscripted::Plain;
use crate::keys::{Id, KeyId, Revision, Timestamp, TokenId};
use crate::store::codec::decode;
use crate::store::error::StoreError;
use crate::store::scan::{Gone, OddKind, Oddity, PAGE, Pages, Row, Scan};

/// Begins to survey the store; `None`: there is none.
///
/// # Errors
/// [`RedisOpenError`].
pub async fn scan(options: &RedisOptions) -> Result<Option<Scan>, RedisOpenError> {
    let plain = Plain::connect(options).await?;
    if identity(&plain.link, &plain.schema).await?.is_none() {
        return Ok(None);
    }
    let mut ask = redis::pipe();
    ask.cmd("HMGET").arg(plain.schema.meta());
    ask.arg(FIELD_REVISION).arg(FIELD_EXPIRIES_UNTIL);
    ask.cmd("TIME");
    type Facts = ((u64, Option<i64>), (i64, i64));
    let ((revision, until), (seconds, micros)): Facts = plain.ask_all(&ask).await?;
    let (pages, receiver) = Pages::new();
    tokio::spawn(async move {
        let mut walk = Walk { plain, pages };
        let result = match walk.all().await {
            Ok(()) | Err(End::Gone) => Ok(()),
            Err(End::Failed(error)) => Err(error),
        };
        walk.pages.end(result).await;
    });
    Ok(Some(Scan {
        revision: Revision(revision),
        expiries_until: until.map(Timestamp::from_millis),
        settings: Vec::new(),
        now: Timestamp::from_millis(seconds * 1000 + micros / 1000),
        shared: true,
        pages: receiver,
    }))
}

enum End {
    Gone,
    Failed(StoreError),
}

impl From<Gone> for End {
    fn from(Gone: Gone) -> Self {
        Self::Gone
    }
}

impl From<StoreError> for End {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

struct Walk {
    plain: Plain,
    pages: Pages,
}

type Bytes = Vec<u8>;

impl Walk {
    async fn all(&mut self) -> Result<(), End> {
        let sound = self.types().await?;
        let has = |name: &String| sound.contains(name);
        let schema = self.plain.schema.clone();
        self.names().await?;
        if has(&schema.keys()) {
            self.list().await?;
        }
        if has(&schema.feed()) {
            self.feed().await?;
        }
        if has(&schema.tokens()) {
            self.tokens().await?;
        }
        if has(&schema.agents()) && has(&schema.agent_index()) {
            self.agents().await?;
        }
        if has(&schema.registrations()) && has(&schema.registration_index()) {
            self.registrations().await?;
        }
        if has(&schema.uses()) && has(&schema.use_index()) {
            self.uses().await?;
        }
        if has(&schema.events()) {
            let event = |id, row| Row::Event { id, row };
            self.numbered(&schema.events(), event).await?;
        }
        if has(&schema.audit()) {
            let record = |id, row| Row::Audit { id, row };
            self.numbered(&schema.audit(), record).await?;
        }
        for name in [schema.gateways(), schema.beats()] {
            if has(&name) {
                self.gateways(&name).await?;
            }
        }
        Ok(())
    }

    async fn odd(&mut self, kind: OddKind, subject: &str, fault: &str) -> Result<(), End> {
        let row = Oddity::row(kind, subject, fault);
        Ok(self.pages.add([row]).await?)
    }

    /// The fixed names that hold what they should, or nothing.
    async fn types(&mut self) -> Result<Vec<String>, End> {
        let mut sound = Vec::new();
        for (name, expected) in self.plain.schema.fixed() {
            let mut ask = cmd("TYPE");
            let found: String = self.plain.ask(ask.arg(&name)).await?;
            if found == "none" || found == expected {
                sound.push(name);
            } else {
                let fault = format!("is a {found}, not a {expected}");
                self.odd(OddKind::Damaged, &name, &fault).await?;
            }
        }
        Ok(sound)
    }

    /// All names under the prefix: those of agents, and foreign ones.
    async fn names(&mut self) -> Result<(), End> {
        let mut cursor = 0;
        loop {
            let (next, names) = self.plain.scan(cursor).await?;
            let mut keys = Vec::new();
            let mut sets = Vec::new();
            for name in names {
                let text = String::from_utf8_lossy(&name).into_owned();
                match self.plain.schema.parse(&text) {
                    Some(Name::Key(id)) => keys.push(id),
                    Some(Name::KeysOf(agent)) => sets.push(agent),
                    Some(Name::Other) => {}
                    None => {
                        let fault = "no name of this muster's";
                        self.odd(OddKind::Unknown, &text, fault).await?;
                    }
                }
            }
            for ids in keys.chunks(PAGE) {
                self.keys(ids).await?;
            }
            self.keys_of(&sets).await?;
            cursor = next;
            if cursor == 0 {
                return Ok(());
            }
        }
    }

    async fn keys(&mut self, ids: &[KeyId]) -> Result<(), End> {
        let mut get = cmd("MGET");
        for id in ids {
            get.arg(self.plain.schema.key(*id));
        }
        let rows: Vec<Option<Bytes>> = self.plain.ask(&get).await?;
        let rows = ids.iter().zip(rows).map(|(id, row)| match row {
            Some(row) => Row::Key { id: *id, row },
            // Or it went meanwhile.
            None => Oddity::row(OddKind::Damaged, id.to_string(), "is no string"),
        });
        Ok(self.pages.add(rows).await?)
    }

    async fn list(&mut self) -> Result<(), End> {
        let name = self.plain.schema.keys();
        let mut after = "-".to_owned();
        loop {
            let mut range = cmd("ZRANGE");
            range.arg(&name).arg(&after).arg("+").arg("BYLEX");
            range.arg("LIMIT").arg(0).arg(PAGE);
            let places: Vec<String> = self.plain.ask(&range).await?;
            let Some(last) = places.last() else {
                return Ok(());
            };
            after = format!("({last}");
            let rows = places.iter().map(|place| match parse_place(place) {
                Some((created_at, id)) => Row::Listed { id, created_at },
                None => Oddity::row(OddKind::Damaged, &name, format!("{place:?} is no place")),
            });
            self.pages.add(rows).await?;
        }
    }

    async fn feed(&mut self) -> Result<(), End> {
        let mut after = "-".to_owned();
        loop {
            let mut range = cmd("XRANGE");
            range.arg(self.plain.schema.feed()).arg(&after).arg("+");
            range.arg("COUNT").arg(PAGE);
            type Entries = Vec<(String, Vec<(String, Bytes)>)>;
            let entries: Entries = self.plain.ask(&range).await?;
            let Some((last, _)) = entries.last() else {
                return Ok(());
            };
            after = format!("({last}");
            let rows = entries.into_iter().map(|(id, fields)| {
                let revision = id.strip_suffix("-0").and_then(|id| id.parse().ok());
                let change = fields.into_iter().find(|(field, _)| field == FIELD_CHANGE);
                match (revision, change) {
                    (Some(revision), Some((_, row))) => Row::Change {
                        revision: Revision(revision),
                        row,
                    },
                    _ => Oddity::row(OddKind::Damaged, format!("feed entry {id}"), "is no change"),
                }
            });
            self.pages.add(rows).await?;
        }
    }

    async fn tokens(&mut self) -> Result<(), End> {
        let mut get = cmd("HGETALL");
        get.arg(self.plain.schema.tokens());
        let rows: Vec<(String, Bytes)> = self.plain.ask(&get).await?;
        let rows = rows.into_iter().map(|(id, row)| match Id::parse(&id) {
            Some(id) => Row::Token {
                id: TokenId(id),
                row,
            },
            None => Oddity::row(
                OddKind::Damaged,
                format!("the token {id:?}"),
                "its id is none",
            ),
        });
        Ok(self.pages.add(rows).await?)
    }

    async fn numbered(&mut self, set: &str, row: fn(u64, Bytes) -> Row) -> Result<(), End> {
        let mut at = 0;
        loop {
            let mut range = cmd("ZRANGE");
            range.arg(set).arg(at).arg(at + PAGE - 1).arg("WITHSCORES");
            let rows: Vec<(Bytes, f64)> = self.plain.ask(&range).await?;
            if rows.is_empty() {
                return Ok(());
            }
            at += rows.len();
            let rows = rows.into_iter().map(|(bytes, id)| row(id as u64, bytes));
            self.pages.add(rows).await?;
        }
    }

    async fn gateways(&mut self, name: &str) -> Result<(), End> {
        let mut get = cmd("HGETALL");
        get.arg(name);
        let rows: Vec<(String, Bytes)> = self.plain.ask(&get).await?;
        for (id, row) in rows {
            let what = || format!("the gateway {id:?} in {name}");
            if let Err(error) = decode::<serde_json::Value>(&row, what) {
                self.odd(OddKind::Damaged, &what(), &error.to_string())
                    .await?;
            }
        }
        Ok(())
    }
}
