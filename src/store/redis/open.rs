//! Opening the store: is it there, new enough, ours, and the one we know?

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use redis::{RedisError, Value, cmd};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::connection::{Link, Repeat, Target};
use super::error::{MINIMUM, RedisOpenError, login};
use super::info;
use super::memory::evicts;
use super::options::RedisOptions;
use super::replicas::Replicas;
use super::schema::{
    FIELD_COPYING, FIELD_EPOCH, FIELD_FORMAT, FIELD_REPLID, FIELD_REVISION, FIELD_STORE_ID, FORMAT,
    Schema,
};
use super::script::random_epoch;
use super::sentinel::Place;
use super::shared::{RedisStore, Shared};
use crate::keys::{Id, Revision};
use crate::store::clock::StoreClock;
use crate::store::error::StoreError;

/// How long one wait for the feed lasts, at the server.
const HINT_WAIT: Duration = Duration::from_secs(1);
/// After a failed wait for the feed.
const HINT_PAUSE: Duration = Duration::from_millis(200);

impl RedisStore {
    /// Opens the store, or makes it where there is none and none is known. An
    /// empty or another store than the known one is opened, too: whatever is
    /// asked of it fails with [`StoreError::Foreign`], unless it was adopted in
    /// the known one's place.
    ///
    /// # Errors
    /// [`RedisOpenError`]; only `Unavailable` may pass by itself.
    pub async fn open(options: RedisOptions) -> Result<Self, RedisOpenError> {
        let target = Target::new(&options)?;
        let schema = Schema::new(&options.prefix);
        let loads = Link::new(target.clone());
        let version = info::server_version(&loads).await.map_err(login)?;
        if !new_enough(&version) {
            return Err(RedisOpenError::TooOld { found: version });
        }
        let memory = info::ask(&loads, "memory").await.map_err(login)?;
        if let Some(why) = evicts(&memory) {
            return Err(RedisOpenError::Evicts(why));
        }
        let found = identity(&loads, &schema).await?;
        let id = match (options.known, found) {
            (Some(known), _) => known,
            (None, Some(found)) => found,
            (None, None) => create(&loads, &schema).await?,
        };
        let shared = Arc::new(Shared {
            schema,
            id,
            writer: Id::random().map_err(|e| RedisOpenError::NoRandomness(e.to_string()))?,
            clock: StoreClock::default(),
            login: Mutex::new(options.clone()),
            place: Arc::clone(&target.place),
            loads,
            // The longest of them is for replicas.
            writes: Link::new(target.patient(options.replicas_deadline)),
            tail: Link::new(target.clone()),
            replicas: Replicas::new(
                options.replicas,
                options.replicas_deadline,
                target.place.read().is_watched(),
            ),
            seen: AtomicU64::new(0),
            heard: watch::Sender::new(Revision(0)),
            enrolled: Mutex::default(),
        });
        let hints = tokio::spawn(hints(
            Arc::downgrade(&shared),
            Link::new(target.patient(HINT_WAIT)),
        ));
        Ok(Self {
            shared,
            _hints: Arc::new(AbortOnDropHandle::new(hints)),
        })
    }

    /// Has connections that are made from now on use this password and trust these CAs;
    /// true when either is new. Those that stand go on.
    ///
    /// # Errors
    /// [`RedisOpenError::Ca`] and the like; nothing has changed then.
    pub fn renew_login(
        &self,
        password: Option<SecretString>,
        ca: Option<Vec<u8>>,
    ) -> Result<bool, RedisOpenError> {
        let mut login = self.shared.login.lock();
        let text = |password: &Option<SecretString>| {
            password.as_ref().map(|p| p.expose_secret().to_owned())
        };
        if text(&login.password) == text(&password) && login.ca == ca {
            return Ok(false);
        }
        let mut renewed = login.clone();
        (renewed.password, renewed.ca) = (password, ca);
        *self.shared.place.write() = Place::new(&renewed)?;
        *login = renewed;
        Ok(true)
    }

    /// The store's id, made with it.
    pub fn id(&self) -> Id {
        self.shared.id
    }
}

/// The id of the store under the prefix; `None` if there is none.
pub(super) async fn identity(link: &Link, schema: &Schema) -> Result<Option<Id>, RedisOpenError> {
    let not_ours = |why: &str| RedisOpenError::NotOurs {
        what: schema.meta(),
        why: why.into(),
    };
    let mut get = cmd("HGETALL");
    get.arg(schema.meta());
    let asked = link.ask(Repeat::Harmless, |mut connection| {
        let get = &get;
        async move {
            let answer: Result<HashMap<String, String>, RedisError> =
                get.query_async(&mut connection).await;
            match answer {
                Err(error) if error.code() == Some("WRONGTYPE") => Ok(None),
                Err(error) => Err(error),
                Ok(fields) => Ok(Some(fields)),
            }
        }
    });
    let fields: Option<HashMap<String, String>> = asked.await.map_err(login)?;
    let fields = fields.ok_or_else(|| not_ours("not a hash"))?;
    if fields.is_empty() {
        return Ok(None);
    }
    if let Some(begun) = fields.get(FIELD_COPYING) {
        return Err(RedisOpenError::Copying {
            begun: begun.clone(),
        });
    }
    match fields.get(FIELD_FORMAT).map(String::as_str) {
        Some(FORMAT) => {}
        Some(found) => {
            return Err(RedisOpenError::Newer {
                found: found.to_owned(),
            });
        }
        None => return Err(not_ours("it has no format")),
    }
    let id = fields.get(FIELD_STORE_ID).and_then(|text| Id::parse(text));
    id.map(Some).ok_or_else(|| not_ours("it has no store id"))
}

/// Makes an empty store; of several callers at once, one does.
async fn create(link: &Link, schema: &Schema) -> Result<Id, RedisOpenError> {
    let random = |error: getrandom::Error| RedisOpenError::NoRandomness(error.to_string());
    let id = Id::random().map_err(random)?;
    let epoch = random_epoch_text()?;
    let meta = schema.meta();
    let info = info::ask(link, "replication").await.map_err(login)?;
    let replid = info::field(&info, "master_replid");
    let mut make = redis::pipe();
    make.atomic()
        .hset_nx(&meta, FIELD_FORMAT, FORMAT)
        .hset_nx(&meta, FIELD_STORE_ID, id.to_string())
        .hset_nx(&meta, FIELD_REPLID, replid.unwrap_or(""))
        .hset_nx(&meta, FIELD_EPOCH, &epoch)
        .hset_nx(&meta, FIELD_REVISION, 0);
    let made = link.ask(Repeat::Harmless, |mut connection| {
        let make = &make;
        async move { make.query_async::<Value>(&mut connection).await }
    });
    made.await.map_err(login)?;
    let found = identity(link, schema).await?;
    let lost = || StoreError::Failed("Redis lost the new store at once".into());
    found.ok_or_else(|| lost().into())
}

/// The epoch of a new store, as meta holds it.
pub(super) fn random_epoch_text() -> Result<String, RedisOpenError> {
    let epoch = random_epoch().map_err(|error| RedisOpenError::NoRandomness(error.to_string()))?;
    Ok(epoch.to_string())
}

pub(super) fn new_enough(version: &str) -> bool {
    let mut numbers = version.split('.').map(|part| part.parse().unwrap_or(0));
    let found: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    found >= MINIMUM
}

/// Waits at the feed and wakes its follower. A hint and no more: the lease,
/// on a connection of its own, returns the changes, and asks by itself.
async fn hints(shared: Weak<Shared>, link: Link) {
    loop {
        let Some(strong) = shared.upgrade() else {
            return;
        };
        let after = *strong.heard.borrow();
        let mut read = cmd("XREAD");
        read.arg("COUNT")
            .arg(1)
            .arg("BLOCK")
            .arg(HINT_WAIT.as_millis() as u64);
        read.arg("STREAMS")
            .arg(strong.schema.feed())
            .arg(format!("{after}-0"));
        drop(strong);
        type Entries = Option<Vec<(String, Vec<(String, Value)>)>>;
        let heard: Result<Entries, _> = link
            .ask(Repeat::Harmless, |mut connection| {
                let read = &read;
                async move { read.query_async(&mut connection).await }
            })
            .await;
        let Some(strong) = shared.upgrade() else {
            return;
        };
        match heard {
            Ok(streams) => {
                let entries = streams
                    .into_iter()
                    .flatten()
                    .flat_map(|(_, entries)| entries);
                for (id, _) in entries {
                    let revision = id.split('-').next().and_then(|text| text.parse().ok());
                    strong.hear(revision.map_or(after, Revision));
                }
            }
            Err(error) => {
                tracing::debug!(%error, "can't wait for the feed; the lease goes on");
                drop(strong);
                tokio::time::sleep(HINT_PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        for fine in ["7.0.15", "7.2", "10.0.1"] {
            assert!(new_enough(fine), "{fine}");
        }
        for old in ["6.2.14", "0", "", "x.y"] {
            assert!(!new_enough(old), "{old}");
        }
    }
}
