//! REST beyond keys: instances, agents, sessions, refusals, gateways, tokens,
//! events; and which role each call needs.

use serde_json::{Value, json};

use crate::agent_api::agents::join_with_nginx;
use crate::support::{RestCaller, TestGateway, eventually};

fn column<'a>(body: &'a Value, field: &str) -> Vec<&'a str> {
    let items = body["items"].as_array().unwrap().iter();
    items.map(|row| row[field].as_str().unwrap()).collect()
}

async fn list(rest: &RestCaller, path: &str) -> Value {
    let answer = rest.get(path).await;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.json()
}

#[tokio::test]
async fn instances_filter_sort_and_show() {
    let gateway = TestGateway::start().await;
    let rest = gateway.rest();
    let operator = gateway.operator().await;
    let (id, key) = operator.key("k").await;
    let (_, other_key) = operator.key("other").await;
    let old = gateway.agent(&key).await;
    join_with_nginx(&old, "1.22.1").await;
    let _stream = old.subscribe().await.unwrap();
    let new = gateway.agent(&other_key).await;
    join_with_nginx(&new, "1.27.0").await;

    let all = list(&rest, "/instances").await;
    assert_eq!(
        (all["total"].clone(), all["count"].clone()),
        (json!(2), json!(2))
    );
    let of = |field: &str, values: &str| {
        format!("/instances?filter_fields={field}&filter_ops=IN&filter_values={values}")
    };
    let system = old.id.to_string();
    for (field, value) in [
        ("nginx_version", "1.22.1"),
        ("key_object_id", id.as_str()),
        ("system_id", system.as_str()),
    ] {
        let found = list(&rest, &of(field, value)).await;
        assert_eq!(column(&found, "system_id"), [system.as_str()], "{field}");
        assert_eq!(found["total"], 2);
    }
    let gone = list(&rest, &of("instance_status", "unavailable")).await;
    assert_eq!(column(&gone, "system_id"), [new.id.to_string()]);
    assert_eq!(
        column(&list(&rest, &of("hostname", "host%7Cx")).await, "hostname").len(),
        2
    );

    let sorted = |dir: &str| format!("/instances?sort_fields=status&sort_dir={dir}");
    let up = list(&rest, &sorted("Ascending")).await;
    let mut down = list(&rest, &sorted("Descending")).await;
    down["items"].as_array_mut().unwrap().reverse();
    assert_eq!(up["items"], down["items"]);
    assert_eq!(column(&up, "status"), ["unavailable", "unknown"]);

    let one = &all["items"][0];
    let path = format!("/instances/{}", one["object_id"].as_str().unwrap());
    assert_eq!(&list(&rest, &path).await, one);
    assert!(one["nginx_build"]["version"].is_string());
    assert!(one["nginx_build"].get("plus_release").is_none());
    assert_eq!(rest.get("/instances/inst_x").await.status, 404);
    let keys = list(&rest, &format!("/data-plane-keys/{id}")).await;
    assert_eq!(keys["instances_count"], 1);
}

#[tokio::test]
async fn agents_sessions_refusals_and_gateways_are_shown() {
    let gateway = TestGateway::configured(|config| config.gateway_name = "one".into()).await;
    let rest = gateway.rest();
    let operator = gateway.operator().await;
    let (id, key) = operator.key("k").await;
    let agent = gateway.agent(&key).await;
    let mut stream = agent.connect().await;
    gateway.agent(&key).await.join().await.unwrap();
    gateway
        .agent("dpk_nonsense")
        .await
        .join()
        .await
        .unwrap_err();

    assert_eq!(list(&rest, "/agents").await["count"], 2);
    let connected = list(&rest, "/agents?connected=true").await;
    let system = agent.id.to_string();
    assert_eq!(column(&connected, "system_id"), [system.as_str()]);
    assert_eq!(
        list(&rest, &format!("/agents?key_object_id={id}&ever=true")).await["count"],
        2
    );
    let sheet = list(&rest, &format!("/agents/{system}")).await;
    assert_eq!(sheet["registrations"][0]["key_object_id"], id);
    assert_eq!(rest.get("/agents/x").await.status, 404);

    let sessions = list(&rest, &format!("/sessions?key_object_id={id}")).await;
    assert_eq!(column(&sessions, "gateway_name"), ["one"]);
    let session = format!("/sessions/{}", column(&sessions, "session_id")[0]);
    assert_eq!(rest.call("DELETE", &session, None).await.status, 204);
    stream.end().await;
    assert_eq!(rest.call("DELETE", &session, None).await.status, 404);
    assert_eq!(rest.call("DELETE", "/sessions/x", None).await.status, 404);

    let refused = list(&rest, "/rejections").await;
    assert_eq!(column(&refused, "reason"), ["DAMAGED_KEY"]);
    assert!(!column(&refused, "cure")[0].is_empty());
    assert_eq!(
        list(&rest, &format!("/rejections?key_object_id={id}")).await["count"],
        0
    );
    assert_eq!(rest.get("/rejections?system_id=x").await.status, 400);

    let gateways = list(&rest, "/gateways").await;
    assert_eq!(column(&gateways, "name"), ["one"]);
    let own = format!("/gateways/{}", column(&gateways, "gateway_id")[0]);
    let alive = rest.call("DELETE", &own, None).await;
    assert_eq!(
        (alive.status, alive.error().contains("stop it instead")),
        (409, true)
    );
    let unknown = rest
        .call("DELETE", "/gateways/0123456789ABCDEF", None)
        .await;
    assert_eq!(unknown.status, 404);
}

#[tokio::test]
async fn tokens_are_made_listed_and_revoked() {
    let gateway = TestGateway::start().await;
    let mut rest = gateway.rest();
    let made = json!({"name": "ci", "role": "viewer", "expires_at": "2100-01-01T00:00:00Z"});
    let made = rest.call("POST", "/tokens", Some(made)).await;
    assert_eq!(made.status, 200, "{made:?}");
    let secret = made.json()["token"].as_str().unwrap().to_owned();
    let all = list(&rest, "/tokens").await;
    assert_eq!(all["total"], 2);
    assert!(!all.to_string().contains(&secret));
    let mine = list(&rest, "/tokens/mine").await;
    assert_eq!(
        (mine["role"].clone(), mine["yours"].clone()),
        (json!("admin"), json!(true))
    );
    let last = format!("/tokens/{}", mine["object_id"].as_str().unwrap());
    let refused = rest.call("DELETE", &last, None).await;
    assert_eq!(refused.status, 409, "{refused:?}");

    let admin = rest.token.replace(secret);
    assert_eq!(list(&rest, "/tokens/mine").await["role"], "viewer");
    let held = rest.token.replace(admin.unwrap()).unwrap();
    let one = format!("/tokens/{}", made.json()["object_id"].as_str().unwrap());
    let revoked = rest.call("DELETE", &one, None).await;
    assert_eq!(
        (revoked.status, revoked.json()["status"].clone()),
        (200, json!("revoked"))
    );
    rest.token = Some(held);
    let late = rest.get("/tokens/mine").await;
    assert_eq!(
        (late.status, late.error().contains("was revoked")),
        (401, true)
    );
}

#[tokio::test]
async fn every_call_is_open_to_its_role_and_the_greater_ones_alone() {
    let gateway = TestGateway::start().await;
    let mut rest = gateway.rest();
    let mut holders = Vec::new();
    for role in ["viewer", "operator", "admin"] {
        let body = json!({"name": role, "role": role});
        let made = rest.call("POST", "/tokens", Some(body)).await.json();
        holders.push(made["token"].as_str().unwrap().to_owned());
    }
    // The same roles as the admin gRPC's. Ids that there are none of: 404.
    let key = "/data-plane-keys/key_0000000000000000";
    let calls = [
        ("GET", "/data-plane-keys", 0),
        ("GET", key, 0),
        ("GET", &format!("{key}/revocation"), 0),
        ("GET", &format!("{key}/telemetry-senders"), 0),
        ("GET", "/instances", 0),
        ("GET", "/instances/x", 0),
        ("GET", "/agents", 0),
        ("GET", "/agents/x", 0),
        ("GET", "/sessions", 0),
        ("GET", "/rejections", 0),
        ("GET", "/gateways", 0),
        ("GET", "/audit", 0),
        ("GET", "/events?follow=false", 0),
        ("GET", "/tokens/mine", 0),
        ("PATCH", key, 1),
        ("PUT", &format!("{key}/revoke"), 1),
        ("DELETE", "/sessions/x", 1),
        ("POST", "/data-plane-keys", 2),
        ("PATCH", "/data-plane-keys", 2),
        ("DELETE", key, 2),
        ("DELETE", "/gateways/x", 2),
        ("GET", "/tokens", 2),
        ("POST", "/tokens", 2),
        ("DELETE", "/tokens/x", 2),
        ("GET", "/about", 0),
        ("GET", "/agent-config", 0),
        ("PATCH", "/instances", 2),
        ("DELETE", "/instances/x", 2),
        ("GET", "/settings/instance-cleanup", 0),
        ("PATCH", "/settings/instance-cleanup", 2),
        ("PUT", "/settings/instance-cleanup", 2),
    ];
    let document = rest.at("GET", "/api/openapi.json", None).await.json();
    let described: usize = document["paths"]
        .as_object()
        .unwrap()
        .values()
        .map(|path| {
            path.as_object()
                .unwrap()
                .keys()
                .filter(|key| *key != "parameters")
                .count()
        })
        .sum();
    assert_eq!(described, calls.len(), "a call is missing here");
    for (method, path, least) in calls {
        for (held, token) in holders.iter().enumerate() {
            rest.token = Some(token.clone());
            let answer = rest.call(method, path, None).await;
            if held < least {
                assert_eq!(answer.status, 403, "{method} {path} as {held}: {answer:?}");
                assert!(answer.error().contains("needs the role"), "{answer:?}");
            } else {
                assert!(
                    [200, 400, 404].contains(&answer.status),
                    "{method} {path}: {answer:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn events_are_a_stream_that_goes_on_where_it_broke() {
    let gateway = TestGateway::start().await;
    let rest = gateway.rest();
    let operator = gateway.operator().await;
    let (id, _) = operator.key("k").await;
    operator.key("other").await;
    operator.revoke(&id).await;
    let ended = async |query: &str| rest.get(&format!("/events?follow=false{query}")).await;
    eventually("the revoke's event", async || {
        ended("").await.text.contains("key_revoked")
    })
    .await;
    let all = ended("").await;
    assert!(all.headers.contains("text/event-stream"), "{all:?}");
    let count = |text: &str| text.matches("\ndata: ").count() + text.matches("\ndata:{").count();
    assert!(count(&all.text) >= 3, "{all:?}");
    let of_key = ended(&format!("&key_object_id={id}")).await;
    assert!(count(&of_key.text) < count(&all.text), "{of_key:?}");
    let first = all
        .text
        .lines()
        .find_map(|line| line.strip_prefix("id: "))
        .unwrap();
    let path = "/api/v1/namespaces/default/events?follow=false";
    let rest_of_it = rest.raw("GET", path, &[("last-event-id", first)], "").await;
    assert_eq!(
        count(&rest_of_it.text),
        count(&all.text) - 1,
        "{rest_of_it:?}"
    );
    let bad = rest.raw("GET", path, &[("last-event-id", "x")], "").await;
    assert_eq!(bad.status, 400);
}
