//! What the lists of REST cost on a gateway with many rows, without any network.
//!
//! Owns: a store in memory with 10,000 keys and 50,000 instances, and the admin
//! service over it, wired as the server does it. Each run is one whole call: token,
//! list, JSON. Goal: 50 ms or less for a page.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use criterion::{Criterion, criterion_group, criterion_main};
use http::Request;
use muster::admin_api::{self, About, AdminService, AdminState};
use muster::control::audit::Audit;
use muster::control::gateways::Gateways;
use muster::control::instances::InstanceAdmin;
use muster::control::keys::{KeyAdmin, KeyAdminParts};
use muster::control::settings::StoreSettings;
use muster::control::tokens::Tokens;
use muster::gateway::auth::{AuthOptions, Authenticator, Freshness, Staleness, StoreView};
use muster::gateway::events::Events;
use muster::gateway::key_feed::{FollowerParts, KeyFeedFollower};
use muster::gateway::presence::Presence;
use muster::gateway::registrations::{InstanceLimits, Instances};
use muster::gateway::rejections;
use muster::gateway::rejections::{Group, Reason, Rejections};
use muster::gateway::sessions::{
    CloseConnection, Registry, RegistryOptions, Scope, SessionGuard, SessionInfo,
};
use muster::gateway::telemetry_senders;
use muster::gateway::telemetry_senders::Senders;
use muster::keys::{Id, KeyId, Kind, PresentedKey, Timestamp, TokenId, mint};
use muster::metrics::registry::Metrics;
use muster::store::embedded::EmbeddedStore;
use muster::store::{
    AgentRecord, GatewayId, GatewayInfo, GatewayStore, InstanceBatch, InstanceRecord,
    InstanceStore, KeyStore, Moment, NewKey, Role, TokenRecord, TokenStore,
};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use uuid::Uuid;

const KEYS: usize = 10_000;
const INSTANCES: u128 = 50_000;

/// A line that closes nothing.
struct NoLine;

impl CloseConnection for NoLine {
    fn close(&self, _: Scope) {}
}

/// In no order, as real ones.
fn agent_id(number: u128) -> Uuid {
    Uuid::from_u128(number.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835))
}

fn agent(number: u128, key: KeyId) -> AgentRecord {
    let at = Timestamp::from_millis(1_700_000_000_000 + i64::try_from(number).unwrap());
    AgentRecord {
        agent: agent_id(number),
        key,
        hostname: format!("host-{number}.example.com"),
        os_version: "ubuntu_jammy".into(),
        agent_version: "v3.11.3".into(),
        in_container: false,
        labels: BTreeMap::new(),
        first_seen: at,
        last_seen: at,
        reported_at: at,
        last_address: std::net::Ipv4Addr::LOCALHOST.into(),
        instances: vec![InstanceRecord {
            reported_id: "7b1a0f2e-2f6c-3b5e-9d3a-5f4f6f1f2a3b".into(),
            version: "1.29.0".into(),
            plus_release: String::new(),
            binary_path: "/usr/sbin/nginx".into(),
            conf_path: "/etc/nginx/nginx.conf".into(),
            health: None,
            reported: true,
            registered_at: at,
            last_reported: at,
        }],
    }
}

/// Keys, and instances under a hundred of them; returns one more key, as it is
/// presented, and one of the hundred.
async fn fill(store: &EmbeddedStore) -> (PresentedKey, KeyId) {
    let mut keys = Vec::new();
    let mut last = None;
    for number in 0..KEYS {
        let minted = mint(Kind::DataPlaneKey).unwrap();
        last = Some(PresentedKey::parse(minted.expose().as_bytes()).unwrap());
        let new = NewKey {
            id: KeyId(minted.id),
            digest: minted.digest,
            name: format!("key {}", number % 977),
            expires_at: None,
        };
        keys.push(store.create(new).await.unwrap().change.change.key());
    }
    let under = keys.iter().cycle().take(100).cycle();
    let agents = (0..INSTANCES).zip(under);
    let agents: Vec<_> = agents.map(|(number, key)| agent(number, *key)).collect();
    for agents in agents.chunks(1_000) {
        let batch = InstanceBatch {
            agents: agents.to_vec(),
            ..InstanceBatch::default()
        };
        store.save_instances(batch).await.unwrap();
    }
    (last.unwrap(), keys[0])
}

/// A gateway's admin API.
struct Bench {
    runtime: Runtime,
    service: AdminService,
    store: EmbeddedStore,
    token: String,
    key: KeyId,
    _sessions: Vec<SessionGuard>,
}

impl Bench {
    fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let store = EmbeddedStore::in_memory().unwrap();
        let made = runtime.block_on(Self::build(&store));
        let (service, token, key, sessions) = made;
        Self {
            runtime,
            service,
            store,
            token,
            key,
            _sessions: sessions,
        }
    }

    async fn build(store: &EmbeddedStore) -> (AdminService, String, KeyId, Vec<SessionGuard>) {
        let all = Arc::new(store.clone());
        let clock = store.clock().clone();
        let gateway = GatewayId(Id::random().unwrap());
        let info = GatewayInfo {
            id: gateway,
            name: "bench".into(),
            version: "0".into(),
        };
        let position = store.enrol(info).await.unwrap();
        let (presented, key) = fill(store).await;
        let metrics = Arc::new(Metrics::new());
        let now = Moment::now();
        let view = Arc::new(StoreView::new(position.epoch, Staleness::default(), now));
        let options = AuthOptions {
            cache_capacity: 10_000,
            load_deadline: Duration::from_secs(5),
            expiry_recheck_deadline: Duration::from_secs(5),
        };
        let authenticator = Authenticator::new(
            all.clone(),
            Arc::clone(&view),
            &options,
            Arc::clone(&metrics),
        );
        let authenticator = Arc::new(authenticator);
        let events = Events::load(all.clone(), clock.clone()).await.unwrap();
        let events = Arc::new(events);
        let limits = InstanceLimits::default();
        let instances = Arc::new(Instances::load(all.clone(), limits).await.unwrap());
        let options = RegistryOptions {
            gateway,
            memory: Duration::from_secs(24 * 3600),
        };
        let registry = Arc::new(Registry::new(
            options,
            clock.clone(),
            Arc::clone(&metrics),
            Arc::clone(&events),
        ));
        let asked = authenticator.authenticate(&presented, Freshness::Cached);
        let principal = asked.await.unwrap();
        // Every second one is connected.
        let sessions = (0..INSTANCES).step_by(2).map(|number| {
            let info = SessionInfo {
                agent: agent_id(number),
                peer: ([127, 0, 0, 1], 1).into(),
                user_agent: "nginx-agent/v3.11.3".into(),
                connection: Arc::new(NoLine),
            };
            registry.admit(&principal, info).unwrap()
        });
        let sessions = sessions.collect();
        let key_feed = Arc::new(KeyFeedFollower::new(FollowerParts {
            store: all.clone(),
            registry: Arc::clone(&registry),
            authenticator,
            view,
            instances: Arc::clone(&instances),
            events: Arc::clone(&events),
            metrics: Arc::clone(&metrics),
            interval: Duration::from_secs(1),
            position,
        }));
        let rejections = Arc::new(Rejections::new(rejections::CAPACITY, clock.clone()));
        for number in 0..rejections::CAPACITY as u128 {
            rejections.record(Group {
                reason: Reason::KeyRevoked,
                key: Some(key),
                agent: Some(agent_id(number)),
                address: [127, 0, 0, 1].into(),
            });
        }
        let presence = Arc::new(Presence::new(
            all.clone(),
            Arc::clone(&registry),
            rejections,
            "bench".into(),
        ));
        let keep = Duration::from_secs(24 * 3600);
        let audit = Audit::new(
            all.clone(),
            clock.clone(),
            "bench",
            keep,
            Arc::clone(&metrics),
        );
        let audit = Arc::new(audit.unwrap());
        let keys = Arc::new(KeyAdmin::new(KeyAdminParts {
            store: all.clone(),
            key_feed,
            instances: Arc::clone(&instances),
            presence: Arc::clone(&presence),
            events: Arc::clone(&events),
            audit: Arc::clone(&audit),
            metrics: Arc::clone(&metrics),
            revoke_wait: Duration::from_secs(5),
            // Nothing is revoked here.
            pending_file: std::env::temp_dir().join("muster-bench.revokes"),
            stopping: CancellationToken::new(),
        }));
        let minted = mint(Kind::AdminToken).unwrap();
        let record = TokenRecord {
            id: TokenId(minted.id),
            name: "bench".into(),
            digest: minted.digest,
            role: Role::Admin,
            created_at: clock.now(),
            expires_at: None,
            revoked_at: None,
        };
        store.put_token(record).await.unwrap();
        let state = AdminState {
            keys,
            presence: Arc::clone(&presence),
            instance_admin: InstanceAdmin::new(
                Arc::clone(&instances),
                Arc::clone(&presence),
                Arc::clone(&events),
            ),
            instances,
            senders: Arc::new(Senders::new(telemetry_senders::CAPACITY)),
            events,
            tokens: Tokens::new(all.clone(), clock),
            gateways: Gateways::new(all.clone(), registry),
            audit,
            about: Arc::new(About {
                gateway_name: "bench".into(),
                agent_address: "localhost:7443".into(),
                agent_address_named: true,
                store: "embedded",
                data_dir: "/".into(),
            }),
            settings: StoreSettings::new(all, Duration::ZERO),
        };
        let service = admin_api::service(state).unwrap();
        (service, minted.expose().to_owned(), key, sessions)
    }

    async fn get(&self, path: &str) -> usize {
        let request = Request::get(format!("/api/v1/namespaces/default{path}"))
            .header("authorization", format!("Bearer {}", self.token))
            .body(Body::empty())
            .unwrap();
        let answer = self.service.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        to_bytes(answer.into_body(), usize::MAX)
            .await
            .unwrap()
            .len()
    }

    async fn rename(&self, number: u64) {
        let edit = muster::store::KeyEdit {
            name: Some(format!("renamed {number}")),
            ..Default::default()
        };
        self.store.edit(self.key, edit).await.unwrap();
    }
}

fn lists(criterion: &mut Criterion) {
    let bench = Bench::new();
    let of = |field: &str, value: &str| {
        format!("filter_fields={field}&filter_ops=IN&filter_values={value}")
    };
    let valid = of("status", "valid");
    let by_key = of("key_object_id", &bench.key.to_string());
    let by_status = of("instance_status", "unavailable");
    let one_id = of("object_id", "inst_0123456789ABCDEF");
    let mut group = criterion.benchmark_group("lists");
    group.sample_size(30);
    for (name, path) in [
        ("keys, first page", "/data-plane-keys".to_owned()),
        (
            "keys, filtered and sorted",
            format!("/data-plane-keys?{valid}&sort_fields=name"),
        ),
        ("instances, first page", "/instances".to_owned()),
        ("instances, by key", format!("/instances?{by_key}")),
        ("instances, by status", format!("/instances?{by_status}")),
        (
            "instances, by status and sorted",
            format!("/instances?{by_status}&sort_fields=hostname"),
        ),
        (
            "instances, sorted, in the middle",
            "/instances?sort_fields=last_reported&offset=25000".to_owned(),
        ),
        ("instances, by their own id", format!("/instances?{one_id}")),
        ("agents, first page", "/agents".to_owned()),
        ("sessions, first page", "/sessions".to_owned()),
        ("rejections, first page", "/rejections".to_owned()),
        ("one key", format!("/data-plane-keys/{}", bench.key)),
    ] {
        group.bench_function(name, |run| {
            run.iter(|| black_box(bench.runtime.block_on(bench.get(&path))));
        });
    }
    group.bench_function("keys, after one has changed", |run| {
        let mut number = 0;
        run.iter_batched(
            || {
                number += 1;
                bench.runtime.block_on(bench.rename(number));
            },
            |()| black_box(bench.runtime.block_on(bench.get("/data-plane-keys"))),
            criterion::BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, lists);
criterion_main!(benches);
