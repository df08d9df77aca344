//! Each line of "bad input" that an agent can cause, and what it is told.

use std::sync::Arc;

use bytes::Bytes;
use muster::proto::mpi::v1 as mpi;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Status};

use crate::support::{FaultyStore, TestGateway, reason_of, within};

/// Joins with these bytes as the `authorization` value.
async fn join_with(gateway: &TestGateway, authorization: Option<Bytes>) -> Status {
    let agent = gateway.agent("unused").await.with_key(None);
    let mut request = agent.request(agent.introduction());
    if let Some(bytes) = authorization {
        let value = http::HeaderValue::from_maybe_shared(bytes).unwrap();
        let mut headers = std::mem::take(request.metadata_mut()).into_headers();
        headers.insert("authorization", value);
        *request.metadata_mut() = tonic::metadata::MetadataMap::from_headers(headers);
    }
    let answer = within("a join", agent.command().create_connection(request)).await;
    answer.expect_err("a bad credential was let in")
}

#[tokio::test]
async fn credentials_that_are_none_are_told_apart_by_their_shape() {
    let gateway = TestGateway::start().await;
    let (_, key) = gateway.operator().await.key("k").await;
    let cut_off = &key[..key.len() - 1];
    let mut damaged = key.clone().into_bytes();
    damaged[30] = if damaged[30] == b'x' { b'y' } else { b'x' };
    let cases: [(Option<Vec<u8>>, &str, &str); 8] = [
        (
            None,
            "NO_KEY",
            "no data plane key: set command.auth.tokenpath or token",
        ),
        (Some(b"".to_vec()), "NO_KEY", "no data plane key"),
        (
            Some(b"hunter2".to_vec()),
            "NOT_A_KEY",
            "not a data plane key (expected dpk_…); key_… is a key's id, not the key",
        ),
        (
            Some(b"key_0123456789ABCDEF".to_vec()),
            "NOT_A_KEY",
            "key_… is a key's id, not the key",
        ),
        (
            Some(vec![b'k'; 10_240]),
            "NOT_A_KEY",
            "not a data plane key",
        ),
        (
            Some("dpk_ключ".as_bytes().to_vec()),
            "DAMAGED_KEY",
            "data plane key is damaged or cut off",
        ),
        (
            Some(cut_off.as_bytes().to_vec()),
            "DAMAGED_KEY",
            "data plane key is damaged or cut off",
        ),
        (
            Some(damaged),
            "DAMAGED_KEY",
            "data plane key is damaged or cut off",
        ),
    ];
    for (value, reason, text) in cases {
        let status = join_with(&gateway, value.map(Bytes::from)).await;
        assert_eq!(status.code(), Code::Unauthenticated, "{status}");
        assert_eq!(reason_of(&status), reason);
        assert!(status.message().contains(text), "{status}");
        assert!(!status.message().contains("hunter2"), "echoed: {status}");
    }
}

#[tokio::test]
async fn an_unknown_id_and_a_wrong_secret_look_the_same() {
    let gateway = TestGateway::start().await;
    let other = TestGateway::start().await;
    let operator = gateway.operator().await;
    // A key of another gateway: well-formed, unknown here.
    let (_, unknown) = other.operator().await.key("elsewhere").await;
    let (id, _) = operator.key("here").await;
    let wrong_secret = forge(&id, &unknown);
    let mut answers = Vec::new();
    for key in [&unknown, &wrong_secret] {
        let status = gateway.agent(key).await.join().await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
        assert!(status.message().contains("muster keys create"), "{status}");
        answers.push((
            status.message().to_owned(),
            status.details().to_vec(),
            reason_of(&status),
        ));
    }
    assert_eq!(answers[0], answers[1]);
}

/// A well-formed key with the id of one key and the secret of another.
pub fn forge(id: &str, secret_of: &str) -> String {
    const BASE62: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut key = format!("dpk_{}_{}", &id[4..], &secret_of[21..64]);
    let mut rest = crc32fast::hash(key.as_bytes()) as usize;
    let mut sum = Vec::new();
    for _ in 0..6 {
        sum.insert(0, BASE62[rest % 62]);
        rest /= 62;
    }
    key.push_str(std::str::from_utf8(&sum).unwrap());
    key
}

#[tokio::test]
async fn pasted_noise_around_a_key_is_tolerated() {
    let gateway = TestGateway::start().await;
    let (_, key) = gateway.operator().await.key("k").await;
    for pasted in [
        format!("Bearer {key}"),
        format!("\"{key}\""),
        format!(" {key} "),
    ] {
        gateway.agent(&pasted).await.join().await.unwrap();
    }
}

#[tokio::test]
async fn the_resource_id_must_be_the_agents_uuid() {
    let gateway = TestGateway::start().await;
    let (_, key) = gateway.operator().await.key("k").await;
    let agent = gateway.agent(&key).await;
    let other = uuid::Uuid::nil().to_string();
    for (id, text) in [
        ("", "resource.resource_id is missing"),
        ("host-7", "resource.resource_id is not a UUID"),
        (other.as_str(), "differs from the uuid metadata"),
    ] {
        let mut message = agent.introduction();
        message.resource.as_mut().unwrap().resource_id = id.into();
        let status = agent
            .command()
            .create_connection(agent.request(message))
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert!(status.message().contains(text), "{status}");
    }
    let status = agent
        .command()
        .create_connection(agent.request(mpi::CreateConnectionRequest::default()))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    for bad in [None, Some("host-7")] {
        let mut request = agent.request(agent.introduction());
        request.metadata_mut().remove("uuid");
        if let Some(bad) = bad {
            request.metadata_mut().insert("uuid", bad.parse().unwrap());
        }
        let status = agent
            .command()
            .create_connection(request)
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains("uuid metadata"), "{status}");
    }
}

#[tokio::test]
async fn a_message_over_the_limit_is_out_of_range() {
    let gateway = TestGateway::start().await;
    let (_, key) = gateway.operator().await.key("k").await;
    let agent = gateway.agent(&key).await;
    let mut message = agent.introduction();
    message.message_meta.as_mut().unwrap().message_id = "x".repeat(4 << 20);
    let status = agent
        .command()
        .create_connection(agent.request(message))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status}");
    agent.join().await.expect("the connection goes on");
}

#[tokio::test]
async fn every_call_but_health_wants_a_key() {
    let gateway = TestGateway::start().await;
    let agent = gateway.agent("unused").await.with_key(None);
    let refused = |status: Status| {
        assert_eq!(status.code(), Code::Unauthenticated, "{status}");
        assert_eq!(reason_of(&status), "NO_KEY");
    };
    let status_update = mpi::UpdateDataPlaneStatusRequest::default();
    let health_update = mpi::UpdateDataPlaneHealthRequest::default();
    refused(agent.join().await.unwrap_err());
    refused(agent.subscribe().await.err().unwrap());
    let mut command = agent.command();
    let answer = command.update_data_plane_status(agent.request(status_update));
    refused(answer.await.unwrap_err());
    let answer = command.update_data_plane_health(agent.request(health_update));
    refused(answer.await.unwrap_err());
    let mut files = mpi::file_service_client::FileServiceClient::new(agent.channel.clone());
    let answer = files.update_overview(Request::new(mpi::UpdateOverviewRequest::default()));
    refused(answer.await.unwrap_err());
    let answer = files.get_file(Request::new(mpi::GetFileRequest::default()));
    refused(answer.await.unwrap_err());
    let mut otlp = MetricsServiceClient::new(agent.channel.clone());
    let answer = otlp.export(ExportMetricsServiceRequest::default());
    refused(answer.await.unwrap_err());

    let mut health = tonic_health::pb::health_client::HealthClient::new(agent.channel.clone());
    let request = tonic_health::pb::HealthCheckRequest::default();
    let answer = health.check(request).await.unwrap().into_inner();
    assert_eq!(answer.status, 1, "serving");
}

#[tokio::test]
async fn a_store_fault_is_never_the_agents_fault() {
    let store = Arc::new(FaultyStore::new());
    let gateway = TestGateway::over(store.clone(), |_| {}).await;
    let operator = gateway.operator().await;
    let (_, key) = operator.key("k").await;
    store.set_failing(true);
    let agent = gateway.agent(&key).await;
    for status in [
        agent.join().await.unwrap_err(),
        agent.subscribe().await.err().unwrap(),
    ] {
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        assert_eq!(reason_of(&status), "STORE_UNAVAILABLE");
    }
    let refused = operator.show("key_0123456789ABCDEF").await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    store.set_failing(false);
    agent.connect().await;
    // In the cache now: a store that fails delays neither verify nor join.
    store.set_failing(true);
    agent.join().await.unwrap();
    agent.subscribe().await.unwrap();
}

#[tokio::test]
async fn header_values_may_be_of_any_bytes() {
    let gateway = TestGateway::start().await;
    let (_, key) = gateway.operator().await.key("k").await;
    let agent = gateway.agent(&key).await;
    let mut request = agent.request(agent.introduction());
    let odd = http::HeaderValue::from_bytes(b"\xff\xfe").unwrap();
    let mut headers = std::mem::take(request.metadata_mut()).into_headers();
    headers.insert("uuid", odd.clone());
    *request.metadata_mut() = tonic::metadata::MetadataMap::from_headers(headers);
    let status = agent
        .command()
        .create_connection(request)
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let mut request = agent.request(agent.introduction());
    let value = MetadataValue::try_from(odd.as_bytes()).unwrap();
    request.metadata_mut().insert("x-anything", value);
    agent.command().create_connection(request).await.unwrap();
}
