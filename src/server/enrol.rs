//! What a start asks of the store: to be opened, one CA for all, the first
//! token, to enrol, to load.
//!
//! Owns: which faults of a start may pass, and the wait for a store that is
//! away. Must not know: listeners, how a backend works. Invariant: nothing of
//! one attempt is left for the next but what lies in the store.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use super::reload::Look;
use super::{DataDir, StartError};
use crate::admin_api::NotReadyService;
use crate::control::tokens::{FirstToken, first_token, shared_first_token};
use crate::files;
use crate::gateway::events::Events;
use crate::gateway::registrations::Instances;
use crate::keys::Position;
use crate::metrics::endpoints::Ops;
use crate::metrics::registry::Metrics;
use crate::net::certs::Certs;
use crate::server::config::{Config, StoreConfig, StorePlace};
use crate::store::redis::{RedisOpenError, RedisOptions, RedisStore};
use crate::store::{ClaimStore, GatewayInfo, KeyStore, Moment, Store, StoreError};

/// Between two attempts, besides the deadlines of Redis.
const RETRY: Duration = Duration::from_secs(2);
/// The claim of the CA's fingerprint.
const AUTHORITY: &str = "ca_sha256";

/// Where the store comes from.
pub(super) enum Source {
    /// It is open, and this gateway's alone.
    Own(Arc<dyn Store>),
    /// Others have it, too, and it may be away.
    Shared(Box<RedisOptions>),
}

fn read_ca(path: &Path) -> Result<Vec<u8>, StartError> {
    let failed = |cause: String| StartError::CaFile {
        path: path.to_owned(),
        cause,
    };
    let content = files::read_if_present(path).map_err(|error| failed(error.to_string()))?;
    content.ok_or_else(|| failed("there is no such file".into()))
}

/// How the Redis of a configuration is reached, with the store that the data
/// directory knows, if one is given; `None`: it is not on Redis.
///
/// # Errors
/// [`StartError`] when a file that the settings name can't be read.
pub fn redis_options(
    config: &StoreConfig,
    data_dir: Option<&DataDir>,
) -> Result<Option<RedisOptions>, StartError> {
    let StorePlace::Redis(url) = &config.place else {
        return Ok(None);
    };
    let known = data_dir.map(DataDir::known_store).transpose()?.flatten();
    let file = config.redis_password_file.as_deref();
    if let Some(path) = file.filter(|path| files::is_open_to_others(path)) {
        tracing::warn!(path = %path.display(), "the password file for Redis is readable by other users; make it 0600");
    }
    let password = file.map(read_password);
    let ca = config.redis_ca_file.as_deref().map(read_ca);
    Ok(Some(RedisOptions {
        url: url.clone(),
        password: password.transpose()?,
        ca: ca.transpose()?,
        prefix: config.redis_prefix.clone(),
        replicas: config.redis_replicas,
        replicas_deadline: config.redis_replicas_deadline,
        connect_deadline: config.redis_connect_deadline,
        answer_deadline: config.redis_answer_deadline,
        known,
    }))
}

fn read_password(path: &Path) -> Result<SecretString, StartError> {
    let failed = |cause: String| StartError::PasswordFile {
        path: path.to_owned(),
        cause,
    };
    let content = files::read_if_present(path).map_err(|error| failed(error.to_string()))?;
    let content = content.ok_or_else(|| failed("there is no such file".into()))?;
    // Not the error's own text: it holds the bytes.
    let text = String::from_utf8(content).map_err(|_| failed("it is not UTF-8".into()))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(failed("it is empty".into())),
        password => Ok(password.into()),
    }
}

/// What opens Redis for the connections that are made from now on.
pub(super) struct RedisLogin {
    password_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    store: RedisStore,
}

impl RedisLogin {
    pub fn new(config: &StoreConfig, store: RedisStore) -> Self {
        Self {
            password_file: config.redis_password_file.clone(),
            ca_file: config.redis_ca_file.clone(),
            store,
        }
    }

    /// Takes what is in the files now; connections that stand are left alone. Blocks
    /// on files.
    pub fn reread(&self) -> Look {
        let password = self.password_file.as_deref().map(read_password).transpose();
        let password = password.map_err(|e| ("redis-password-file", e.to_string()))?;
        let ca = self.ca_file.as_deref().map(read_ca).transpose();
        let ca = ca.map_err(|e| ("redis-ca-file", e.to_string()))?;
        let renewed = self.store.renew_login(password, ca);
        renewed.map_err(|e| ("redis-ca-file", e.to_string()))
    }
}

/// A gateway on its way in.
pub(super) struct StoreConnector<'a> {
    pub config: &'a Config,
    pub data_dir: &'a DataDir,
    pub certs: &'a Certs,
    pub gateway: GatewayInfo,
    pub source: Source,
}

/// What it has then.
pub(super) struct OpenedStore {
    pub store: Arc<dyn Store>,
    /// The same, where it is on Redis.
    pub redis: Option<RedisStore>,
    pub token: FirstToken,
    /// When the call that enrolled was sent: the view is true of no later moment.
    pub enrolling: Moment,
    pub position: Position,
    pub events: Events,
    pub instances: Instances,
}

impl StoreConnector<'_> {
    /// One attempt. The fault in the answer's error may pass by itself.
    pub async fn attempt(&self) -> Result<Result<OpenedStore, StartError>, StartError> {
        match self.enter().await {
            Err(error) if self.may_pass(&error) => Ok(Err(error)),
            result => result.map(Ok),
        }
    }

    /// Attempts for ever, after one that failed with `error`: Redis may be
    /// started after its gateways, and a gateway that gives up is of no use.
    pub async fn wait(
        &self,
        mut error: StartError,
        ops: &Ops,
        metrics: &Metrics,
        door: &NotReadyService,
    ) -> Result<OpenedStore, StartError> {
        let mut was_foreign = false;
        loop {
            let is_foreign = matches!(error, StartError::Store(StoreError::Foreign(_)));
            metrics.store_foreign.set(i64::from(is_foreign));
            if is_foreign && !was_foreign {
                tracing::error!(%error, "another store answers; retrying");
            } else if !is_foreign {
                tracing::warn!(%error, "the store is not reachable yet; retrying");
            }
            was_foreign = is_foreign;
            ops.not_serving(error.to_string());
            door.because(&format!("the store is not reachable yet: {error}"));
            tokio::time::sleep(RETRY).await;
            match self.attempt().await? {
                Ok(entered) => {
                    metrics.store_foreign.set(0);
                    break Ok(entered);
                }
                Err(again) => error = again,
            }
        }
    }

    fn is_shared(&self) -> bool {
        matches!(self.source, Source::Shared(_))
    }

    fn may_pass(&self, error: &StartError) -> bool {
        self.is_shared()
            && matches!(
                error,
                StartError::Store(
                    StoreError::Failed(_)
                        | StoreError::NotWritten(_)
                        | StoreError::NoWrites(_)
                        | StoreError::Foreign(_)
                ) | StartError::Redis(RedisOpenError::Unavailable(_))
            )
    }

    async fn enter(&self) -> Result<OpenedStore, StartError> {
        let (store, redis, token) = self.open().await?;
        self.enter_over(store, redis, token).await
    }

    async fn open(&self) -> Result<(Arc<dyn Store>, Option<RedisStore>, FirstToken), StartError> {
        let path = self.data_dir.admin_token();
        let options = match &self.source {
            Source::Own(store) => {
                let token = first_token(&**store, &path, store.clock().now()).await?;
                return Ok((store.clone(), None, token));
            }
            Source::Shared(options) => options,
        };
        let store = RedisStore::open((**options).clone()).await?;
        self.agree_on_authority(&store).await?;
        let (name, known) = (&self.gateway.name, options.known.is_some());
        let now = store.clock().now();
        let token = shared_first_token(&store, &path, name, known, now).await?;
        // From its first start on this gateway takes no other store for this.
        if options.known.is_none() {
            self.data_dir.remember_store(store.id())?;
        }
        Ok((Arc::new(store.clone()), Some(store), token))
    }

    /// Agents move between the gateways of a store, and trust one CA. With a
    /// certificate of the operator's own they do not trust muster's CA at all,
    /// and what they trust instead is not ours to compare.
    async fn agree_on_authority(&self, store: &RedisStore) -> Result<(), StartError> {
        if self.config.tls.own.is_some() {
            return Ok(());
        }
        let ours = self.certs.ca_fingerprint();
        let theirs = store.claim(AUTHORITY, &ours).await?;
        if theirs == ours {
            return Ok(());
        }
        Err(StartError::OtherAuthority {
            ours,
            theirs,
            dir: self.certs.ca_dir().to_owned(),
        })
    }

    /// Enrols, and signs off what ran in this directory before: its lock proves that
    /// no process of it lives, so it has no sessions. Whatever fails on the way, the
    /// directory names all that may be enrolled.
    async fn enrol_in_its_place(&self, store: &dyn Store) -> Result<Position, StartError> {
        let own = self.gateway.id;
        let mut all = self.data_dir.past_gateways()?;
        all.retain(|id| *id != own);
        let past = all.clone();
        all.push(own);
        self.data_dir.note_gateways(&all)?;
        let position = store.enrol(self.gateway.clone()).await?;
        for id in past {
            store.leave(id).await?;
        }
        self.data_dir.note_gateways(&[own])?;
        Ok(position)
    }

    async fn enter_over(
        &self,
        store: Arc<dyn Store>,
        redis: Option<RedisStore>,
        token: FirstToken,
    ) -> Result<OpenedStore, StartError> {
        let enrolling = store.clock().moment();
        let position = if self.is_shared() {
            self.enrol_in_its_place(&*store).await?
        } else {
            store.enrol(self.gateway.clone()).await?
        };
        let events = Events::load(store.clone(), store.clock().clone()).await?;
        let events = events.told_by(&self.config.gateway_name);
        let instances = Instances::load(store.clone(), self.config.instances).await?;
        Ok(OpenedStore {
            store,
            redis,
            token,
            enrolling,
            position,
            events,
            instances,
        })
    }
}
