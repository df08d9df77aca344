//! What a person finds in long lists of REST: searches, filters, orders, pages.

use muster::proto::mpi::v1 as mpi;
use muster::proto::mpi::v1::resource::Info;
use serde_json::Value;

use crate::support::{RestCaller, Stream, TestAgent, TestGateway};

async fn join_as(agent: &TestAgent, hostname: &str) -> Stream {
    let mut introduction = agent.introduction();
    introduction.resource.as_mut().unwrap().info = Some(Info::HostInfo(mpi::HostInfo {
        hostname: hostname.into(),
        ..Default::default()
    }));
    let request = agent.request(introduction);
    agent.command().create_connection(request).await.unwrap();
    agent.subscribe().await.unwrap()
}

async fn found(rest: &RestCaller, path: &str, field: &str) -> Vec<String> {
    let answer = rest.get(path).await;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    let body = answer.json();
    let items = body["items"].as_array().unwrap().iter();
    let text = |row: &Value| row[field].as_str().unwrap().to_owned();
    items.map(text).collect()
}

#[tokio::test]
async fn agents_are_searched_sorted_and_counted_with_their_sessions() {
    let gateway = TestGateway::start().await;
    let rest = gateway.rest();
    let operator = gateway.operator().await;
    let (_, key) = operator.key("k").await;
    let (_, other) = operator.key("other").await;
    let web = gateway.agent(&key).await;
    let _web = join_as(&web, "Web-1").await;
    let _again = web.with_key(Some(&other)).connect().await;
    let _web_again = join_as(&web, "Web-1").await;
    let db = gateway.agent(&key).await;
    drop(join_as(&db, "db-1").await);

    let web = web.id.to_string();
    for search in ["web", "WEB-1", web.as_str()] {
        let path = format!("/agents?search={search}");
        assert_eq!(found(&rest, &path, "system_id").await, [web.as_str()]);
    }
    let up = "/agents?sort_fields=hostname&sort_dir=Ascending";
    assert_eq!(found(&rest, up, "hostname").await, ["Web-1", "db-1"]);
    let last = "/agents?sort_fields=last_seen";
    let seen = found(&rest, last, "last_seen").await;
    assert!(seen.len() == 2 && seen.is_sorted_by(|one, next| one >= next));
    let page = "/agents?sort_fields=hostname&limit=1&offset=2";
    assert_eq!(found(&rest, page, "hostname").await, ["Web-1"]);
    let sheet = rest.get(&format!("/agents/{web}")).await.json();
    assert_eq!(sheet["live_sessions"], 2, "{sheet}");
    assert_eq!(sheet["connected"], true);

    for (path, word) in [
        (
            "/agents?sort_fields=key",
            "hostname, first_seen or last_seen",
        ),
        ("/agents?search=a&search=b", "given twice"),
        (&format!("/agents?search={}", "x".repeat(129)), "128"),
    ] {
        let refused = rest.get(path).await;
        assert_eq!(refused.status, 400, "{path}: {refused:?}");
        assert!(refused.error().contains(word), "{refused:?}");
    }
}

#[tokio::test]
async fn sessions_are_found_by_agent_gateway_and_host() {
    let gateway = TestGateway::start().await;
    let rest = gateway.rest();
    let operator = gateway.operator().await;
    let (id, key) = operator.key("k").await;
    let (web, db) = (gateway.agent(&key).await, gateway.agent(&key).await);
    let _web = join_as(&web, "web-1").await;
    let _db = join_as(&db, "postgres-1").await;

    let own = found(&rest, "/gateways", "gateway_id").await.remove(0);
    let all = format!("/sessions?key_object_id={id}&gateway_id={own}&sort_fields=opened_at");
    let opened = found(&rest, &all, "opened_at").await;
    assert!(opened.len() == 2 && opened.is_sorted_by(|one, next| one >= next));
    let of_web = format!("/sessions?system_id={}", web.id);
    assert_eq!(found(&rest, &of_web, "hostname").await, ["web-1"]);
    // No word that an id can have by chance: ids are searched, too.
    assert_eq!(
        found(&rest, "/sessions?search=POSTGRES", "system_id").await,
        [db.id.to_string()]
    );
    let elsewhere = rest.get("/sessions?gateway_id=0123456789ABCDEF").await;
    assert_eq!(elsewhere.json()["count"], 0);
    assert_eq!(elsewhere.json()["total"], 2);
    for path in [
        "/sessions?system_id=x",
        "/sessions?gateway_id=x",
        "/sessions?sort_fields=peer",
    ] {
        assert_eq!(rest.get(path).await.status, 400, "{path}");
    }
}

#[tokio::test]
async fn refusals_are_filtered_by_reason_and_instances_searched() {
    let gateway = TestGateway::start().await;
    let rest = gateway.rest();
    let (_, key) = gateway.operator().await.key("k").await;
    for key in ["dpk_nonsense", "nonsense"] {
        let refused = gateway.agent(key).await;
        refused.join().await.unwrap_err();
    }
    let damaged = "/rejections?reason=DAMAGED_KEY";
    assert_eq!(found(&rest, damaged, "reason").await, ["DAMAGED_KEY"]);
    assert_eq!(found(&rest, "/rejections", "reason").await.len(), 2);
    let unknown = rest.get("/rejections?reason=BAD").await;
    assert_eq!(unknown.status, 400);
    assert!(unknown.error().contains("docs/refusals.md"), "{unknown:?}");

    let nginx = gateway.agent(&key).await;
    crate::agent_api::agents::join_with_nginx(&nginx, "1.22.1").await;
    let of = |search: &str| format!("/instances?search={search}");
    for search in ["HOS", "1.22", "nginx.conf"] {
        assert_eq!(found(&rest, &of(search), "object_id").await.len(), 1);
    }
    assert!(found(&rest, &of("1.27"), "object_id").await.is_empty());
}
