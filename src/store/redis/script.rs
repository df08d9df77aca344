//! The one script through which all is read and written, and its answer.
//!
//! Invariant: whatever runs, the store's identity and history were checked in
//! the same atomic step.

use std::sync::LazyLock;

use redis::{Arg, Cmd, FromRedisValue, RedisError, Script, Value};

use super::connection::{Link, Repeat};
use super::error::failed;
use super::schema::Schema;
use crate::keys::{Epoch, Id, Revision, Timestamp};
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
    guard: Option<(&'static str, u64)>,
    /// On the server's own clock.
    before: Option<Timestamp>,
    once: bool,
    words: Vec<Vec<u8>>,
}

/// How a step went.
pub(super) struct Answer {
    pub word: Word,
    pub epoch: Epoch,
    pub revision: Revision,
    /// The server's own clock.
    pub now: Timestamp,
    replies: std::vec::IntoIter<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    Done,
    /// The guard held another value; nothing ran.
    Moved,
    /// It was too late; nothing ran.
    Late,
}

impl Step {
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs only if the counter `field` of meta holds `value`.
    #[must_use]
    pub fn guarded(mut self, field: &'static str, value: u64) -> Self {
        self.guard = Some((field, value));
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

    /// Adds a command.
    #[must_use]
    pub fn run(mut self, command: &Cmd) -> Self {
        let words = command.args_iter();
        self.words.push(words.len().to_string().into_bytes());
        self.words.extend(words.filter_map(|word| match word {
            Arg::Simple(bytes) => Some(bytes.to_vec()),
            _ => None,
        }));
        self
    }

    /// Takes the step over a link.
    pub async fn take(self, caller: &Caller<'_>, link: &Link) -> Result<Answer, StoreError> {
        let fresh = random_epoch()?;
        let mut call = SCRIPT.key(caller.schema.meta());
        call.arg(caller.store_id.to_string())
            .arg(format!("{fresh}"))
            .arg(caller.seen.0);
        match self.guard {
            Some((field, value)) => call.arg(field).arg(value),
            None => call.arg("").arg(""),
        };
        match self.before {
            Some(at) => call.arg(at.as_millis()),
            None => call.arg(""),
        };
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

impl Answer {
    fn read(value: Value) -> Result<Self, StoreError> {
        type Parts = (String, String, String, String, Vec<Value>);
        let (word, epoch, revision, now, replies): Parts =
            Parts::from_redis_value(value).map_err(|error| failed(error.into()))?;
        let word = match word.as_str() {
            "done" => Word::Done,
            "moved" => Word::Moved,
            "late" => Word::Late,
            "empty" => return Err(StoreError::Foreign("it is empty".into())),
            _ => return Err(StoreError::Foreign(format!("it is the store {epoch}"))),
        };
        let strange = |what: &str| StoreError::Corrupt {
            what: "the store".into(),
            why: format!("its {what} is no number"),
        };
        Ok(Self {
            word,
            epoch: Epoch(u128::from_str_radix(&epoch, 16).map_err(|_| strange("epoch"))?),
            revision: Revision(revision.parse().map_err(|_| strange("revision"))?),
            now: Timestamp::from_millis(now.parse().map_err(|_| strange("clock"))?),
            replies: replies.into_iter(),
        })
    }

    /// The next command's reply.
    pub fn reply<T: FromRedisValue>(&mut self) -> Result<T, StoreError> {
        let value = self.replies.next().unwrap_or(Value::Nil);
        T::from_redis_value(value).map_err(|error| failed(RedisError::from(error)))
    }
}

pub(super) fn random_epoch() -> Result<Epoch, StoreError> {
    let mut bits = [0; 16];
    getrandom::fill(&mut bits).map_err(|error| StoreError::Failed(error.to_string()))?;
    Ok(Epoch(u128::from_be_bytes(bits)))
}
