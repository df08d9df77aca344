//! What an agent's call and an operator's revoke cost, without any network.
//!
//! Owns: a store in memory, the authenticator and the gates over it, wired as
//! the server does it. Measures through the public API alone.
//! Goal: a verify on a cache hit, SHA-256 and constant-time compare included,
//! in 1 us or less.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use muster::gateway::auth::{
    AuthOptions, Authenticator, Freshness, Principal, Staleness, StoreView,
};
use muster::gateway::events::Events;
use muster::gateway::key_feed::{FollowerParts, KeyFeedFollower};
use muster::gateway::registrar::{Registrar, RegistrarParts};
use muster::gateway::registrations::{InstanceLimits, Instances};
use muster::gateway::sessions::{
    CloseConnection, KnownBy, Registry, RegistryOptions, Scope, SessionGuard, SessionInfo,
};
use muster::gateway::telemetry_senders;
use muster::gateway::telemetry_senders::Senders;
use muster::keys::{Id, KeyId, Kind, Position, PresentedKey, mint};
use muster::metrics::registry::Metrics;
use muster::store::embedded::EmbeddedStore;
use muster::store::{GatewayId, GatewayInfo, GatewayStore, KeyStore, Moment, NewKey};
use tokio::runtime::Runtime;
use uuid::Uuid;

/// Sessions of a gate that ends.
const CROWDS: [u64; 3] = [1, 1_000, 100_000];

/// A line that closes nothing: what a real one does is the listener's cost.
struct NoLine;

impl CloseConnection for NoLine {
    fn close(&self, _: Scope) {}
}

/// A gateway's inside with one key in its cache.
struct Bench {
    runtime: Runtime,
    store: EmbeddedStore,
    position: Position,
    view: Arc<StoreView>,
    authenticator: Arc<Authenticator>,
    instances: Arc<Instances>,
    events: Arc<Events>,
    metrics: Arc<Metrics>,
    gateway: GatewayId,
    /// The key as it comes over the wire.
    text: String,
    key: PresentedKey,
    principal: Principal,
}

impl Bench {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let store = EmbeddedStore::in_memory().unwrap();
        let gateway = GatewayId(Id::random().unwrap());
        let info = GatewayInfo {
            id: gateway,
            name: "bench".into(),
            version: "0".into(),
        };
        let position = runtime.block_on(store.enrol(info)).unwrap();
        let metrics = Arc::new(Metrics::new());
        let options = AuthOptions {
            cache_capacity: 10_000,
            load_deadline: Duration::from_secs(5),
            expiry_recheck_deadline: Duration::from_secs(5),
        };
        let view = Arc::new(StoreView::new(
            position.epoch,
            Staleness::default(),
            Moment::now(),
        ));
        let authenticator = Arc::new(Authenticator::new(
            Arc::new(store.clone()),
            Arc::clone(&view),
            &options,
            Arc::clone(&metrics),
        ));
        let minted = mint(Kind::DataPlaneKey).unwrap();
        let new = NewKey {
            id: KeyId(minted.id),
            digest: minted.digest,
            name: "bench".into(),
            expires_at: None,
        };
        runtime.block_on(store.create(new)).unwrap();
        let instances = runtime
            .block_on(Instances::load(
                Arc::new(store.clone()),
                InstanceLimits::default(),
            ))
            .unwrap();
        let events = Events::load(Arc::new(store.clone()), store.clock().clone());
        let events = runtime.block_on(events).unwrap();
        let text = minted.expose().to_owned();
        let key = PresentedKey::parse(text.as_bytes()).unwrap();
        let principal = runtime
            .block_on(authenticator.authenticate(&key, Freshness::Cached))
            .unwrap();
        Self {
            runtime,
            store,
            position,
            view,
            authenticator,
            instances: Arc::new(instances),
            events: Arc::new(events),
            metrics,
            gateway,
            text,
            key,
            principal,
        }
    }

    /// Empty gates: the only way to end the same key again and again.
    fn registry(&self) -> Arc<Registry> {
        let options = RegistryOptions {
            gateway: self.gateway,
            // One principal serves all: it must not grow too old to admit.
            memory: Duration::from_secs(24 * 3600),
        };
        let clock = self.store.clock().clone();
        Arc::new(Registry::new(
            options,
            clock,
            Arc::clone(&self.metrics),
            Arc::clone(&self.events),
        ))
    }

    fn admit(&self, registry: &Arc<Registry>, agent: u64) -> SessionGuard {
        let info = SessionInfo {
            agent: Uuid::from_u128(agent.into()),
            peer: ([127, 0, 0, 1], 1).into(),
            user_agent: "nginx-agent/v3.5.0".into(),
            connection: Arc::new(NoLine),
        };
        registry.admit(&self.principal, info).unwrap()
    }

    /// A key's gate with so many sessions of as many agents.
    fn crowd(&self, sessions: u64) -> (Arc<Registry>, Vec<SessionGuard>) {
        let registry = self.registry();
        let guards = (0..sessions).map(|agent| self.admit(&registry, agent));
        let guards = guards.collect();
        (registry, guards)
    }

    /// Revokes the key, as the feed's event does.
    fn end(&self, registry: &Registry) {
        let now = registry.clock().now();
        black_box(registry.end_revoked(
            self.key.id,
            now,
            self.principal.expires_at(),
            KnownBy::Store,
        ));
    }

    /// The time of `iterations` runs, inside one `block_on`: entering a runtime
    /// costs as much as what is measured.
    fn timed<F: Future>(&self, iterations: u64, mut run: impl FnMut() -> F) -> Duration {
        self.runtime.block_on(async {
            let started = Instant::now();
            for _ in 0..iterations {
                black_box(run().await);
            }
            started.elapsed()
        })
    }
}

fn parse(text: &str) -> PresentedKey {
    PresentedKey::parse(black_box(text.as_bytes())).unwrap()
}

fn verify(c: &mut Criterion) {
    let bench = Bench::new();
    let (text, auth) = (bench.text.as_str(), &bench.authenticator);
    let mut group = c.benchmark_group("verify");
    group.bench_function("parse", |b| b.iter(|| parse(text)));
    group.bench_function("authenticate", |b| {
        b.iter_custom(|n| bench.timed(n, || auth.authenticate(&bench.key, Freshness::Cached)));
    });
    group.bench_function("parse_and_authenticate", |b| {
        b.iter_custom(|n| {
            bench.timed(n, async || {
                auth.authenticate(&parse(text), Freshness::Cached)
                    .await
                    .unwrap()
            })
        });
    });
    // The whole of what a call costs: also the gate's check, once without a
    // gate (the key has no session) and once with one.
    for (name, sessions) in [("registrar_no_gate", 0), ("registrar", 1)] {
        let (registry, guards) = bench.crowd(sessions);
        let key_feed = KeyFeedFollower::new(FollowerParts {
            store: Arc::new(bench.store.clone()),
            registry: Arc::clone(&registry),
            authenticator: Arc::clone(auth),
            view: Arc::clone(&bench.view),
            instances: Arc::clone(&bench.instances),
            events: Arc::clone(&bench.events),
            metrics: Arc::clone(&bench.metrics),
            interval: Duration::from_secs(1),
            position: bench.position,
        });
        let registrar = Registrar::new(RegistrarParts {
            authenticator: Arc::clone(auth),
            registry,
            key_feed: Arc::new(key_feed),
            instances: Arc::clone(&bench.instances),
            senders: Arc::new(Senders::new(telemetry_senders::CAPACITY)),
            events: Arc::clone(&bench.events),
            metrics: Arc::clone(&bench.metrics),
            conflict_after: Duration::from_secs(30),
        });
        group.bench_function(name, |b| {
            b.iter_custom(|n| {
                bench.timed(n, async || {
                    registrar.authenticate(&parse(text)).await.unwrap()
                })
            });
        });
        drop(guards);
    }
    group.finish();
}

fn admit_and_drop(c: &mut Criterion) {
    let bench = Bench::new();
    let mut group = c.benchmark_group("admit_and_drop");
    for live in [0, 100_000] {
        let (registry, guards) = bench.crowd(live);
        group.bench_function(format!("among_{live}"), |b| {
            b.iter(|| bench.admit(&registry, u64::MAX));
        });
        drop(guards);
    }
    group.finish();
}

fn end_gate(c: &mut Criterion) {
    let bench = Bench::new();
    let mut group = c.benchmark_group("end_gate");
    // Filling a gate takes longer than ending it, and is not measured: few
    // samples and short times keep the whole bounded.
    group
        .sampling_mode(SamplingMode::Flat)
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    for sessions in CROWDS {
        group.throughput(Throughput::Elements(sessions));
        group.bench_function(format!("signal/{sessions}"), |b| {
            b.iter_batched(
                || bench.crowd(sessions),
                |(registry, guards)| {
                    bench.end(&registry);
                    (registry, guards)
                },
                BatchSize::PerIteration,
            );
        });
        // Also what each stream does then, were they all on this one thread.
        group.bench_function(format!("signal_and_close/{sessions}"), |b| {
            b.iter_batched(
                || bench.crowd(sessions),
                |(registry, guards)| {
                    bench.end(&registry);
                    drop(guards);
                    registry
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, verify, admit_and_drop, end_gate);
criterion_main!(benches);
