//! Forgetting instances, by hand and by the setting: every door does and refuses
//! the same, and every gateway sees it.

use std::sync::Arc;

use muster::proto::admin::v1 as pb;
use muster::proto::admin::v1::delete_outcome::Outcome;
use muster::proto::mpi::v1 as mpi;
use muster::store::embedded::EmbeddedStore;
use muster::store::{KeyStore, SettingStore};
use serde_json::{Value, json};
use tonic::Code;

use crate::agent_api::agents::{instances, join_with_nginx};
use crate::support::{Operator, RedisServer, TestAgent, TestGateway, eventually, within};

const INSTANCES: &str = "/instances";
const CLEANUP: &str = "/settings/instance-cleanup";
const HOUR: i64 = 3_600_000;

async fn ids(operator: &Operator) -> Vec<String> {
    let all = instances(operator, "").await.into_iter();
    all.map(|one| one.object_id).collect()
}

async fn delete(operator: &Operator, ids: &[&str]) -> Vec<pb::InstanceDeleteOutcome> {
    let request = pb::DeleteInstancesRequest {
        object_ids: ids.iter().map(|id| (*id).to_owned()).collect(),
    };
    let answer = operator.agents().delete_instances(request).await;
    answer.unwrap().into_inner().outcomes
}

/// The agent reports that it finds no NGINX any more.
async fn report_none(agent: &TestAgent) {
    let request = mpi::UpdateDataPlaneStatusRequest {
        resource: Some(agent.resource()),
        ..Default::default()
    };
    let mut command = agent.command();
    let request = agent.request(request);
    command.update_data_plane_status(request).await.unwrap();
}

#[tokio::test]
async fn an_instance_is_forgotten_unless_its_connected_agent_reports_it() {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let gateway = TestGateway::in_dir(Arc::clone(&dir)).await;
    let (rest, operator) = (gateway.rest(), gateway.operator().await);
    let (key, secret) = operator.key("k").await;
    let agent = gateway.agent(&secret).await;
    join_with_nginx(&agent, "1.22.1").await;
    let stream = agent.subscribe().await.unwrap();
    let id = ids(&operator).await.remove(0);
    let one = format!("{INSTANCES}/{id}");

    // All doors refuse in the same words.
    let refused = rest.call("DELETE", &one, None).await;
    assert_eq!(refused.status, 409, "{refused:?}");
    let words = refused.error();
    assert!(
        words.contains("would come back") && words.contains(&id),
        "{words}"
    );
    let rows = json!([{"object_id": id, "action": "delete"}, {"object_id": "x", "action": "delete"},
        {"object_id": "inst_0123456789ABCDEF", "action": "delete"}]);
    let told = rest.call("PATCH", INSTANCES, Some(rows)).await.json();
    assert_eq!(told[0]["outcome"], "failed");
    assert_eq!(
        (&told[0]["name"], &told[0]["failure_reason"]),
        (&json!("host"), &json!(words))
    );
    assert_eq!(told[1]["outcome"], "invalid");
    let none = told[2]["failure_reason"].as_str().unwrap();
    assert!(none.contains("no such instance"), "{none}");
    let by_grpc = delete(&operator, &[&id, "x", "inst_0123456789ABCDEF"]).await;
    assert_eq!(by_grpc[0].failure_reason, words);
    assert_eq!(by_grpc[1].failure_reason, told[1]["failure_reason"]);
    assert_eq!(by_grpc[2].failure_reason, none);
    let outcomes = by_grpc.iter().map(|row| row.outcome());
    assert!(outcomes.eq([Outcome::Failed, Outcome::Invalid, Outcome::Failed]));
    assert_eq!(ids(&operator).await, [id.as_str()]);

    // It stopped: the agent is connected, and does not report it.
    report_none(&agent).await;
    let gone = rest.call("DELETE", &one, None).await;
    assert_eq!((gone.status, gone.text.as_str()), (204, ""));
    assert_eq!(rest.call("DELETE", &one, None).await.status, 404);
    assert_eq!(rest.get(&one).await.status, 404);
    assert_eq!(
        rest.get(&format!("/data-plane-keys/{key}")).await.json()["instances_count"],
        0
    );
    // Its agent stays, with the key that it joined with.
    let sheet = rest.get(&format!("/agents/{}", agent.id)).await.json();
    assert_eq!(
        (&sheet["connected"], &sheet["instances_count"]),
        (&json!(true), &json!(0))
    );
    assert_eq!(sheet["registrations"][0]["key_object_id"], key.as_str());
    // It starts again, and is there again.
    join_with_nginx(&agent, "1.22.1").await;
    assert_eq!(ids(&operator).await, [id.as_str()]);
    drop(stream);
    eventually("its session has ended", async || {
        rest.get("/sessions").await.json()["total"] == 0
    })
    .await;
    let told = delete(&operator, &[&id]).await;
    assert_eq!(
        (told[0].outcome(), told[0].name.as_str()),
        (Outcome::Deleted, "host")
    );
    eventually("the event of both", async || {
        let events = rest.get("/events?follow=false").await.text;
        events.matches("instance_deleted").count() >= 2
    })
    .await;
    for wrong in [
        json!([]),
        json!(vec![json!({"object_id": "x", "action": "delete"}); 51]),
    ] {
        assert_eq!(rest.call("PATCH", INSTANCES, Some(wrong)).await.status, 400);
    }
    let wrong = json!([{"object_id": id, "action": "revoke"}]);
    assert_eq!(rest.call("PATCH", INSTANCES, Some(wrong)).await.status, 400);

    // The disk has it: also a start over it does not bring it back.
    drop((rest, operator, agent));
    gateway.stopped().await;
    let again = TestGateway::in_dir(dir).await;
    assert!(ids(&again.operator().await).await.is_empty());
}

#[tokio::test]
async fn all_gateways_forget_an_instance_and_a_later_report_brings_it_back() {
    let redis = RedisServer::start();
    let mut gateways = Vec::new();
    for _ in 0..2 {
        let store = Arc::new(redis.store(|_| {}).await);
        gateways.push(TestGateway::over(store, |_| {}).await);
    }
    let [one, two] = &gateways[..] else {
        panic!("two");
    };
    let operators = [one.operator().await, two.operator().await];
    let (_, secret) = operators[0].key("k").await;
    let agent = one.agent(&secret).await;
    join_with_nginx(&agent, "1.22.1").await;
    let mut stream = agent.subscribe().await.unwrap();
    let both = async |count: usize| {
        for operator in &operators {
            eventually("both know the same", async || {
                ids(operator).await.len() == count
            })
            .await;
        }
    };
    both(1).await;
    let id = ids(&operators[1]).await.remove(0);
    // Connected to the one, reported: the other refuses.
    eventually("the session shows on the other", async || {
        two.rest().get("/sessions").await.json()["total"] == 1
    })
    .await;
    let refused = delete(&operators[1], &[&id]).await;
    assert_eq!(refused[0].outcome(), Outcome::Failed, "{refused:?}");
    let session = operators[0].list_sessions("").await.remove(0).session_id;
    let rest = two.rest();
    let ended = rest
        .call("DELETE", &format!("/sessions/{session}"), None)
        .await;
    assert_eq!(ended.status, 204);
    within("the stream's end", stream.end()).await;
    eventually("the other has heard that it is gone", async || {
        delete(&operators[1], &[&id]).await[0].outcome() == Outcome::Deleted
    })
    .await;
    both(0).await;
    let mut back = two.agent(&secret).await;
    back.id = agent.id;
    join_with_nginx(&back, "1.22.1").await;
    both(1).await;
    assert_eq!(ids(&operators[0]).await, [id]);
}

fn hours(body: &Value) -> u64 {
    let fields = body.as_object().unwrap();
    assert_eq!(fields.len(), 1, "the contract has no other field: {body}");
    body["age_out_duration"].as_u64().unwrap()
}

#[tokio::test]
async fn the_cleanup_is_set_by_every_door_within_the_same_bounds() {
    let store = EmbeddedStore::in_memory().unwrap();
    let ninety = |config: &mut muster::server::config::Config| {
        config.instances.forget_unavailable_after = std::time::Duration::from_secs(90 * 60);
    };
    let gateway = TestGateway::over(Arc::new(store.clone()), ninety).await;
    let (rest, operator) = (gateway.rest(), gateway.operator().await);
    let get = async || {
        let request = pb::GetInstanceCleanupRequest {};
        let answer = operator.settings().get_instance_cleanup(request).await;
        let set = answer.unwrap().into_inner().instance_cleanup.unwrap();
        (set.age_out_duration, set.from_store)
    };
    let set = async |hours: Option<u32>| {
        let request = pb::SetInstanceCleanupRequest {
            age_out_duration: hours,
        };
        operator.settings().set_instance_cleanup(request).await
    };
    // As it was started, of which a part of an hour counts as one.
    assert_eq!(hours(&rest.get(CLEANUP).await.json()), 2);
    assert_eq!(get().await, (2, false));
    for (method, wanted) in [("PATCH", 48), ("PUT", 0), ("PUT", 720)] {
        let body = json!({"age_out_duration": wanted});
        let answer = rest.call(method, CLEANUP, Some(body)).await;
        assert_eq!((answer.status, hours(&answer.json())), (200, wanted));
        assert_eq!(hours(&rest.get(CLEANUP).await.json()), wanted);
        assert_eq!(get().await, (u32::try_from(wanted).unwrap(), true));
    }
    set(Some(7)).await.unwrap();
    assert_eq!(hours(&rest.get(CLEANUP).await.json()), 7);

    let too_long = set(Some(721)).await.unwrap_err();
    assert_eq!(too_long.code(), Code::InvalidArgument);
    let refused = rest
        .call("PATCH", CLEANUP, Some(json!({"age_out_duration": 721})))
        .await;
    assert_eq!(
        (refused.status, refused.error()),
        (400, too_long.message().to_owned())
    );
    assert_eq!(set(None).await.unwrap_err().code(), Code::InvalidArgument);
    for wrong in [
        json!({}),
        json!({"age_out_duration": -1}),
        json!({"age_out_duration": 1, "x": 1}),
    ] {
        let refused = rest.call("PATCH", CLEANUP, Some(wrong)).await;
        assert_eq!(refused.status, 400, "{refused:?}");
    }
    assert_eq!(get().await, (7, true));

    // What somebody broke in the store is a fault of ours, and told as such.
    store.set("instance_cleanup", "soon").await.unwrap();
    let broken = rest.get(CLEANUP).await;
    assert_eq!(broken.status, 500);
    assert!(broken.error().contains("set it again"), "{broken:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_setting_counts_on_every_gateway_in_place_of_its_flag() {
    let redis = RedisServer::start();
    let (mut stores, mut gateways) = (Vec::new(), Vec::new());
    for flag in [1, 24] {
        let store = Arc::new(redis.store(|_| {}).await);
        let started = TestGateway::over(store.clone(), |config| {
            let hours = std::time::Duration::from_secs(flag * 3600);
            config.instances.forget_unavailable_after = hours;
        });
        gateways.push(started.await);
        stores.push(store);
    }
    let operator = gateways[0].operator().await;
    let (_, secret) = operator.key("k").await;
    let agent = gateways[0].agent(&secret).await;
    join_with_nginx(&agent, "1.22.1").await;
    let rests = [gateways[0].rest(), gateways[1].rest()];
    let total = async |there: usize| rests[there].get(INSTANCES).await.json()["total"].clone();
    for there in 0..2 {
        eventually("it shows", async || total(there).await == 1).await;
    }
    let never = json!({"age_out_duration": 0});
    let answer = rests[1].call("PATCH", CLEANUP, Some(never)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(rests[0].get(CLEANUP).await.json(), answer.json());
    // Past the first one's flag, which looks once more than it needs: by the sight
    // of one that is connected.
    let here = gateways[0].agent(&secret).await;
    let _stream = here.connect().await;
    for shift in [3, 6] {
        let before = stores[0].clock().now().to_string();
        stores[0].clock().set_shift_millis(shift * HOUR);
        let seen_since = async || {
            let sheet = rests[0].get(&format!("/agents/{}", here.id)).await.json();
            *sheet["last_seen"].as_str().unwrap() > *before
        };
        eventually("it has looked", seen_since).await;
    }
    assert_eq!(total(0).await, 1, "never");
    let two = json!({"age_out_duration": 2});
    assert_eq!(rests[0].call("PUT", CLEANUP, Some(two)).await.status, 200);
    // Past the setting, far from the other's flag: it obeys, too.
    stores[1].clock().set_shift_millis(3 * HOUR);
    for there in 0..2 {
        eventually("it is forgotten", async || total(there).await == 0).await;
    }
}
