//! Any gateway shows the sessions, agents and refusals of all of them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use muster::proto::admin::v1 as pb;
use muster::store::KeyStore;
use tonic::Code;

use crate::support::{
    Operator, PATIENCE, Process, RedisServer, TestGateway, eventually, operators, three_on,
};

async fn all_sessions(operator: &Operator, page_size: u32) -> Vec<pb::Session> {
    let mut all = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = pb::ListSessionsRequest {
            page_size,
            page_token,
            ..Default::default()
        };
        let page = operator.sessions().list_sessions(request).await;
        let page = page.unwrap().into_inner();
        all.extend(page.sessions);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return all;
        }
    }
}

fn ids(sessions: &[pb::Session]) -> BTreeSet<String> {
    sessions.iter().map(|s| s.session_id.clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_and_counts_are_those_of_all_gateways() {
    const EACH: usize = 7;
    let redis = RedisServer::start();
    let gateways = three_on(&redis).await;
    let operators = operators(&gateways).await;
    let (id, key) = operators[0].key("k").await;
    let (other, other_key) = operators[0].key("other").await;
    let mut streams = Vec::new();
    for gateway in &gateways {
        for _ in 0..EACH {
            streams.push(gateway.agent(&key).await.connect().await);
        }
    }
    let odd = gateways[1].agent(&other_key).await;
    let odd_stream = odd.connect().await;
    let begun = Instant::now();
    for operator in &operators {
        eventually("all sessions of a key show", async || {
            operator.list_sessions(&id).await.len() == 3 * EACH
        })
        .await;
    }
    println!("sessions show on all gateways after {:?}", begun.elapsed());
    for operator in &operators {
        let all = all_sessions(operator, 4).await;
        assert_eq!(all.len(), 3 * EACH + 1, "none twice, none missed");
        assert_eq!(ids(&all).len(), all.len());
        assert!(all.iter().map(|s| &s.session_id).is_sorted());
        let names: BTreeSet<_> = all.iter().map(|s| s.gateway_name.as_str()).collect();
        assert_eq!(names, BTreeSet::from(["a", "b", "c"]));
        assert_eq!(operator.show(&id).await.unwrap().live_sessions, 21);
        assert_eq!(operator.show(&other).await.unwrap().live_sessions, 1);
    }
    drop(odd_stream);
    drop(streams.split_off(EACH));
    for operator in &operators {
        eventually("those that left are gone", async || {
            all_sessions(operator, 100).await.len() == EACH
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_can_be_ended_from_another_gateway() {
    let redis = RedisServer::start();
    let gateways = three_on(&redis).await;
    let operators = operators(&gateways).await;
    let (id, key) = operators[0].key("k").await;
    let mut stream = gateways[2].agent(&key).await.connect().await;
    eventually("it shows on another", async || {
        operators[0].list_sessions(&id).await.len() == 1
    })
    .await;
    let session_id = operators[0].list_sessions(&id).await.remove(0).session_id;
    let disconnect = async |session_id: &str| {
        let request = pb::DisconnectSessionRequest {
            session_id: session_id.into(),
        };
        operators[0].sessions().disconnect_session(request).await
    };
    let ended = disconnect(&session_id).await.unwrap().into_inner();
    assert!(ended.closed, "{ended:?}");
    assert_eq!(stream.end().await.code(), Code::Unavailable);
    let gone = disconnect(&session_id).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound, "{gone}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_those_of_all_gateways() {
    let redis = RedisServer::start();
    let gateways = three_on(&redis).await;
    let operators = operators(&gateways).await;
    let (id, key) = operators[0].key("k").await;
    operators[0].revoke(&id).await;
    for (times, gateway) in gateways.iter().enumerate() {
        let agent = gateway.agent(&key).await;
        for _ in 0..=times {
            agent.join().await.unwrap_err();
        }
    }
    for operator in &operators {
        eventually("the refusals of all show, with their counts", async || {
            let mut counts: Vec<_> = (operator.list_rejections().await.into_iter())
                .map(|r| (r.gateway_name, r.count, r.reason))
                .collect();
            counts.sort();
            let expected = [("a", 1), ("b", 2), ("c", 3)];
            counts == expected.map(|(name, n)| (name.into(), n, "KEY_REVOKED".into()))
        })
        .await;
    }
    // Page by page, newest first.
    let mut request = pb::ListRejectionsRequest {
        page_size: 1,
        ..Default::default()
    };
    let mut names = Vec::new();
    loop {
        let mut client = operators[0].rejections();
        let page = client.list_rejections(request.clone()).await;
        let page = page.unwrap().into_inner();
        names.extend(page.rejections.into_iter().map(|r| r.gateway_name));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(names, ["c", "b", "a"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn presence_lost_by_the_store_is_published_again() {
    let redis = RedisServer::start();
    let gateways = three_on(&redis).await;
    let operators = operators(&gateways).await;
    let (id, key) = operators[0].key("k").await;
    let _stream = gateways[0].agent(&key).await.connect().await;
    let shows = async || operators[1].list_sessions(&id).await.len() == 1;
    eventually("it shows", &shows).await;
    let mut raw = redis.raw().await;
    let mut keys = redis::cmd("KEYS");
    keys.arg("{muster}:board:*");
    let lists: Vec<String> = keys.query_async(&mut raw).await.unwrap();
    assert!(!lists.is_empty());
    let mut del = redis::cmd("DEL");
    let () = del.arg(&lists).query_async(&mut raw).await.unwrap();
    eventually("it shows again", &shows).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_is_forgotten_by_all_and_one_that_is_connected_anywhere_by_none() {
    const HOUR: i64 = 3_600_000;
    let redis = RedisServer::start();
    let (mut stores, mut gateways) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        let store = Arc::new(redis.store(|_| {}).await);
        let started = TestGateway::over(store.clone(), |config| {
            config.instances.forget_unavailable_after = Duration::from_secs(3_600);
        });
        gateways.push(started.await);
        stores.push(store);
    }
    let operators = operators(&gateways).await;
    let (_, key) = operators[0].key("k").await;
    let gone = gateways[0].agent(&key).await;
    gone.join().await.unwrap();
    let stays = gateways[1].agent(&key).await;
    let _stream = stays.connect().await;
    let agents = async |operator: &Operator| {
        let request = pb::ListAgentsRequest::default();
        let page = operator.agents().list_agents(request).await.unwrap();
        let agents = page.into_inner().agents.into_iter();
        agents.map(|agent| agent.agent_id).collect::<BTreeSet<_>>()
    };
    for operator in &operators {
        eventually("both show on both", async || {
            agents(operator).await.len() == 2
        })
        .await;
        eventually("the session shows on both", async || {
            all_sessions(operator, 9).await.len() == 1
        })
        .await;
    }
    // The gateway that the connected one is not on looks first.
    stores[0].clock().set_shift_millis(2 * HOUR);
    let left = BTreeSet::from([stays.id.to_string()]);
    for operator in &operators {
        eventually("one is left", async || agents(operator).await == left).await;
    }
    stores[1].clock().set_shift_millis(2 * HOUR);
    eventually("its sight is written", async || {
        let request = pb::GetAgentRequest {
            agent_id: stays.id.to_string(),
        };
        let agent = operators[0].agents().get_agent(request).await.unwrap();
        let seen = agent.into_inner().agent.unwrap().last_seen.unwrap();
        let seen = SystemTime::try_from(seen).unwrap();
        seen > SystemTime::now() + Duration::from_secs(3_600)
    })
    .await;
    assert_eq!(agents(&operators[0]).await, left);
}

/// Real processes: one is killed, and leaves no ghosts.
#[tokio::test]
async fn a_dead_gateway_leaves_no_ghosts() {
    let redis = RedisServer::start();
    let folder = tempfile::tempdir().unwrap();
    let (url, ca) = (redis.url(), folder.path().join("ca"));
    let flags = ["--store", &url, "--ca-dir", ca.to_str().unwrap()];
    let start = async |name: &str| {
        let flags = [&["--gateway-name", name], &flags[..]].concat();
        Process::start(&folder.path().join(name), &flags).await
    };
    let stays = start("stays").await;
    let mut dies = start("dies").await;
    let operator = stays.operator().await;
    let (id, key) = operator.key("k").await;
    let agent = dies.agent(&key).await;
    let _stream = agent.connect().await;
    let _other = stays.agent(&key).await.connect().await;
    eventually("both show", async || {
        operator.list_sessions(&id).await.len() == 2
    })
    .await;
    dies.kill().await;
    let died = Instant::now();
    loop {
        if operator.list_sessions(&id).await.len() == 1 {
            break;
        }
        // Ten seconds, and two for a busy machine.
        assert!(died.elapsed() < Duration::from_secs(12), "a ghost");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!(
        "a dead gateway's session is gone after {:?}",
        died.elapsed()
    );
    assert_eq!(operator.show(&id).await.unwrap().live_sessions, 1);
    let request = pb::ListGatewaysRequest::default();
    let list = operator.gateways().list_gateways(request).await.unwrap();
    for gateway in list.into_inner().gateways {
        let (alive, age) = (gateway.name == "stays", gateway.view_age_milliseconds);
        assert_eq!(gateway.unreachable, !alive, "{gateway:?}");
        assert!(!gateway.agent_address.is_empty(), "{gateway:?}");
        assert_eq!(age < 5_000, alive, "{age}");
    }
    // It is named in a revoke, and in what is asked of it later.
    let outcome = operator.revoke_within(&id, Duration::ZERO).await;
    let told = operator.details(&id).await.unwrap().revocation.unwrap();
    assert!(!outcome.complete && !told.complete);
    for gateways in [outcome.gateways, told.gateways] {
        for gateway in gateways {
            let alive = gateway.gateway_name == "stays";
            assert_eq!(gateway.unreachable_since.is_none(), alive, "{gateway:?}");
            assert!(gateway.ends_by.is_none(), "best effort: {gateway:?}");
        }
    }
    stays.stop(PATIENCE).await;
}

/// In strict mode, it is said when an unreachable gateway has ended its sessions.
#[tokio::test]
async fn a_strict_gateway_that_is_not_reached_ends_its_sessions_by_a_known_time() {
    let redis = RedisServer::start();
    let folder = tempfile::tempdir().unwrap();
    let (url, ca) = (redis.url(), folder.path().join("ca"));
    let flags = ["--store", &url, "--ca-dir", ca.to_str().unwrap()];
    let strict = [&flags[..], &["--staleness", "strict"]].concat();
    let stays = Process::start(&folder.path().join("a"), &flags).await;
    let mut dies = Process::start(&folder.path().join("b"), &strict).await;
    let operator = stays.operator().await;
    let (id, _) = operator.key("k").await;
    dies.kill().await;
    let outcome = operator.revoke_within(&id, Duration::ZERO).await;
    let by: Vec<_> = outcome.gateways.iter().filter_map(|g| g.ends_by).collect();
    let [by] = by.as_slice() else {
        panic!("{outcome:?}");
    };
    let by = SystemTime::try_from(*by).unwrap();
    // 60 s and 10 s of spread, from its last heartbeat.
    let left = by.duration_since(SystemTime::now()).unwrap();
    assert!((50..=71).contains(&left.as_secs()), "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_gateway_lists_its_own_presence() {
    let gateway = TestGateway::start().await;
    let operator = gateway.operator().await;
    let (id, key) = operator.key("k").await;
    let _stream = gateway.agent(&key).await.connect().await;
    assert_eq!(operator.list_sessions(&id).await.len(), 1);
    let request = pb::DisconnectSessionRequest {
        session_id: "0123456789ABCDEF-1".into(),
    };
    let unknown = operator.sessions().disconnect_session(request).await;
    assert_eq!(unknown.unwrap_err().code(), Code::NotFound);
}
