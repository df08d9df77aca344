//! Wires everything together: bind, addresses, run until shutdown.
//!
//! Owns: the order of a start and of a stop. Must not know: how a part does its
//! work. Invariant: this gateway enrols before its first load and before the
//! agent listener is bound; a part that ends by itself stops the gateway.

mod data_dir;
mod observer;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::admin_api;
use crate::agent_api;
use crate::auth::{AuthOptions, Authenticator, View};
use crate::certs::{CertError, CertOptions, Certs, server_config_from_files};
use crate::config::Config;
use crate::events::{Events, ExpiryEvents};
use crate::gateways::Gateways;
use crate::instances::{Connected, Instances};
use crate::key_admin::KeyAdmin;
use crate::keys::{Id, KeyId};
use crate::listener::{BindError, Limits, Listener};
use crate::ops::Ops;
use crate::registrar::Registrar;
use crate::rejections::{self, Rejections};
use crate::revocation::Revocations;
use crate::senders::{self, Senders};
use crate::sessions::{ExpiryTimers, Registry, RegistryOptions, StaleWatch};
use crate::store::embedded::{EmbeddedStore, OpenError};
use crate::store::{EventKind, GatewayId, GatewayInfo, Store, StoreError};
use crate::telemetry::Metrics;
use crate::tokens::{FirstToken, Tokens, first_token};

pub use data_dir::{DataDir, DataDirError};
use observer::Connections;

/// The protocol of both TLS listeners.
const HTTP2: &[&[u8]] = &[b"h2"];
/// How long a gate remembers an edit and a principal stays good. Well above
/// every handshake and load deadline that may be configured sensibly.
const GATE_MEMORY: Duration = Duration::from_secs(60);
/// Between two writes of registrations, and of events.
const WRITE_BEHIND: Duration = Duration::from_secs(1);
/// Streams on one admin connection: a console and its tools.
const ADMIN_STREAMS: u32 = 100;
/// Keys whose time to expiry `/metrics` prints.
const EXPIRIES_SHOWN: usize = 1000;

/// Where the listeners are bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// For agents.
    pub agent: SocketAddr,
    /// For operators.
    pub admin: SocketAddr,
    /// For monitors.
    pub ops: SocketAddr,
}

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory can't be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The store file can't be used.
    #[error(transparent)]
    StoreFile(#[from] OpenError),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The certificates can't be used or made.
    #[error(transparent)]
    Certs(#[from] CertError),
    /// The first admin token can't be read or made.
    #[error("admin token: {0}")]
    Token(io::Error),
    /// A listener can't be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// There are no random numbers for the gateway's id.
    #[error("no random numbers from the operating system: {0}")]
    NoRandomness(String),
    /// Our own descriptors can't be read: a build fault.
    #[error("reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// Why a gateway stopped without being told to.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A part that runs as long as the gateway ended.
    #[error("{0} ended by itself")]
    PartEnded(&'static str),
    /// A part panicked: a fault of ours.
    #[error("a part of the gateway failed: {0}")]
    PartFailed(String),
}

/// A gateway that is bound and enrolled, but does not serve yet.
pub struct Server {
    addresses: Addresses,
    first_start: bool,
    parts: Parts,
}

struct Parts {
    gateway: GatewayId,
    store: Arc<dyn Store>,
    ops: Ops,
    ops_socket: TcpListener,
    agent: Listener,
    agent_service: agent_api::Authenticate<Routes>,
    health: HealthReporter,
    admin: Listener,
    admin_service: admin_api::Authenticate<Routes>,
    certs: Arc<Certs>,
    revocations: Arc<Revocations>,
    instances: Arc<Instances>,
    events: Arc<Events>,
    registry: Arc<Registry>,
    expiry: ExpiryTimers,
    stale: StaleWatch,
    drain_time: Duration,
}

impl Server {
    /// Opens the embedded store in the data directory and binds.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn bind(config: Config) -> Result<Self, StartError> {
        let data_dir = DataDir::open(&config.data_dir)?;
        let store = Arc::new(EmbeddedStore::open(&data_dir.store())?);
        Self::bind_over(config, store).await
    }

    /// Binds over a store that is open already.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn bind_over(config: Config, store: Arc<dyn Store>) -> Result<Self, StartError> {
        let data_dir = DataDir::open(&config.data_dir)?;
        let certs = Arc::new(Certs::open(&CertOptions {
            data_dir: config.data_dir.clone(),
            ca_dir: config.tls.ca_dir.clone(),
            agent_host: config.tls.agent_address.as_ref().map(|a| a.host.clone()),
            listen_ips: vec![config.listen.agent.ip(), config.listen.admin.ip()],
        })?);
        let agent_tls = match &config.tls.own {
            Some(own) => server_config_from_files(&own.cert, &own.key, HTTP2)?,
            None => certs.server_config(HTTP2),
        };
        let token = first_token(&*store, &data_dir.admin_token(), store.clock().now())
            .await
            .map_err(StartError::Token)?;

        let gateway = GatewayId(Id::random().map_err(|e| StartError::NoRandomness(e.to_string()))?);
        let enrolling = tokio::time::Instant::now();
        let position = store
            .enrol(GatewayInfo {
                id: gateway,
                name: config.gateway_name.clone(),
                version: env!("CARGO_PKG_VERSION").into(),
            })
            .await?;
        let metrics = Arc::new(Metrics::new());
        let events = Arc::new(Events::load(store.clone(), store.clock().clone()).await?);
        let registry = Arc::new(Registry::new(
            RegistryOptions {
                gateway,
                memory: GATE_MEMORY,
            },
            store.clock().clone(),
            Arc::clone(&metrics),
            Arc::clone(&events),
        ));
        let watched = Arc::downgrade(&registry);
        metrics.watch_expiry(move || {
            watched
                .upgrade()
                .map_or_else(Vec::new, |registry| seconds_to_expiry(&registry))
        });
        let view = Arc::new(View::new(position.epoch, config.staleness, enrolling));
        let aging = Arc::clone(&view);
        metrics.watch_view(move || (aging.age().as_secs_f64(), aging.epoch()));
        let authenticator = Arc::new(Authenticator::new(
            store.clone(),
            Arc::clone(&view),
            &AuthOptions {
                cache_capacity: config.cache_capacity,
                load_deadline: config.timing.load_deadline,
                expiry_recheck_deadline: config.timing.expiry_recheck_deadline,
            },
            Arc::clone(&metrics),
        ));
        let revocations = Arc::new(Revocations::new(
            store.clone(),
            Arc::clone(&registry),
            Arc::clone(&authenticator),
            Arc::clone(&view),
            Arc::clone(&metrics),
            config.timing.feed_interval,
            position,
        ));
        let instances = Arc::new(Instances::load(store.clone(), config.instances).await?);
        let key_admin = Arc::new(KeyAdmin::new(
            store.clone(),
            Arc::clone(&revocations),
            Arc::clone(&registry),
            Arc::clone(&instances),
            Arc::clone(&events),
            Arc::clone(&metrics),
            config.timing.revoke_wait,
        ));
        let senders = Arc::new(Senders::new(senders::CAPACITY));
        let registrar = Registrar::new(
            Arc::clone(&authenticator),
            Arc::clone(&registry),
            Arc::clone(&instances),
            Arc::clone(&senders),
            Arc::clone(&events),
            Arc::clone(&metrics),
            config.timing.identity_conflict_after,
        );
        let clock = store.clock().clone();
        let rejections = Rejections::new(rejections::CAPACITY, clock).telling(Arc::clone(&events));
        let rejections = Arc::new(rejections);
        let (agent_service, health) = agent_api::service(
            registrar,
            Arc::clone(&metrics),
            Arc::clone(&rejections),
            config.max_message_bytes,
        )
        .await;
        let admin_service = admin_api::service(admin_api::Behind {
            keys: key_admin,
            registry: Arc::clone(&registry),
            instances: Arc::clone(&instances),
            senders,
            events: Arc::clone(&events),
            rejections: Arc::clone(&rejections),
            tokens: Tokens::new(store.clone(), store.clock().clone()),
            gateways: Gateways::new(store.clone(), Arc::clone(&registry)),
        })?;

        let ops_socket = TcpListener::bind(config.listen.ops).await;
        let ops_socket = ops_socket.map_err(|cause| BindError {
            address: config.listen.ops,
            cause,
        })?;
        let admin_limits = Limits {
            max_concurrent_streams: ADMIN_STREAMS,
            ..config.limits.clone()
        };
        let admin = Listener::bind(
            config.listen.admin,
            admin_limits,
            certs.server_config(HTTP2),
            Connections::ignored(),
        )
        .await?;
        let agent = Listener::bind(
            config.listen.agent,
            config.limits.clone(),
            agent_tls,
            Connections::observed(Arc::clone(&metrics), rejections),
        )
        .await?;
        let addresses = Addresses {
            agent: agent.local_addr(),
            admin: admin.local_addr(),
            ops: ops_socket.local_addr().map_err(|cause| BindError {
                address: config.listen.ops,
                cause,
            })?,
        };
        data_dir.announce(
            &addresses,
            config.tls.agent_address.as_ref(),
            config.tls.own.is_some(),
        )?;
        Ok(Self {
            addresses,
            first_start: token == FirstToken::Made,
            parts: Parts {
                gateway,
                ops: Ops::new(metrics, store.clone(), Arc::clone(&view)),
                store,
                ops_socket,
                agent,
                agent_service,
                health,
                admin,
                admin_service,
                certs,
                revocations,
                instances,
                events,
                registry: Arc::clone(&registry),
                expiry: ExpiryTimers::new(Arc::clone(&registry), authenticator),
                stale: StaleWatch::new(registry, view),
                drain_time: config.timing.drain_time,
            },
        })
    }

    /// Where the listeners are bound, with their real ports.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// This start made the admin token: there was none before.
    pub fn first_start(&self) -> bool {
        self.first_start
    }

    /// Serves until `shutdown`, then drains: not ready, no new connections,
    /// sessions ended with UNAVAILABLE spread over the drain time, a hard end.
    ///
    /// # Errors
    /// [`ServeError`] when a part ends by itself; the rest is drained then too.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), ServeError> {
        self.parts.run(shutdown).await
    }
}

impl Parts {
    async fn run(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), ServeError> {
        let drain = CancellationToken::new();
        let stop = CancellationToken::new();
        let mut background = JoinSet::new();
        let part = |name: &'static str, work: BoxFuture| async move {
            work.await;
            name
        };
        let expiry = self.expiry.run(stop.clone());
        let stale = self.stale.run(stop.clone());
        let certs = Arc::clone(&self.certs).keep_renewed(stop.clone());
        let tail = Arc::clone(&self.revocations).run(stop.clone());
        background.spawn(part("the expiry timers", Box::pin(expiry)));
        background.spawn(part("the watch over the view's age", Box::pin(stale)));
        background.spawn(part("the certificate renewal", Box::pin(certs)));
        background.spawn(part("the feed of key changes", Box::pin(tail)));
        let registry = Arc::clone(&self.registry);
        let clock = registry.clock().clone();
        let connected = move || Connected {
            agents: registry.connected(),
            keys: registry.keys_in_use(),
        };
        let events = Arc::clone(&self.events);
        let forgotten = move |agent| {
            let detail = "it was not connected for too long";
            events.note(EventKind::AgentForgotten, None, Some(agent), detail);
        };
        let instances = Arc::clone(&self.instances);
        let instances = instances.run(WRITE_BEHIND, clock, connected, forgotten, stop.clone());
        background.spawn(part("the registrations", Box::pin(instances)));
        let expiries = ExpiryEvents::new(Arc::clone(&self.events), self.store.clone());
        background.spawn(part(
            "the look for expired keys",
            Box::pin(expiries.run(stop.clone())),
        ));
        let events = Arc::clone(&self.events).run(WRITE_BEHIND, stop.clone());
        background.spawn(part("the events", Box::pin(events)));
        let ops = self
            .ops
            .clone()
            .serve(self.ops_socket, stop.clone().cancelled_owned());
        background.spawn(part(
            "the ops listener",
            Box::pin(async move {
                if let Err(error) = ops.await {
                    tracing::error!(%error, "the ops listener failed");
                }
            }),
        ));
        let mut listeners = JoinSet::new();
        let admin = self
            .admin
            .serve(self.admin_service, drain.clone(), self.drain_time);
        let agent = self
            .agent
            .serve(self.agent_service, drain.clone(), self.drain_time);
        listeners.spawn(part("the admin listener", Box::pin(admin)));
        listeners.spawn(part("the agent listener", Box::pin(agent)));
        self.ops.set_serving(true);

        let result = tokio::select! {
            () = shutdown => Ok(()),
            Some(ended) = background.join_next() => Err(ended_early(ended)),
            Some(ended) = listeners.join_next() => Err(ended_early(ended)),
        };

        self.ops.set_serving(false);
        for service in ["", "mpi.v1.CommandService"] {
            self.health
                .set_service_status(service, ServingStatus::NotServing)
                .await;
        }
        drain.cancel();
        while listeners.join_next().await.is_some() {}
        stop.cancel();
        while background.join_next().await.is_some() {}
        if let Err(error) = self.store.leave(self.gateway).await {
            tracing::warn!(%error, "could not sign off from the store");
        }
        result
    }
}

type BoxFuture = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

fn ended_early(ended: Result<&'static str, tokio::task::JoinError>) -> ServeError {
    match ended {
        Ok(name) => ServeError::PartEnded(name),
        Err(error) => ServeError::PartFailed(error.to_string()),
    }
}

fn seconds_to_expiry(registry: &Registry) -> Vec<(KeyId, f64)> {
    let now = registry.clock().now().as_millis();
    let soonest = registry.expiring(EXPIRIES_SHOWN).into_iter();
    soonest
        .map(|(key, at)| (key, (at.as_millis() - now) as f64 / 1000.0))
        .collect()
}
