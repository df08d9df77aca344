//! Putting the store that is there in the place of one that is lost.

use redis::cmd;

use super::error::RedisOpenError;
use super::open::identity;
use super::options::RedisOptions;
use super::schema::alias;
use super::script::Step;
use super::shared::{Over, RedisStore};
use super::unscripted::Plain;
use crate::keys::Id;
use crate::store::error::StoreError;

/// What is where a gateway expects its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdoptionState {
    Empty,
    /// The store that it knows, or one that was adopted in its place.
    Known,
    /// Another one.
    Other {
        id: Id,
        /// How many keys it has.
        keys: u64,
        /// How many gateways are enrolled there.
        gateways: u64,
    },
}

impl RedisStore {
    /// Looks, and changes nothing.
    ///
    /// # Errors
    /// [`RedisOpenError`].
    pub async fn look(options: &RedisOptions, known: Id) -> Result<AdoptionState, RedisOpenError> {
        let plain = Plain::connect(options).await?;
        let Some(id) = identity(&plain.link, &plain.schema).await? else {
            return Ok(AdoptionState::Empty);
        };
        let schema = &plain.schema;
        let mut ask = redis::pipe();
        ask.cmd("HEXISTS").arg(schema.meta()).arg(alias(known));
        ask.cmd("ZCARD").arg(schema.keys());
        ask.cmd("HLEN").arg(schema.gateways());
        let (adopted, keys, gateways): (bool, u64, u64) = plain.ask_all(&ask).await?;
        if id == known || adopted {
            return Ok(AdoptionState::Known);
        }
        Ok(AdoptionState::Other { id, keys, gateways })
    }

    /// Puts this store in the place of `lost`: a gateway that knows that one is let in
    /// from now on. `note` says when and by whom.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn adopt(&self, lost: Id, note: &str) -> Result<(), StoreError> {
        let meta = self.shared.schema.meta();
        let mut set = cmd("HSETNX");
        set.arg(&meta).arg(alias(lost)).arg(note);
        let step = Step::new().run(&set);
        self.shared.take(step, Over::Writes).await.map(|_| ())
    }
}
