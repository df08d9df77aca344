//! Registrations over time: kept, listed whole, forgotten, and written behind a
//! store that is slow or fails.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster::proto::admin::v1 as pb;
use muster::proto::mpi::v1 as mpi;
use muster::server::config::Config;
use muster::store::embedded::EmbeddedStore;
use muster::store::{InstanceStore, KeyStore};
use tonic::Code;
use uuid::Uuid;

use crate::agent_api::agents::{agent, instances, join_with_nginx};
use crate::gateway::events::{events, kinds};
use crate::support::{FaultyStore, Operator, TestAgent, TestGateway, eventually};

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;

/// Agents are forgotten after an hour.
fn an_hour(config: &mut Config) {
    config.instances.forget_unavailable_after = Duration::from_secs(3600);
}

async fn page(operator: &Operator, size: u32, token: String) -> pb::ListAgentsResponse {
    let request = pb::ListAgentsRequest {
        page_size: size,
        page_token: token,
        ..Default::default()
    };
    let answer = operator.agents().list_agents(request).await.unwrap();
    answer.into_inner()
}

/// All agents, each as its id.
async fn listed(operator: &Operator) -> Vec<String> {
    let mut ids = Vec::new();
    let mut token = String::new();
    loop {
        let page = page(operator, 1000, token).await;
        ids.extend(page.agents.into_iter().map(|agent| agent.agent_id));
        token = page.next_page_token;
        if token.is_empty() {
            return ids;
        }
    }
}

#[tokio::test]
async fn an_agent_gone_too_long_is_forgotten_and_a_connected_one_never() {
    let store = EmbeddedStore::in_memory().unwrap();
    let gateway = TestGateway::over(Arc::new(store.clone()), an_hour).await;
    let operator = gateway.operator().await;
    let (first, key) = operator.key("first").await;
    let (second, other) = operator.key("second").await;
    let stays = gateway.agent(&key).await;
    let stream = stays.connect().await;
    let gone = gateway.agent(&key).await;
    join_with_nginx(&gone, "1.22.1").await;
    let gone = gone.with_key(Some(&other));
    join_with_nginx(&gone, "1.22.1").await;
    drop(gone.subscribe().await.unwrap());
    eventually("its session goes", async || {
        operator.list_sessions(&second).await.is_empty()
    })
    .await;

    store.clock().set_shift_millis(120 * MINUTE);
    eventually("it is forgotten", async || {
        kinds(&operator, "")
            .await
            .contains(&"agent_forgotten".to_owned())
    })
    .await;
    let told = events(&operator, "").await.into_iter();
    let told: Vec<_> = told.filter(|e| e.kind == "agent_forgotten").collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].agent_id, gone.id.to_string());

    // Nothing is left of it, under either key, also after a restart.
    let nothing_left = async |operator: &Operator| {
        let request = pb::GetAgentRequest {
            agent_id: gone.id.to_string(),
        };
        let status = operator.agents().get_agent(request).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound);
        assert_eq!(listed(operator).await, [stays.id.to_string()]);
        assert_eq!(instances(operator, "").await, []);
        for (key, agents) in [(&first, 1), (&second, 0)] {
            let key = operator.show(key).await.unwrap();
            assert_eq!(
                (key.current_agents, key.registered_agents),
                (agents, agents)
            );
        }
    };
    nothing_left(&operator).await;
    assert!(agent(&operator, stays.id).await.agent.unwrap().connected);
    drop((stream, operator));
    gateway.stopped().await;
    let gateway = TestGateway::over(Arc::new(store), an_hour).await;
    nothing_left(&gateway.operator().await).await;
}

#[tokio::test]
async fn with_zero_no_agent_is_ever_forgotten() {
    let store = EmbeddedStore::in_memory().unwrap();
    let gateway = TestGateway::over(Arc::new(store.clone()), |config| {
        config.instances.forget_unavailable_after = Duration::ZERO;
    })
    .await;
    let operator = gateway.operator().await;
    let (_, key) = operator.key("k").await;
    let gone = gateway.agent(&key).await;
    join_with_nginx(&gone, "1.22.1").await;
    let connected = gateway.agent(&key).await;
    let stream = connected.connect().await;
    let seen = async || {
        let shown = agent(&operator, connected.id).await.agent.unwrap();
        shown.last_seen.unwrap().seconds
    };
    let before = seen().await;
    store.clock().set_shift_millis(300 * DAY);
    // The look that would have forgotten notes who is connected.
    eventually("a look", async || seen().await - before >= 299 * DAY / 1000).await;
    assert_eq!(listed(&operator).await.len(), 2);
    assert_eq!(agent(&operator, gone.id).await.instances.len(), 1);
    assert!(
        !kinds(&operator, "")
            .await
            .contains(&"agent_forgotten".to_owned())
    );
    drop(stream);
}

/// 5,000 agents, listed page by page while others come and go: of those that are
/// there all the time none is missed and none is met twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_are_whole_while_agents_come_and_go() {
    const STAY: u128 = 5000;
    const GO: u128 = 50;
    let stayer = |n: u128| Uuid::from_u128(4 * n);
    let goer = |n: u128| Uuid::from_u128(400 * n + 1);
    let newcomer = |n: u128| Uuid::from_u128(100 * n + 3);

    let store = EmbeddedStore::in_memory().unwrap();
    let gateway = TestGateway::over(Arc::new(store.clone()), an_hour).await;
    let operator = gateway.operator().await;
    let (id, key) = operator.key("k").await;
    let mut one = gateway.agent(&key).await;
    for n in 0..GO {
        one.id = goer(n);
        join_with_nginx(&one, "1.22.1").await;
    }
    // These are seen 50 minutes later, so that the others go alone.
    store.clock().set_shift_millis(50 * MINUTE);
    let mut joins = Vec::new();
    for part in 0..4 {
        let mut agent = gateway.agent(&key).await;
        joins.push(async move {
            for n in (part..STAY).step_by(4) {
                agent.id = stayer(n);
                join_with_nginx(&agent, "1.22.1").await;
            }
        });
    }
    let begun = Instant::now();
    futures_util::future::join_all(joins).await;
    println!("{STAY} joins over 4 connections: {:?}", begun.elapsed());

    let mut seen = Vec::new();
    let mut token = String::new();
    let mut pages = 0;
    loop {
        // Before, at and after where the list stands.
        for n in (pages % 20..200).step_by(20) {
            one.id = newcomer(n);
            join_with_nginx(&one, "1.22.1").await;
        }
        if pages == 6 {
            store.clock().set_shift_millis(70 * MINUTE);
            eventually("they are forgotten", async || {
                operator.show(&id).await.unwrap().registered_agents as u128 == STAY + 7 * 10
            })
            .await;
        }
        let page = page(&operator, 300, token).await;
        seen.extend(page.agents.into_iter().map(|agent| agent.agent_id));
        pages += 1;
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    let once: BTreeSet<&String> = seen.iter().collect();
    assert_eq!(once.len(), seen.len(), "none twice");
    let met = |count: u128, id: &dyn Fn(u128) -> Uuid| {
        (0..count)
            .filter(|n| once.contains(&id(*n).to_string()))
            .count()
    };
    assert_eq!(met(STAY, &stayer), 5000, "none missed");
    let (gone, new) = (met(GO, &goer), met(200, &newcomer));
    println!("{pages} pages; {gone} of {GO} before they went, {new} of the new ones");
    assert!(
        (1..GO as usize).contains(&gone) && new > 0,
        "they came and went"
    );
}

/// An agent's words may be many: no page of them grows past what a client takes.
#[tokio::test]
async fn agents_with_all_the_words_they_may_have_hide_nobody() {
    // Their pages would be some 5 MiB each; a client takes 4.
    const MANY: u128 = 300;
    let gateway = TestGateway::start().await;
    let operator = gateway.operator().await;
    let (id, key) = operator.key("k").await;
    let mut one = gateway.agent(&key).await;
    for n in 0..MANY {
        one.id = Uuid::from_u128(n);
        join_wordy(&one).await;
    }
    one.id = Uuid::from_u128(u128::MAX);
    join_with_nginx(&one, "1.22.1").await;
    assert_eq!(listed(&operator).await.len() as u128, MANY + 1);
    let mut rows = 0;
    let mut request = pb::ListInstancesRequest {
        key_object_id: id,
        page_size: 1000,
        ..Default::default()
    };
    loop {
        let answer = operator.agents().list_instances(request.clone()).await;
        let page = answer.unwrap().into_inner();
        rows += page.instances.len() as u128;
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    // Of 16 KiB and no more: four of each.
    assert_eq!(rows, MANY * 4 + 1);
}

async fn join_wordy(agent: &TestAgent) {
    let word = |n: u32| format!("{n:03}{}", "🦀".repeat(253));
    let labels = (0..10).map(|n| {
        let value = prost_types::value::Kind::StringValue(word(n));
        (word(n), prost_types::Value { kind: Some(value) })
    });
    let mut resource = agent.resource();
    resource.instances = (0..10)
        .map(|n| mpi::Instance {
            instance_meta: Some(mpi::InstanceMeta {
                instance_id: word(n),
                instance_type: mpi::instance_meta::InstanceType::Nginx.into(),
                version: word(n),
            }),
            instance_runtime: Some(mpi::InstanceRuntime {
                binary_path: word(n),
                config_path: word(n),
                ..Default::default()
            }),
            ..Default::default()
        })
        .collect();
    resource.instances.push(mpi::Instance {
        instance_meta: Some(mpi::InstanceMeta {
            instance_type: mpi::instance_meta::InstanceType::Agent.into(),
            ..Default::default()
        }),
        instance_config: Some(mpi::InstanceConfig {
            config: Some(mpi::instance_config::Config::AgentConfig(
                mpi::AgentConfig {
                    labels: vec![prost_types::Struct {
                        fields: labels.collect(),
                    }],
                    ..Default::default()
                },
            )),
            ..Default::default()
        }),
        ..Default::default()
    });
    let request = mpi::CreateConnectionRequest {
        resource: Some(resource),
        ..Default::default()
    };
    let joined = agent
        .command()
        .create_connection(agent.request(request))
        .await;
    joined.unwrap();
}

/// Joins while a write stands, while it fails, and after: all are answered at
/// once and written in the end, though no agent says anything twice.
#[tokio::test]
async fn a_store_that_is_slow_or_fails_delays_no_join_and_loses_no_row() {
    let store = Arc::new(FaultyStore::new());
    let gateway = TestGateway::over(store.clone(), |_| {}).await;
    let operator = gateway.operator().await;
    let (id, key) = operator.key("k").await;
    let mut agent = gateway.agent(&key).await;
    let mut joined = 0;
    let mut join_ten = async || {
        for _ in 0..10 {
            agent.id = Uuid::from_u128(joined);
            join_with_nginx(&agent, "1.22.1").await;
            joined += 1;
        }
    };
    let mut parked = store.park_next_save();
    join_ten().await;
    parked.reached().await;
    let begun = Instant::now();
    join_ten().await;
    println!("ten joins while a write stands: {:?}", begun.elapsed());
    assert_eq!(instances(&operator, &id).await.len(), 20, "known at once");
    store.set_failing(true);
    parked.release();
    join_ten().await;
    assert_eq!(instances(&operator, &id).await.len(), 30, "known at once");
    assert_eq!(written(&store).await, 0);

    store.set_failing(false);
    eventually("all are written", async || written(&store).await == 30).await;
    drop(operator);
    gateway.stopped().await;
    let gateway = TestGateway::over(store, |_| {}).await;
    let operator = gateway.operator().await;
    assert_eq!(instances(&operator, &id).await.len(), 30);
    assert_eq!(operator.show(&id).await.unwrap().registered_agents, 30);
}

/// Agents that the store has, whatever it is made to answer.
async fn written(store: &FaultyStore) -> usize {
    store.inner.agents(None, 1000).await.unwrap().len()
}
