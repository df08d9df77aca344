//! Serves, and drains: the life of a gateway once its parts are made.
//!
//! Owns: the order of a stop. Must not know: how the parts were made.
//! Invariant: a part that ends by itself stops the gateway.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::ServeError;
use super::admin_listener::AdminListener;
use super::disk_watch::DiskWatch;
use super::ops_listener::OpsListener;
use super::reload::Reload;
use crate::agent_api;
use crate::control::audit::Audit;
use crate::control::settings::StoreSettings;
use crate::gateway::auth::StoreView;
use crate::gateway::events::{Events, ExpiryEvents};
use crate::gateway::key_feed::KeyFeedFollower;
use crate::gateway::presence::Presence;
use crate::gateway::registrations::{Cleanup, Connected, Instances};
use crate::gateway::sessions::{ExpiryTimers, Registry, StaleWatch};
use crate::net::certs::Certs;
use crate::net::listener::Listener;
use crate::store::{EventKind, GatewayId, Store};

/// Between two writes of registrations, and two looks at those of other gateways.
const WRITE_BEHIND: Duration = Duration::from_secs(1);

/// All that a gateway is made of.
pub(super) struct Parts {
    pub gateway: GatewayId,
    pub store: Arc<dyn Store>,
    pub ops: OpsListener,
    pub agent: Listener,
    pub agent_service: agent_api::Authenticate<Routes>,
    pub health: HealthReporter,
    pub admin: AdminListener,
    pub certs: Arc<Certs>,
    pub reload: Reload,
    pub key_feed: Arc<KeyFeedFollower>,
    pub audit: Arc<Audit>,
    pub instances: Arc<Instances>,
    pub presence: Arc<Presence>,
    pub events: Arc<Events>,
    pub settings: StoreSettings,
    pub registry: Arc<Registry>,
    /// None on Redis.
    pub disk: Option<DiskWatch>,
    pub expiry: ExpiryTimers,
    pub stale: StaleWatch,
    pub view: Arc<StoreView>,
    pub drain_time: Duration,
    /// Cancelled here, when the gateway begins to stop.
    pub drain: CancellationToken,
}

impl Parts {
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), ServeError> {
        let drain = self.drain;
        let stop = CancellationToken::new();
        let mut background = JoinSet::new();
        // A task of its own, so that a panic has its name.
        let part = |name: &'static str, work: BoxFuture| async move {
            let ended = tokio::spawn(work).await;
            (name, ended)
        };
        let expiry = self.expiry.run(stop.clone());
        let stale = self.stale.run(stop.clone());
        let certs = Arc::clone(&self.certs).keep_renewed(stop.clone());
        let reload = self.reload.run(stop.clone());
        let tail = Arc::clone(&self.key_feed).run(stop.clone());
        background.spawn(part("the expiry timers", Box::pin(expiry)));
        background.spawn(part("the watch over the view's age", Box::pin(stale)));
        background.spawn(part("the certificate renewal", Box::pin(certs)));
        background.spawn(part("the reload of files", Box::pin(reload)));
        background.spawn(part("the feed of key changes", Box::pin(tail)));
        let registry = Arc::clone(&self.registry);
        let clock = registry.clock().clone();
        let connected = move || Connected {
            agents: registry.connected(),
            keys: registry.keys_in_use(),
        };
        let others = Arc::clone(&self.presence);
        let elsewhere = async move || others.connected().await.ok();
        let settings = self.settings;
        let limit = async move || {
            let set = settings.instance_cleanup().await;
            set.inspect_err(|error| tracing::warn!(%error, "agents are not forgotten while the setting is unreadable"))
                .ok()
                .map(|set| set.after)
        };
        let events = Arc::clone(&self.events);
        let forgotten = move |agent| {
            let detail = "it was not connected for too long";
            events.note(EventKind::AgentForgotten, None, Some(agent), detail);
        };
        let instances = Arc::clone(&self.instances);
        let instances = instances.run(
            WRITE_BEHIND,
            clock,
            Cleanup {
                connected,
                elsewhere,
                limit,
                forgotten,
            },
            stop.clone(),
        );
        background.spawn(part("the registrations", Box::pin(instances)));
        let expiries = ExpiryEvents::new(Arc::clone(&self.events), self.store.clone());
        background.spawn(part(
            "the look for expired keys",
            Box::pin(expiries.run(stop.clone())),
        ));
        if let Some(disk) = self.disk {
            let disk = disk.run(stop.clone());
            background.spawn(part("the watch over the disk", Box::pin(disk)));
        }
        let events = Arc::clone(&self.events).run(stop.clone());
        background.spawn(part("the events", Box::pin(events)));
        let audit = Arc::clone(&self.audit).run(stop.clone());
        background.spawn(part("the audit trail", Box::pin(audit)));
        let (presence, until) = (self.presence, stop.clone());
        let presence = async move { presence.run(until).await };
        background.spawn(part(
            "what other gateways see of this one",
            Box::pin(presence),
        ));
        let ops = self.ops.ops.clone();
        let ops_listener = self.ops.run(stop.clone());
        background.spawn(part("the ops listener", Box::pin(ops_listener)));
        let mut listeners = JoinSet::new();
        let admin = self.admin.run(drain.clone());
        let agent = self
            .agent
            .serve(self.agent_service, drain.clone(), self.drain_time);
        listeners.spawn(part("the admin listener", Box::pin(admin)));
        listeners.spawn(part("the agent listener", Box::pin(agent)));
        ops.serving(self.view.clone());

        let result = tokio::select! {
            () = shutdown => Ok(()),
            Some(ended) = background.join_next() => Err(ended_early(ended)),
            Some(ended) = listeners.join_next() => Err(ended_early(ended)),
        };

        ops.not_serving("the gateway stops");
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
            tracing::warn!(%error, "could not leave the set of gateways in the store");
        }
        result
    }
}

type BoxFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

fn ended_early(ended: Result<(&'static str, Result<(), JoinError>), JoinError>) -> ServeError {
    match ended {
        Ok((name, Ok(()))) => ServeError::PartEnded(name),
        Ok((name, Err(error))) => ServeError::PartFailed(format!("{name}: {error}")),
        Err(error) => ServeError::PartFailed(error.to_string()),
    }
}
