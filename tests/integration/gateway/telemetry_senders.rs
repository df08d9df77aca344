//! Who uses a key: its telemetry senders and its last use.

use muster::keys::Timestamp;
use muster::proto::admin::v1 as pb;
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use uuid::Uuid;

use crate::support::{Operator, TestGateway, eventually, reason_of, within};

async fn last_use(operator: &Operator, key: &str) -> Option<Timestamp> {
    let shown = operator.show(key).await.unwrap();
    shown
        .last_used_at
        .map(|at| Timestamp::try_from(at).unwrap())
}

/// The senders of a key as `(agent, exports)`; all are on this host.
async fn senders(operator: &Operator, key: &str) -> Vec<(String, u64)> {
    let details = operator.details(key).await.unwrap();
    let senders = details.telemetry_senders;
    assert_eq!(details.telemetry_senders_total, senders.len() as u64);
    let short = |sender: pb::TelemetrySender| {
        assert_eq!(sender.address, "127.0.0.1");
        assert!(sender.first_export.is_some() && sender.last_export.is_some());
        (sender.agent_id, sender.exports)
    };
    senders.into_iter().map(short).collect()
}

#[tokio::test]
async fn accepted_exports_make_senders_and_refused_ones_do_not() {
    let gateway = TestGateway::start().await;
    let operator = gateway.operator().await;
    let (id, key) = operator.key("k").await;
    let (other, other_key) = operator.key("other").await;
    let agent = gateway.agent(&key).await;
    assert!(senders(&operator, &id).await.is_empty());
    agent.join().await.unwrap();
    assert!(senders(&operator, &id).await.is_empty(), "no export yet");
    agent.export(false).await.unwrap();
    agent.export(true).await.unwrap();
    agent.export(true).await.unwrap();
    let seen = [(agent.id.to_string(), 2), (String::new(), 1)];
    assert_eq!(senders(&operator, &id).await, seen);
    let told = async |id: &str| {
        let path = format!("/data-plane-keys/{id}/telemetry-senders");
        gateway.rest().get(&path).await
    };
    let rows = told(&id).await.json();
    assert_eq!(rows["count"], 2, "{rows}");
    assert_eq!(rows["items"][0]["system_id"], agent.id.to_string());
    assert_eq!(rows["items"][0]["exports"], 2);
    assert!(rows["items"][1].get("system_id").is_none(), "{rows}");
    assert_eq!(told(&other).await.json()["count"], 0);
    assert_eq!(told("key_0123456789ABCDEF").await.status, 404);

    operator.revoke(&other).await;
    let refused = agent.with_key(Some(&other_key)).export(true).await;
    assert_eq!(reason_of(&refused.unwrap_err()), "KEY_REVOKED");
    assert!(senders(&operator, &other).await.is_empty());
    operator.revoke(&id).await;
    agent.export(true).await.unwrap_err();
    assert_eq!(senders(&operator, &id).await, seen, "as before the revoke");
    let exports = "muster_telemetry_exports_total{signal=\"metrics\"}";
    assert_eq!(gateway.metric(exports).await, 3.0);
}

/// The key is good when the call begins and ended when its body has come.
#[tokio::test]
async fn an_export_whose_key_ends_while_it_is_read_is_refused() {
    let gateway = TestGateway::start().await;
    let operator = gateway.operator().await;
    let (id, key) = operator.key("k").await;
    let agent = gateway.agent(&key).await;
    let (body, late) = tokio::sync::oneshot::channel::<()>();
    let message = futures_util::stream::once(async {
        late.await.unwrap();
        ExportMetricsServiceRequest::default()
    });
    let request = agent.request(message);
    let mut client = tonic::client::Grpc::new(agent.channel.clone());
    let call = tokio::spawn(async move {
        client.ready().await.unwrap();
        let path = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
        let path = http::uri::PathAndQuery::from_static(path);
        let codec = tonic_prost::ProstCodec::<_, ExportMetricsServiceResponse>::default();
        client.client_streaming(request, path, codec).await
    });
    eventually("the key is accepted", async || {
        last_use(&operator, &id).await.is_some()
    })
    .await;
    operator.revoke(&id).await;
    body.send(()).unwrap();
    let answer = within("the answer", call).await.unwrap();
    assert_eq!(reason_of(&answer.unwrap_err()), "KEY_REVOKED");
    assert!(senders(&operator, &id).await.is_empty());
}

#[tokio::test]
async fn a_crowd_of_senders_is_counted_and_its_newest_are_shown() {
    let gateway = TestGateway::start().await;
    let operator = gateway.operator().await;
    let (id, key) = operator.key("k").await;
    let mut agent = gateway.agent(&key).await;
    for n in 0..105 {
        agent.id = Uuid::from_u128(n);
        agent.export(true).await.unwrap();
    }
    let details = operator.details(&id).await.unwrap();
    assert_eq!(details.telemetry_senders_total, 105);
    assert_eq!(details.telemetry_senders.len(), 100);
    assert_eq!(details.telemetry_senders[0].agent_id, agent.id.to_string());
}

#[tokio::test]
async fn a_last_use_is_set_by_joins_and_exports_and_is_now_while_connected() {
    let gateway = TestGateway::start().await;
    let operator = gateway.operator().await;
    let (joined, joined_key) = operator.key("joined").await;
    let (exported, exported_key) = operator.key("exported").await;
    let (never, never_key) = operator.key("never").await;
    let agent = gateway.agent(&joined_key).await;
    agent.join().await.unwrap();
    agent
        .with_key(Some(&exported_key))
        .export(true)
        .await
        .unwrap();
    assert!(last_use(&operator, &joined).await.is_some());
    assert!(last_use(&operator, &exported).await.is_some());
    assert_eq!(last_use(&operator, &never).await, None);
    // A wrong secret and a key that has ended are no uses.
    let forged = crate::admin_api::bad_input::forge(&never, &joined_key);
    agent.with_key(Some(&forged)).join().await.unwrap_err();
    operator.revoke(&never).await;
    let refused = agent.with_key(Some(&never_key)).join().await;
    assert_eq!(reason_of(&refused.unwrap_err()), "KEY_REVOKED");
    assert_eq!(last_use(&operator, &never).await, None);

    let stream = agent.subscribe().await.unwrap();
    let opened = last_use(&operator, &joined).await;
    eventually("the time goes on with the session", async || {
        last_use(&operator, &joined).await > opened
    })
    .await;
    drop(stream);
    eventually("the session goes", async || {
        operator.show(&joined).await.unwrap().live_sessions == 0
    })
    .await;
    let ended = last_use(&operator, &joined).await;
    assert!(ended.is_some());
    assert_eq!(
        last_use(&operator, &joined).await,
        ended,
        "and stands still"
    );
}
