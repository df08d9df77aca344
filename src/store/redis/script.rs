//! The one script through which all is read and written, and its answer.
//!
//! Invariant: whatever runs, the store's identity and history were checked in
//! the same atomic step.

use std::sync::LazyLock;

use redis::{Arg, Cmd, FromRedisValue, Script, Value, cmd};

use super::connection::{Link, Repeat};
use super::error::{failed, known_refusal, refused};
use super::schema::Schema;
use crate::keys::{Epoch, Id, Position, Revision, Timestamp};
use crate::store::codec::Unsealed;
use crate::store::error::StoreError;

static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("script.lua")));

/// The caller: what the script compares with the store.
pub(super) struct Caller<'a> {
    pub schema: &'a Schema,
    pub store_id: &'a Id,
    pub seen: Revision,
}

/// Commands that run in one step.
#[derive(Default)]
pub(super) struct Step {
    /// On the server's own clock.
    before: Option<Timestamp>,
    once: bool,
    rows: Vec<Unsealed>,
    commands: usize,
    words: Vec<Vec<u8>>,
}

/// Stands, in a step with rows, for the revision that the step makes.
pub(super) const REVISION: &str = "\0revision";
/// Stands for the first and the second row.
pub(super) const ROWS: [&str; 2] = ["\0row1", "\0row2"];

const GUARD: &str = "is";

/// How a step went.
pub(super) struct Answer {
    pub word: Word,
    pub epoch: Epoch,
    pub revision: Revision,
    /// The server's own clock.
    pub now: Timestamp,
    replies: std::vec::IntoIter<Result<Value, String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    Done,
    /// A guard held another value; nothing ran.
    Moved,
    /// It was too late; nothing ran.
    Late,
}

impl Step {
    pub fn new() -> Self {
        Self::default()
    }

    /// A step that makes the next revision and writes rows that have it: where
    /// they go, [`REVISION`] and [`ROWS`] stand for them.
    pub fn of_change(rows: [Unsealed; 2]) -> Self {
        Self {
            rows: rows.into(),
            ..Self::default()
        }
        .once()
    }

    /// Runs only if that is what a command answers. No answer is "", or "0".
    #[must_use]
    pub fn guarded(mut self, command: &Cmd, expected: &[u8]) -> Self {
        let mut words = vec![expected.to_vec()];
        words.extend(words_of(command));
        self.add(GUARD, words);
        self.once()
    }

    /// Must not be taken twice when the answer to the first got lost.
    #[must_use]
    pub fn once(mut self) -> Self {
        self.once = true;
        self
    }

    /// Runs only before this time of the server's own clock.
    #[must_use]
    pub fn before(mut self, moment: Option<Timestamp>) -> Self {
        self.before = moment;
        self
    }

    /// Adds a command. If it writes, it runs together with all others that do, or
    /// none of them.
    #[must_use]
    pub fn run(mut self, command: &Cmd) -> Self {
        let words = words_of(command);
        self.add(mode(words.first().map_or(b"", Vec::as_slice)), words);
        self
    }

    /// Adds a command that writes, and whose failure is its own.
    #[must_use]
    pub fn run_alone(mut self, command: &Cmd) -> Self {
        self.add("alone", words_of(command));
        self
    }

    /// The same, and it runs only if the command before it was answered with
    /// something.
    #[must_use]
    pub fn run_then(mut self, command: &Cmd) -> Self {
        self.add("then", words_of(command));
        self
    }

    /// How many commands it runs, without guards.
    pub fn commands(&self) -> usize {
        self.commands
    }

    /// Runs only if that counter, a field of a hash, holds `value`.
    #[must_use]
    pub fn at_count(self, hash: String, field: &str, value: u64) -> Self {
        self.guarded(
            cmd("HGET").arg(hash).arg(field),
            value.to_string().as_bytes(),
        )
    }

    fn add(&mut self, mode: &str, words: Vec<Vec<u8>>) {
        self.commands += usize::from(mode != GUARD);
        self.words.push(mode.into());
        self.words.push(words.len().to_string().into_bytes());
        self.words.extend(words);
    }

    /// Takes the step over a link.
    pub async fn take(self, caller: &Caller<'_>, link: &Link) -> Result<Answer, StoreError> {
        let fresh = random_epoch()?;
        let mut call = SCRIPT.key(caller.schema.meta());
        if !self.rows.is_empty() {
            call.key(caller.schema.feed());
        }
        call.arg(caller.store_id.to_string())
            .arg(format!("{fresh}"))
            .arg(caller.seen.0);
        match self.before {
            Some(at) => call.arg(at.as_millis()),
            None => call.arg(""),
        };
        call.arg(self.rows.len());
        for row in &self.rows {
            call.arg(row.head.as_slice()).arg(row.crc).arg(row.tail);
        }
        for word in &self.words {
            call.arg(word.as_slice());
        }
        let repeat = if self.once {
            Repeat::Never
        } else {
            Repeat::Harmless
        };
        let answer: Value = link
            .ask(repeat, |mut connection| {
                let call = &call;
                async move { call.invoke_async(&mut connection).await }
            })
            .await?;
        Answer::read(answer)
    }
}

fn words_of(command: &Cmd) -> Vec<Vec<u8>> {
    let words = command.args_iter().filter_map(|word| match word {
        Arg::Simple(bytes) => Some(bytes.to_vec()),
        _ => None,
    });
    words.collect()
}

/// How the script takes a command: a read by itself, a write with the type that
/// its key must have.
fn mode(command: &[u8]) -> &'static str {
    match command {
        b"HSET" | b"HSETNX" | b"HDEL" | b"HINCRBY" => "hash",
        b"ZADD" | b"ZREM" | b"ZREMRANGEBYSCORE" | b"ZREMRANGEBYRANK" => "zset",
        b"XADD" => "stream",
        b"RPUSH" | b"LPOP" => "list",
        b"SADD" | b"SREM" => "set",
        b"SET" => "string",
        b"DEL" | b"EXPIRE" | b"PEXPIRE" => "any",
        _ => "alone",
    }
}

impl Answer {
    fn read(value: Value) -> Result<Self, StoreError> {
        type Faults = Vec<Value>;
        type Parts = (String, String, String, String, Vec<Value>, Faults);
        let (word, epoch, revision, now, replies, faults): Parts =
            Parts::from_redis_value(value).map_err(|error| failed(error.into()))?;
        let word = match word.as_str() {
            "done" => Word::Done,
            "moved" => Word::Moved,
            "late" => Word::Late,
            "empty" => return Err(StoreError::Foreign("it is empty".into())),
            "refused" => return Err(refused(format!("Redis: {epoch}"))),
            _ => return Err(StoreError::Foreign(format!("it is the store {epoch}"))),
        };
        let strange = |what: &str| StoreError::Corrupt {
            what: "the store".into(),
            why: format!("its {what} is no number"),
        };
        let mut replies: Vec<_> = replies.into_iter().map(Ok).collect();
        for fault in faults.chunks_exact(2) {
            let read = |value: &Value| String::from_redis_value(value.clone());
            let (Ok(at), Ok(error)) = (usize::from_redis_value(fault[0].clone()), read(&fault[1]))
            else {
                continue;
            };
            if let Some(reply) = replies.get_mut(at) {
                *reply = Err(error);
            }
        }
        Ok(Self {
            word,
            epoch: Epoch(u128::from_str_radix(&epoch, 16).map_err(|_| strange("epoch"))?),
            revision: Revision(revision.parse().map_err(|_| strange("revision"))?),
            now: Timestamp::from_millis(now.parse().map_err(|_| strange("clock"))?),
            replies: replies.into_iter(),
        })
    }

    /// The next command's reply; an error is `what`'s damage where it has the wrong
    /// type or shape.
    pub fn reply_of<T: FromRedisValue>(
        &mut self,
        what: impl Fn() -> String,
    ) -> Result<T, StoreError> {
        let damaged = |why: String| StoreError::Corrupt { what: what(), why };
        match self.replies.next().unwrap_or(Ok(Value::Nil)) {
            Ok(value) => T::from_redis_value(value).map_err(|error| damaged(error.to_string())),
            Err(error) if error.contains("WRONGTYPE") => {
                Err(damaged("Redis has another type under its name".into()))
            }
            Err(error) => {
                let text = format!("Redis: {error}");
                Err(known_refusal(&text).unwrap_or(StoreError::Failed(text)))
            }
        }
    }

    /// The next command's reply.
    pub fn reply<T: FromRedisValue>(&mut self) -> Result<T, StoreError> {
        self.reply_of(|| "the store".into())
    }

    /// Where the store is.
    pub fn position(&self) -> Position {
        Position {
            epoch: self.epoch,
            revision: self.revision,
        }
    }
}

pub(super) fn random_epoch() -> Result<Epoch, StoreError> {
    let mut bits = [0; 16];
    getrandom::fill(&mut bits).map_err(|error| StoreError::Failed(error.to_string()))?;
    Ok(Epoch(u128::from_be_bytes(bits)))
}
