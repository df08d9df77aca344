//! Makes every part of a gateway over an open store, and binds.
//!
//! Owns: which part is given what, and the order of a start. Must not know: how
//! a part does its work, who stops it. Invariant: this gateway enrols before its
//! first load and before the agent listener is bound.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use super::admin_listener::AdminListener;
use super::data_dir::dialled;
use super::disk_watch::DiskWatch;
use super::enrol::{OpenedStore, RedisLogin, Source, StoreConnector};
use super::observer::Connections;
use super::ops_listener::OpsListener;
use super::reload::Reload;
use super::run::Parts;
use super::{Addresses, DataDir, Server, StartError};
use tokio_util::sync::CancellationToken;

use crate::admin_api::{self, About, AdminState};
use crate::agent_api;
use crate::control::audit::Audit;
use crate::control::gateways::Gateways;
use crate::control::instances::InstanceAdmin;
use crate::control::keys::{KeyAdmin, KeyAdminParts};
use crate::control::settings::StoreSettings;
use crate::control::tokens::Tokens;
use crate::gateway::auth::{AuthOptions, Authenticator, StoreView};
use crate::gateway::key_feed::{FollowerParts, KeyFeedFollower};
use crate::gateway::presence::Presence;
use crate::gateway::registrar::{Registrar, RegistrarParts};
use crate::gateway::rejections;
use crate::gateway::rejections::Rejections;
use crate::gateway::sessions::{ExpiryTimers, Registry, RegistryOptions, StaleWatch};
use crate::gateway::telemetry_senders;
use crate::gateway::telemetry_senders::Senders;
use crate::keys::{Id, KeyId};
use crate::metrics::endpoints::Ops;
use crate::metrics::faults;
use crate::metrics::registry::Metrics;
use crate::net::certs::{CertOptions, Certs};
use crate::net::listener::{Limits, Listener};
use crate::server::config::{Config, StorePlace};
use crate::store::{Bound, GatewayId, GatewayInfo};

/// What agents speak.
const HTTP2: &[&[u8]] = &[b"h2"];
/// What operators, their browsers and their tools speak.
const HTTP2_AND_1: &[&[u8]] = &[b"h2", b"http/1.1"];
/// How long a gate remembers an edit and a principal stays good. Well above
/// every handshake and load deadline that may be configured sensibly.
const GATE_MEMORY: Duration = Duration::from_secs(60);
/// Streams on one admin connection: a console and its tools.
const ADMIN_STREAMS: u32 = 100;
/// Keys whose time to expiry `/metrics` prints.
const EXPIRIES_SHOWN: usize = 1000;

pub(super) async fn build(
    config: Config,
    data_dir: &DataDir,
    source: Source,
    lock: Option<File>,
) -> Result<Server, StartError> {
    let certs = Arc::new(Certs::open(&CertOptions {
        data_dir: config.data_dir.clone(),
        ca_dir: config.tls.ca_dir.clone(),
        agent_host: config.tls.agent_address.as_ref().map(|a| a.host.clone()),
        listen_ips: vec![config.listen.agent.ip(), config.listen.admin.ip()],
    })?);
    let agent_tls = match &config.tls.own {
        Some(own) => certs.own_server_config(&own.cert, &own.key, HTTP2)?,
        None => certs.server_config(HTTP2),
    };
    let gateway = GatewayId(Id::random().map_err(|e| StartError::NoRandomness(e.to_string()))?);
    let metrics = Arc::new(Metrics::new());
    let entry = StoreConnector {
        config: &config,
        data_dir,
        certs: &certs,
        gateway: GatewayInfo {
            id: gateway,
            name: config.gateway_name.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
        },
        source,
    };
    // A fault that does not pass by itself is reported before anything is bound.
    let entered = entry.attempt().await?;
    let ops = OpsListener::bind(config.listen.ops, Ops::new(Arc::clone(&metrics))).await?;
    let admin_limits = Limits {
        max_concurrent_streams: ADMIN_STREAMS,
        ..config.limits.clone()
    };
    let admin = Listener::bind(
        config.listen.admin,
        admin_limits,
        certs.server_config(HTTP2_AND_1),
        Connections::ignored(),
    )
    .await?;
    let watched = Arc::clone(&certs);
    metrics.watch_certificates(move || watched.ends_in());
    let admin = AdminListener::serve(admin, config.timing.drain_time);
    data_dir.announce_admin(admin.address())?;
    data_dir.announce_ops(ops.address())?;
    let OpenedStore {
        store,
        redis,
        token,
        enrolling,
        position,
        events,
        instances,
    } = match entered {
        Ok(entered) => entered,
        Err(error) => {
            let waited = entry.wait(error, &ops.ops, &metrics, &admin.door);
            waited.await?
        }
    };
    let events = Arc::new(events);
    let instances = Arc::new(instances);
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
    let view = Arc::new(StoreView::new(position.epoch, config.staleness, enrolling));
    let aging = Arc::clone(&view);
    let (file, bytes) = (data_dir.store(), metrics.store_file_bytes.clone());
    let is_file = config.store.place == StorePlace::Embedded;
    let (lost, panics) = (metrics.log_lines_lost.clone(), metrics.panics.clone());
    metrics.watch_view(move || {
        let size = file
            .metadata()
            .ok()
            .filter(|_| is_file)
            .map(|file| file.len());
        lost.inc_by(faults::log_lines_lost().saturating_sub(lost.get()));
        panics.inc_by(faults::panics().saturating_sub(panics.get()));
        bytes.set(i64::try_from(size.unwrap_or(0)).unwrap_or(i64::MAX));
        (aging.age().as_secs_f64(), aging.epoch())
    });
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
    let key_feed = Arc::new(KeyFeedFollower::new(FollowerParts {
        store: store.clone(),
        registry: Arc::clone(&registry),
        authenticator: Arc::clone(&authenticator),
        view: Arc::clone(&view),
        instances: Arc::clone(&instances),
        events: Arc::clone(&events),
        metrics: Arc::clone(&metrics),
        interval: config.timing.feed_interval,
        position,
    }));
    let clock = store.clock().clone();
    let rejections = Rejections::new(rejections::CAPACITY, clock).telling(Arc::clone(&events));
    let rejections = Arc::new(rejections);
    let presence = Arc::new(Presence::new(
        store.clone(),
        Arc::clone(&registry),
        Arc::clone(&rejections),
        config.gateway_name.clone(),
    ));
    let audit = Arc::new(Audit::new(
        store.clone(),
        store.clock().clone(),
        &config.gateway_name,
        config.audit_keep,
        Arc::clone(&metrics),
    )?);
    let drain = CancellationToken::new();
    let key_admin = Arc::new(KeyAdmin::new(KeyAdminParts {
        store: store.clone(),
        key_feed: Arc::clone(&key_feed),
        instances: Arc::clone(&instances),
        presence: Arc::clone(&presence),
        events: Arc::clone(&events),
        audit: Arc::clone(&audit),
        metrics: Arc::clone(&metrics),
        revoke_wait: config.timing.revoke_wait,
        pending_file: data_dir.pending_revokes(),
        stopping: drain.clone(),
    }));
    // Before agents can come.
    key_admin.take_up_pending().await?;
    let disk = is_file.then(|| DiskWatch {
        dir: data_dir.absolute(),
        min_free: config.store.min_free_disk,
        metrics: Arc::clone(&metrics),
        events: Arc::clone(&events),
    });
    let senders = Arc::new(Senders::new(telemetry_senders::CAPACITY));
    let registrar = Registrar::new(RegistrarParts {
        authenticator: Arc::clone(&authenticator),
        registry: Arc::clone(&registry),
        key_feed: Arc::clone(&key_feed),
        instances: Arc::clone(&instances),
        senders: Arc::clone(&senders),
        events: Arc::clone(&events),
        metrics: Arc::clone(&metrics),
        conflict_after: config.timing.identity_conflict_after,
    });
    let (agent_service, health) = agent_api::service(
        registrar,
        Arc::clone(&metrics),
        Arc::clone(&rejections),
        config.max_message_bytes,
    )
    .await;
    let agent = Listener::bind(
        config.listen.agent,
        config.limits.clone(),
        agent_tls,
        Connections::observed(Arc::clone(&metrics), rejections),
    )
    .await?;
    let dialled = dialled(agent.local_addr(), config.tls.agent_address.as_ref());
    let forget_after = config.instances.forget_unavailable_after;
    let settings = StoreSettings::new(store.clone(), forget_after);
    settings.tell_which_counts().await;
    let admin_service = admin_api::service(AdminState {
        keys: key_admin,
        presence: Arc::clone(&presence),
        instances: Arc::clone(&instances),
        instance_admin: InstanceAdmin::new(
            Arc::clone(&instances),
            Arc::clone(&presence),
            Arc::clone(&events),
        ),
        senders,
        events: Arc::clone(&events),
        tokens: Tokens::new(store.clone(), store.clock().clone()),
        gateways: Gateways::new(store.clone(), Arc::clone(&registry)),
        audit: Arc::clone(&audit),
        about: Arc::new(About {
            gateway_name: config.gateway_name.clone(),
            agent_address: dialled.to_string(),
            agent_address_named: config.tls.agent_address.is_some(),
            store: match config.store.place {
                StorePlace::Embedded => "embedded",
                StorePlace::Redis(_) => "redis",
            },
            data_dir: data_dir.absolute(),
        }),
        settings: settings.clone(),
    })?;

    let reload = Reload {
        certs: Arc::clone(&certs),
        redis: redis.map(|store| Arc::new(RedisLogin::new(&config.store, store))),
        metrics: Arc::clone(&metrics),
        interval: config.timing.reload_interval,
        asked: Arc::default(),
    };
    let addresses = Addresses {
        agent: agent.local_addr(),
        admin: admin.address(),
        ops: ops.address(),
    };
    key_feed.bound(Bound {
        agent: addresses.agent,
        admin: addresses.admin,
    });
    data_dir.announce_agent(&dialled, config.tls.own.is_some())?;
    admin.door.open(admin_service);
    Ok(Server {
        addresses,
        token,
        _lock: lock,
        parts: Parts {
            gateway,
            ops,
            store,
            agent,
            agent_service,
            health,
            admin,
            certs,
            reload,
            key_feed,
            instances,
            presence,
            audit,
            events,
            settings,
            registry: Arc::clone(&registry),
            disk,
            expiry: ExpiryTimers::new(Arc::clone(&registry), authenticator),
            stale: StaleWatch::new(registry, Arc::clone(&view)),
            view,
            drain_time: config.timing.drain_time,
            drain,
        },
    })
}

fn seconds_to_expiry(registry: &Registry) -> Vec<(KeyId, f64)> {
    let now = registry.clock().now().as_millis();
    let soonest = registry.expiring(EXPIRIES_SHOWN).into_iter();
    soonest
        .map(|(key, at)| (key, (at.as_millis() - now) as f64 / 1000.0))
        .collect()
}
