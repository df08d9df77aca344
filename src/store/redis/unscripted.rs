//! Redis asked directly, past the script: to look at a store or make
//! one, and are no gateway of it.

use redis::{Cmd, FromRedisValue, Pipeline};

use super::connection::{Link, Repeat, Target};
use super::error::{RedisOpenError, login};
use super::info::server_version;
use super::open::new_enough;
use super::options::RedisOptions;
use super::schema::Schema;
use crate::store::error::StoreError;

/// A connection and the names under the prefix.
pub(super) struct Plain {
    pub link: Link,
    pub schema: Schema,
}

impl Plain {
    pub async fn connect(options: &RedisOptions) -> Result<Self, RedisOpenError> {
        let link = Link::new(Target::new(options)?);
        let version = server_version(&link).await.map_err(login)?;
        if !new_enough(&version) {
            return Err(RedisOpenError::TooOld { found: version });
        }
        let schema = Schema::new(&options.prefix);
        Ok(Self { link, schema })
    }

    pub async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        self.link
            .ask(Repeat::Harmless, |mut connection| async move {
                command.query_async(&mut connection).await
            })
            .await
    }

    /// Asks several at once; each may be asked twice.
    pub async fn ask_all<T: FromRedisValue>(&self, pipe: &Pipeline) -> Result<T, StoreError> {
        self.link
            .ask(Repeat::Harmless, |mut connection| async move {
                pipe.query_async(&mut connection).await
            })
            .await
    }

    /// A page of the names under the prefix, and the cursor of the next; 0 after
    /// the last.
    pub async fn scan(&self, cursor: u64) -> Result<(u64, Vec<Vec<u8>>), StoreError> {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(self.schema.pattern());
        scan.arg("COUNT").arg(1_000);
        self.ask(&scan).await
    }
}
