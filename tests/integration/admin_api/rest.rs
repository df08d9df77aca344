//! The REST contract, row by row, and every refusal.

use serde_json::{Value, json};

use crate::support::{RestCaller, TestGateway, eventually, reason_of};

const KEYS: &str = "/data-plane-keys";

async fn added(rest: &RestCaller, name: &str) -> (String, String) {
    let answer = rest.call("POST", KEYS, Some(json!({"name": name}))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let body = answer.json();
    let text = |field: &str| body[field].as_str().unwrap().to_owned();
    (text("object_id"), text("key"))
}

fn names(body: &Value) -> Vec<&str> {
    let items = body["items"].as_array().unwrap().iter();
    items.map(|key| key["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_key_is_added_shown_edited_revoked_and_deleted() {
    let gateway = TestGateway::start().await;
    let rest = gateway.rest();
    let answer = rest.call("POST", KEYS, Some(json!({"name": "web"}))).await;
    let made = answer.json();
    let mut fields: Vec<_> = made.as_object().unwrap().keys().collect();
    // In the order of the answer where a crate of the tests has serde_json keep it.
    fields.sort();
    assert_eq!(fields, ["expires_at", "key", "name", "object_id"]);
    let id = made["object_id"].as_str().unwrap();
    let one = format!("{KEYS}/{id}");
    let mut stream = gateway
        .agent(made["key"].as_str().unwrap())
        .await
        .connect()
        .await;

    let shown = rest.get(&one).await;
    assert_eq!(shown.status, 200);
    let key = shown.json();
    assert_eq!(key["object_id"], id);
    assert_eq!(key["name"], "web");
    assert_eq!(key["revoked"], false);
    assert_eq!(key["status"], "valid");
    assert_eq!(key["live_sessions"], 1);
    assert_eq!(key["control_planes_count"], 0);
    assert!(key.get("revoked_at").is_none());
    assert!(!shown.text.contains(made["key"].as_str().unwrap()));

    let edit = json!({"name": "edge", "expires_at": "2026-12-24T23:59:59Z"});
    let edited = rest.call("PATCH", &one, Some(edit)).await;
    assert_eq!(edited.status, 200, "{edited:?}");
    assert_eq!(edited.json()["name"], "edge");
    assert_eq!(edited.json()["expires_at"], "2026-12-24T23:59:59Z");

    let early = rest.call("DELETE", &one, None).await;
    assert_eq!(
        (early.status, early.error().contains("revoke it first")),
        (409, true)
    );

    let revoked = rest.call("PUT", &format!("{one}/revoke"), None).await;
    assert_eq!(revoked.status, 202, "{revoked:?}");
    assert_eq!(revoked.json()["revoked"], true);
    assert!(revoked.json()["revoked_at"].is_string());
    assert_eq!(reason_of(&stream.end().await), "KEY_REVOKED");
    let told = async || rest.get(&format!("{one}/revocation")).await.json();
    eventually("the gateway has reported it", async || {
        told().await["complete"] == true
    })
    .await;
    let told = told().await;
    assert_eq!(told["gateways"][0]["sessions_closed"], 1, "{told}");
    // Again: harmless.
    let again = rest.call("PUT", &format!("{one}/revoke"), None).await;
    assert_eq!(
        (again.status, again.json()["revoked_at"].clone()),
        (202, told["revoked_at"].clone())
    );

    let late = json!({"expires_at": "2026-12-31T00:00:00Z"});
    let late = rest.call("PATCH", &one, Some(late)).await;
    assert_eq!(
        (late.status, late.error().contains("a revoke is final")),
        (400, true)
    );
    let named = rest.call("PATCH", &one, Some(json!({"name": "old"}))).await;
    assert_eq!(named.status, 200);

    let gone = rest.call("DELETE", &one, None).await;
    assert_eq!((gone.status, gone.text.as_str()), (204, ""));
    for (method, path) in [
        ("GET", one.clone()),
        ("DELETE", one.clone()),
        ("PUT", format!("{one}/revoke")),
        ("GET", format!("{one}/revocation")),
    ] {
        let answer = rest.call(method, &path, None).await;
        assert_eq!(answer.status, 404, "{method} {answer:?}");
        answer.error();
    }
}

#[tokio::test]
async fn both_bases_answer_and_other_namespaces_do_not() {
    let gateway = TestGateway::start().await;
    let rest = gateway.rest();
    for base in ["/api/v1", "/api/nginx/one"] {
        let path = format!("{base}/namespaces/default{KEYS}");
        assert_eq!(rest.at("GET", &path, None).await.status, 200);
        let path = format!("{base}/namespaces/other{KEYS}");
        let answer = rest.at("GET", &path, None).await;
        assert_eq!(answer.status, 404);
        assert!(answer.error().contains("\"other\""), "{answer:?}");
    }
    for path in [
        "/api/v1/nothing",
        "/api/v2/namespaces/default/data-plane-keys",
    ] {
        let answer = rest.at("GET", path, None).await;
        assert_eq!(answer.status, 404, "{path}");
        answer.error();
    }
    let answer = rest.call("PUT", KEYS, None).await;
    assert_eq!(answer.status, 405);
    answer.error();
}

#[tokio::test]
async fn keys_are_found_by_a_part_of_their_name_or_id() {
    let gateway = TestGateway::start().await;
    let rest = gateway.rest();
    let (id, _) = added(&rest, "Web-Z\u{fc}rich").await;
    added(&rest, "web-bern").await;
    let list = async |query: &str| rest.get(&format!("{KEYS}?search={query}")).await;
    let body = list("WEB-").await.json();
    assert_eq!((&body["count"], &body["total"]), (&json!(2), &json!(2)));
    assert_eq!(
        names(&list("web-z%C3%BC").await.json()),
        ["Web-Z\u{fc}rich"]
    );
    assert_eq!(names(&list(&id[6..]).await.json()), ["Web-Z\u{fc}rich"]);
    assert_eq!(names(&list("bern&limit=9").await.json()), ["web-bern"]);
    assert_eq!(list(&"x".repeat(129)).await.status, 400);
}

#[tokio::test]
async fn pages_filters_and_orders_are_the_contracts() {
    let gateway = TestGateway::start().await;
    let rest = gateway.rest();
    let mut ids = Vec::new();
    for name in ["a", "b", "c", "d", "a"] {
        ids.push(added(&rest, name).await.0);
    }
    rest.call("PUT", &format!("{KEYS}/{}/revoke", ids[1]), None)
        .await;

    let list = async |query: &str| rest.get(&format!("{KEYS}?{query}")).await;
    let body = list("limit=2&offset=2").await.json();
    let counts =
        ["total", "count", "start_index", "items_per_page"].map(|f| body[f].as_u64().unwrap());
    assert_eq!(counts, [5, 5, 2, 2]);
    assert_eq!(names(&body), ["b", "c"]);
    let body = list("limit=0").await.json();
    assert_eq!(
        (body["total"].clone(), body["items"].clone()),
        (json!(5), json!([]))
    );
    assert_eq!(names(&list("paginated=false").await.json()).len(), 5);
    assert_eq!(names(&list("offset=9").await.json()).len(), 0);

    let filter = |field: &str, values: &str| {
        format!("filter_fields={field}&filter_ops=IN&filter_values={values}")
    };
    let body = list(&filter("name", "a%7Cb")).await.json();
    assert_eq!(
        (names(&body), body["count"].clone(), body["total"].clone()),
        (vec!["a", "b", "a"], json!(3), json!(5))
    );
    assert_eq!(
        names(&list(&filter("status", "revoked")).await.json()),
        ["b"]
    );
    assert_eq!(
        names(&list(&filter("object_id", &ids[3])).await.json()),
        ["d"]
    );
    let both = format!("{}&{}", filter("name", "a%7Cb"), filter("status", "valid"));
    assert_eq!(names(&list(&both).await.json()), ["a", "a"]);

    assert_eq!(
        names(&list("sort_fields=name").await.json()),
        ["d", "c", "b", "a", "a"]
    );
    let up = list("sort_fields=status&sort_fields=name&sort_dir=Ascending").await;
    assert_eq!(names(&up.json()), ["b", "a", "a", "c", "d"]);

    for (query, field) in [
        ("limt=3", "limt"),
        ("limit=-1", "limit"),
        ("limit=1001", "limit"),
        ("limit=1&limit=2", "limit"),
        ("offset=0", "offset"),
        ("paginated=no", "paginated"),
        ("paginated=false&limit=3", "limit"),
        ("filter_fields=name", "filter_fields"),
        (
            "filter_fields=colour&filter_ops=IN&filter_values=x",
            "filter_fields",
        ),
        (
            "filter_fields=name&filter_ops=LIKE&filter_values=x",
            "filter_ops",
        ),
        ("sort_fields=colour", "sort_fields"),
        ("sort_dir=up", "sort_dir"),
    ] {
        let answer = list(query).await;
        assert_eq!(answer.status, 400, "{query}: {answer:?}");
        assert!(
            answer.error().starts_with(&format!("{field}: ")),
            "{answer:?}"
        );
    }
    let long = filter("name", &"x".repeat(1025));
    assert_eq!(list(&long).await.status, 400);
}

#[tokio::test]
async fn bad_bodies_are_refused_by_field_and_change_nothing() {
    let gateway = TestGateway::start().await;
    let rest = gateway.rest();
    for (body, word) in [
        (json!({}), "name"),
        (json!({"name": ""}), "name"),
        (json!({"name": "x".repeat(129)}), "name"),
        (json!({"name": 7}), "string"),
        (json!({"name": "x", "color": "red"}), "color"),
        (json!({"name": "x", "expires_at": "tomorrow"}), "expires_at"),
        (
            json!({"name": "x", "expires_at": "2020-01-01T00:00:00Z"}),
            "expires_at",
        ),
        (
            json!({"name": "x", "expires_at": "2030-01-01T00:00:00Z"}),
            "expires_at",
        ),
        (json!([]), "body"),
    ] {
        let answer = rest.call("POST", KEYS, Some(body.clone())).await;
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
        assert!(answer.error().contains(word), "{body}: {answer:?}");
    }
    let path = format!("/api/v1/namespaces/default{KEYS}");
    let not_json = rest
        .raw("POST", &path, &[("content-type", "application/json")], "{")
        .await;
    assert_eq!(not_json.status, 400);
    let untold = rest.raw("POST", &path, &[], "{\"name\":\"x\"}").await;
    assert_eq!(
        (untold.status, untold.error().contains("content-type")),
        (400, true)
    );
    let (id, _) = added(&rest, "one").await;
    let empty = rest
        .call("PATCH", &format!("{KEYS}/{id}"), Some(json!({})))
        .await;
    assert_eq!(
        (empty.status, empty.error().contains("nothing to change")),
        (400, true)
    );
    assert_eq!(rest.get(KEYS).await.json()["total"], 1);
}

#[tokio::test]
async fn several_are_deleted_and_each_is_decided_for_itself() {
    let gateway = TestGateway::start().await;
    let rest = gateway.rest();
    let (valid, _) = added(&rest, "valid").await;
    let (revoked, _) = added(&rest, "revoked").await;
    rest.call("PUT", &format!("{KEYS}/{revoked}/revoke"), None)
        .await;
    let row = |id: &str| json!({"object_id": id, "action": "delete"});
    let rows = json!([
        row(&valid),
        row(&revoked),
        row("nonsense"),
        row("key_0000000000000000")
    ]);
    let answer = rest.call("PATCH", KEYS, Some(rows)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let told = answer.json();
    let outcomes: Vec<_> = told
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["outcome"])
        .collect();
    assert_eq!(outcomes, ["failed", "deleted", "invalid", "failed"]);
    assert_eq!(told[1]["name"], "revoked");
    assert!(told[1].get("failure_reason").is_none());
    assert!(
        told[0]["failure_reason"]
            .as_str()
            .unwrap()
            .contains("revoke it first")
    );
    for bad in [
        json!([]),
        json!(vec![row("x"); 51]),
        json!([{"object_id": "x", "action": "revoke"}]),
        json!([{"object_id": "x"}]),
    ] {
        let answer = rest.call("PATCH", KEYS, Some(bad)).await;
        assert_eq!(answer.status, 400, "{answer:?}");
        answer.error();
    }
}

#[tokio::test]
async fn rest_answers_nothing_without_a_good_token() {
    let gateway = TestGateway::start().await;
    let mut rest = gateway.rest();
    let (id, _) = added(&rest, "k").await;
    let good = rest.token.clone().unwrap();
    let mut damaged = good.clone();
    damaged.pop();
    for token in [None, Some("x".to_owned()), Some(damaged)] {
        rest.token = token;
        for (method, path) in [
            ("GET", KEYS.to_owned()),
            ("POST", KEYS.to_owned()),
            ("PATCH", KEYS.to_owned()),
            ("GET", format!("{KEYS}/{id}")),
            ("PATCH", format!("{KEYS}/{id}")),
            ("DELETE", format!("{KEYS}/{id}")),
            ("PUT", format!("{KEYS}/{id}/revoke")),
            ("GET", format!("{KEYS}/{id}/revocation")),
        ] {
            let answer = rest.call(method, &path, None).await;
            assert_eq!(answer.status, 401, "{method} {path}: {answer:?}");
            answer.error();
        }
    }
    // The description is no secret.
    let document = rest.at("GET", "/api/openapi.json", None).await;
    assert_eq!(document.status, 200);
    assert_eq!(document.json()["openapi"], "3.1.0");
}
