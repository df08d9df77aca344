//! Who may use the admin API, and what it tells of itself.

use muster::proto::admin::v1 as pb;
use tonic::Code;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::support::TestGateway;

#[tokio::test]
async fn the_admin_api_answers_nothing_without_a_token() {
    let gateway = TestGateway::start().await;
    let other = TestGateway::start().await;
    let (_, key) = gateway.operator().await.key("k").await;
    let token = gateway.file("admin.token");
    let cut_off = &token.trim()[..40];
    for (bad, text) in [
        ("", "no admin token"),
        (key.as_str(), "not an admin token"),
        (cut_off, "damaged or cut off"),
        (other.file("admin.token").trim(), "unknown admin token"),
    ] {
        let stranger = gateway.operator_with(bad).await;
        for status in [
            stranger.show("key_0123456789ABCDEF").await.unwrap_err(),
            stranger
                .sessions()
                .list_sessions(pb::ListSessionsRequest::default())
                .await
                .unwrap_err(),
            stranger
                .gateways()
                .list_gateways(pb::ListGatewaysRequest::default())
                .await
                .unwrap_err(),
        ] {
            assert_eq!(status.code(), Code::Unauthenticated, "{status}");
            assert!(status.message().contains(text), "{status}");
        }
    }
}

#[tokio::test]
async fn gateways_are_listed() {
    let gateway = TestGateway::configured(|config| config.gateway_name = "edge-1".into()).await;
    let operator = gateway.operator().await;
    let (_, key) = operator.key("k").await;
    let _stream = gateway.agent(&key).await.connect().await;
    let request = pb::ListGatewaysRequest::default();
    let answer = operator
        .gateways()
        .list_gateways(request)
        .await
        .unwrap()
        .into_inner();
    let [this] = answer.gateways.as_slice() else {
        panic!("{answer:?}");
    };
    assert!(this.answering);
    assert_eq!((this.name.as_str(), this.live_sessions), ("edge-1", 1));
    assert_eq!(this.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(answer.revision, 1);
}

#[tokio::test]
async fn reflection_names_our_services_to_who_has_a_token() {
    let gateway = TestGateway::start().await;
    let (_, viewer) = gateway.operator().await.token(pb::Role::Viewer).await;
    let viewer = gateway.operator_with(&viewer).await;
    let mut reflection = ServerReflectionClient::new(viewer.client());
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let requests = futures_util::stream::iter([request]);
    let mut answers = reflection
        .server_reflection_info(requests)
        .await
        .unwrap()
        .into_inner();
    let answer = answers.message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("{answer:?}");
    };
    let names: Vec<_> = list.service.iter().map(|s| s.name.as_str()).collect();
    for service in [
        "KeyService",
        "SessionService",
        "GatewayService",
        "TokenService",
    ] {
        assert!(
            names.contains(&format!("muster.admin.v1.{service}").as_str()),
            "{names:?}"
        );
    }
    assert!(
        !names.iter().any(|name| name.starts_with("mpi.")),
        "{names:?}"
    );
}
