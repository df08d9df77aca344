//! The audit trail: every change through any door, with who, what, when, from
//! where and how it went.

use std::sync::Arc;

use muster::proto::admin::v1 as pb;
use serde_json::{Value, json};

use crate::support::{FaultyStore, RedisServer, RestCaller, TestGateway, eventually, three_on};

async fn trail(rest: &RestCaller, query: &str) -> Vec<Value> {
    let answer = rest.get(&format!("/audit?{query}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["items"].as_array().unwrap().clone()
}

/// The newest record.
async fn last(rest: &RestCaller) -> Value {
    trail(rest, "limit=1").await.remove(0)
}

#[tokio::test]
async fn each_change_by_rest_and_by_grpc_is_recorded_alike() {
    let gateway = TestGateway::configured(|config| config.gateway_name = "one".into()).await;
    let rest = gateway.rest();
    let operator = gateway.operator().await;
    assert!(trail(&rest, "").await.is_empty(), "to look is no deed");

    let check = async |action: &str, target: &str, detail: &str, door: &str| {
        let record = last(&rest).await;
        assert_eq!(record["action"], action);
        assert_eq!(record["target"], target, "{record}");
        assert_eq!(record["detail"], detail, "{record}");
        assert_eq!(record["door"], door, "{record}");
        assert_eq!(
            (&record["result"], &record["gateway_name"]),
            (&json!("ok"), &json!("one"))
        );
        let from = record["from"].as_str().unwrap();
        assert!(from.starts_with("127.0.0.1:"), "{record}");
        let actor = record["actor"].as_str().unwrap();
        assert!(actor.contains("tok_"), "{record}");
        assert!(record.get("reason").is_none(), "{record}");
    };
    let mut keys = operator.keys();

    let made = rest
        .call("POST", "/data-plane-keys", Some(json!({"name": "a"})))
        .await
        .json();
    let a = made["object_id"].as_str().unwrap().to_owned();
    check("key.create", &a, "\"a\"", "rest").await;
    let (b, key) = operator.key("b").await;
    check("key.create", &b, "\"b\"", "grpc").await;

    let path = format!("/data-plane-keys/{a}");
    rest.call("PATCH", &path, Some(json!({"name": "a2"}))).await;
    check("key.edit", &a, "name: \"a\" -> \"a2\"", "rest").await;
    let edit = pb::EditKeyRequest {
        object_id: b.clone(),
        name: Some("b2".into()),
        ..Default::default()
    };
    keys.edit_key(edit).await.unwrap();
    check("key.edit", &b, "name: \"b\" -> \"b2\"", "grpc").await;

    let agent = gateway.agent(&key).await;
    let mut stream = agent.connect().await;
    let sessions = rest.get("/sessions").await.json();
    let session = sessions["items"][0]["session_id"]
        .as_str()
        .unwrap()
        .to_owned();
    rest.call("DELETE", &format!("/sessions/{session}"), None)
        .await;
    check("session.disconnect", &session, "", "rest").await;
    stream.end().await;

    rest.call("PUT", &format!("{path}/revoke"), None).await;
    check("key.revoke", &a, "\"a2\"", "rest").await;
    let revoke = pb::RevokeKeyRequest {
        object_id: b.clone(),
        wait: None,
    };
    keys.revoke_key(revoke).await.unwrap();
    check("key.revoke", &b, "\"b2\"", "grpc").await;
    rest.call("DELETE", &path, None).await;
    check("key.delete", &a, "\"a2\"", "rest").await;
    let delete = pb::DeleteKeyRequest {
        object_id: b.clone(),
    };
    keys.delete_key(delete).await.unwrap();
    check("key.delete", &b, "\"b2\"", "grpc").await;

    let token = rest
        .call(
            "POST",
            "/tokens",
            Some(json!({"name": "t", "role": "viewer"})),
        )
        .await;
    let token = token.json();
    let id = token["object_id"].as_str().unwrap();
    check("token.create", id, "\"t\", viewer", "rest").await;
    rest.call("DELETE", &format!("/tokens/{id}"), None).await;
    check("token.revoke", id, "\"t\", viewer", "rest").await;

    let setting = "/settings/instance-cleanup";
    for (hours, detail) in [(12, "not set -> 12 h"), (48, "12 h -> 48 h")] {
        let set = json!({"age_out_duration": hours});
        let answer = rest.call("PATCH", setting, Some(set)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        check("settings.edit", "instance_cleanup", detail, "rest").await;
    }

    // No secret of any of them is in the trail.
    let all = rest.get("/audit").await.text;
    for secret in [
        key.as_str(),
        made["key"].as_str().unwrap(),
        token["token"].as_str().unwrap(),
    ] {
        assert!(!all.contains(secret));
    }
    assert_eq!(trail(&rest, "action=key").await.len(), 8);
    assert_eq!(trail(&rest, &format!("target={b}")).await.len(), 4);
    let listed = operator
        .audit()
        .list_audit(pb::ListAuditRequest::default())
        .await;
    assert_eq!(listed.unwrap().into_inner().records.len(), 13);
}

#[tokio::test]
async fn what_is_refused_is_recorded_with_its_reason() {
    let gateway = TestGateway::start().await;
    let rest = gateway.rest();
    let operator = gateway.operator().await;
    let (id, _) = operator.key("k").await;
    let path = format!("/data-plane-keys/{id}");

    let early = rest.call("DELETE", &path, None).await;
    assert_eq!(early.status, 409);
    let record = last(&rest).await;
    assert_eq!(
        (&record["result"], &record["target"]),
        (&json!("refused"), &json!(id))
    );
    assert_eq!(record["reason"], early.error());

    // A role that is too small: the call never came to name its target.
    let (_, secret) = operator.token(pb::Role::Viewer).await;
    let mut viewer = gateway.rest();
    viewer.token = Some(secret.clone());
    assert_eq!(
        viewer
            .call("PUT", &format!("{path}/revoke"), None)
            .await
            .status,
        403
    );
    let record = last(&rest).await;
    assert_eq!(
        (&record["action"], &record["target"]),
        (&json!("key.revoke"), &json!(id))
    );
    assert_eq!(record["result"], "refused");
    let mut keys = gateway.operator_with(&secret).await.keys();
    keys.delete_keys(pb::DeleteKeysRequest::default())
        .await
        .unwrap_err();
    assert_eq!(last(&rest).await["action"], "key.delete");

    // Of several each ends for itself.
    rest.call("PUT", &format!("{path}/revoke"), None).await;
    let none = "key_0123456789ABCDEF";
    let rows = json!([
        {"object_id": id, "action": "delete"},
        {"object_id": none, "action": "delete"},
        {"object_id": "web", "action": "delete"},
    ]);
    rest.call("PATCH", "/data-plane-keys", Some(rows)).await;
    let three = trail(&rest, "limit=3").await;
    for (record, target, result) in [
        (&three[0], "web", "refused"),
        (&three[1], none, "refused"),
        (&three[2], &id, "ok"),
    ] {
        assert_eq!(
            (&record["target"], &record["result"]),
            (&json!(target), &json!(result))
        );
    }
    let request = pb::DeleteKeysRequest {
        object_ids: vec!["api".into()],
    };
    operator.keys().delete_keys(request).await.unwrap();
    let record = last(&rest).await;
    assert_eq!(
        (&record["target"], &record["result"]),
        (&json!("api"), &json!("refused"))
    );

    // Who has no token did nothing.
    let before = trail(&rest, "").await.len();
    let mut nobody = gateway.rest();
    nobody.token = None;
    assert_eq!(nobody.call("DELETE", &path, None).await.status, 401);
    assert_eq!(trail(&rest, "").await.len(), before);
    for (query, field) in [
        ("result=perhaps", "result"),
        ("since=yesterday", "since"),
        ("limit=0", "limit"),
        ("page_token=x", "page_token"),
        ("who=me", "who"),
    ] {
        let refused = rest.get(&format!("/audit?{query}")).await;
        assert_eq!(refused.status, 400, "{query}");
        assert!(refused.error().contains(field), "{query}");
    }
}

#[tokio::test]
async fn a_record_waits_for_a_store_that_is_away() {
    let store = Arc::new(FaultyStore::new());
    let gateway = TestGateway::over(store.clone(), |_| {}).await;
    let rest = gateway.rest();
    let (id, _) = gateway.operator().await.key("k").await;
    store.set_failing(true);
    let path = format!("/data-plane-keys/{id}");
    assert_eq!(rest.call("DELETE", &path, None).await.status, 500);
    store.set_failing(false);
    eventually("the record is written", async || {
        let deletes = trail(&rest, "action=key.delete").await;
        deletes.len() == 1 && deletes[0]["result"] == "unknown"
    })
    .await;
}

#[tokio::test]
async fn a_pending_revoke_is_recorded_when_it_is_asked_for_and_when_it_is_written() {
    let store = Arc::new(FaultyStore::new());
    let gateway = TestGateway::over(store.clone(), |_| {}).await;
    let rest = gateway.rest();
    let (id, _) = gateway.operator().await.key("k").await;
    store.set_failing(true);
    rest.call("PUT", &format!("/data-plane-keys/{id}/revoke"), None)
        .await;
    store.set_failing(false);
    eventually("both are in the trail", async || {
        let both = trail(&rest, "action=key.revoke").await;
        let results: Vec<_> = both.iter().map(|r| r["result"].as_str().unwrap()).collect();
        results == ["ok", "unknown"]
    })
    .await;
    let both = trail(&rest, "action=key.revoke").await;
    assert_eq!(both[0]["target"], id);
    assert_eq!(both[0]["actor"], both[1]["actor"]);
    let why = both[1]["reason"].as_str().unwrap();
    assert!(why.starts_with("pending"), "{why}");
}

#[tokio::test]
async fn a_caller_that_hangs_up_is_recorded() {
    let store = Arc::new(FaultyStore::new());
    let gateway = TestGateway::over(store.clone(), |_| {}).await;
    let rest = gateway.rest();
    let operator = gateway.operator().await;
    let (id, _) = operator.key("k").await;
    operator.revoke(&id).await;
    let mut parked = store.park_next_load();
    let mut keys = operator.keys();
    let object_id = id.clone();
    let call =
        tokio::spawn(async move { keys.delete_key(pb::DeleteKeyRequest { object_id }).await });
    parked.reached().await;
    call.abort();
    // On the same connection, so the gateway knows by now that he went.
    operator.list_tokens(1).await;
    parked.release();
    eventually("the delete is in the trail", async || {
        let record = last(&rest).await;
        record["action"] == "key.delete" && record["target"] == id && record["result"] == "ok"
    })
    .await;
}

#[tokio::test]
async fn console_sign_ins_are_recorded_also_refused_ones() {
    let gateway = TestGateway::start().await;
    let rest = gateway.rest();
    let operator = gateway.operator().await;
    let (id, token) = operator.token(pb::Role::Viewer).await;
    let sign_in = async |token: &str| {
        let headers = [
            ("content-type", "application/json"),
            ("x-muster-console", "1"),
        ];
        let body = json!({"token": token}).to_string();
        let answer = rest.raw("POST", "/console/session", &headers, &body).await;
        (answer.status, last(&rest).await)
    };
    let (status, record) = sign_in(&token).await;
    assert_eq!(status, 204);
    assert_eq!(
        (&record["action"], &record["door"]),
        (&json!("sign_in"), &json!("console"))
    );
    assert_eq!(record["result"], "ok");
    assert!(record["actor"].as_str().unwrap().contains(&id), "{record}");
    assert!(record["from"].as_str().unwrap().starts_with("127.0.0.1:"));
    let (status, record) = sign_in("mat_guessed").await;
    assert_eq!(status, 401);
    assert_eq!(
        (&record["actor"], &record["result"]),
        (&json!("nobody"), &json!("refused"))
    );
    operator.revoke_token(&id).await.unwrap();
    let (status, record) = sign_in(&token).await;
    assert_eq!(status, 401);
    assert_eq!(
        (&record["actor"], &record["result"]),
        (&json!(id), &json!("refused"))
    );
    assert!(record["reason"].as_str().unwrap().contains("revoked"));
}

#[tokio::test]
async fn no_pasted_secret_gets_into_the_trail() {
    let gateway = TestGateway::start().await;
    let rest = gateway.rest();
    let operator = gateway.operator().await;
    let (_, key) = operator.key("k").await;
    let (_, token) = operator.token(pb::Role::Viewer).await;
    for secret in [&key, &token, &key[21..]] {
        for (method, path) in [
            ("DELETE", format!("/data-plane-keys/{secret}")),
            ("PUT", format!("/data-plane-keys/{secret}/revoke")),
            ("DELETE", format!("/sessions/{secret}")),
            ("DELETE", format!("/gateways/{secret}")),
            ("DELETE", format!("/tokens/{secret}")),
        ] {
            let answer = rest.call(method, &path, None).await;
            assert_eq!(answer.status, 404, "{path}");
        }
        let elsewhere = format!("/api/v1/namespaces/{secret}/data-plane-keys/x");
        rest.at("DELETE", &elsewhere, None).await;
        let named = json!({"name": secret, "expires_at": secret});
        rest.call("POST", "/data-plane-keys", Some(named)).await;
        let rows = json!([{"object_id": secret, "action": "delete"}]);
        rest.call("PATCH", "/data-plane-keys", Some(rows)).await;
        let request = pb::DeleteKeysRequest {
            object_ids: vec![(*secret).to_owned()],
        };
        operator.keys().delete_keys(request).await.unwrap();
        operator.key(secret).await;
    }
    let all = rest.get("/audit?limit=1000").await;
    assert!(
        all.json()["items"].as_array().unwrap().len() >= 20,
        "{all:?}"
    );
    for secret in [&key, &token] {
        assert!(!all.text.contains(&secret[21..41]));
    }
}

#[tokio::test]
async fn several_gateways_show_one_trail_in_one_order() {
    let redis = RedisServer::start();
    let gateways = three_on(&redis).await;
    for (at, gateway) in gateways.iter().cycle().take(9).enumerate() {
        gateway.operator().await.key(&format!("k{at}")).await;
    }
    let shown = trail(&gateways[1].rest(), "").await;
    let order: Vec<_> = shown
        .iter()
        .map(|r| {
            (
                r["detail"].as_str().unwrap(),
                r["gateway_name"].as_str().unwrap(),
            )
        })
        .collect();
    let expected = ["c", "b", "a"].into_iter().cycle();
    let details: Vec<_> = (0..9).rev().map(|at| format!("\"k{at}\"")).collect();
    let expected: Vec<_> = details.iter().map(String::as_str).zip(expected).collect();
    assert_eq!(order, expected);
    let ids: Vec<_> = shown.iter().map(|r| r["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, (1..=9).rev().collect::<Vec<_>>());
}
