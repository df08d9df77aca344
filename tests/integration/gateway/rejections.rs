//! Why an agent does not get in: what the gateway notes, and whom it tells.

use std::sync::Arc;

use muster::gateway::rejections::Reason;
use muster::proto::admin::v1 as pb;
use muster::proto::mpi::v1 as mpi;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;

use super::events::events;
use crate::admin_api::bad_input::forge;
use crate::support::{FaultyStore, Operator, TestGateway, eventually, reason_of};

/// A group as `(reason, key, agent, count)`; all come from this host.
fn short(rejection: &pb::Rejection) -> (&str, &str, &str, u64) {
    assert_eq!(rejection.address, "127.0.0.1");
    assert!(rejection.first_at.is_some() && rejection.last_at.is_some());
    let reason = Reason::ALL
        .into_iter()
        .find(|reason| reason.as_str() == rejection.reason)
        .unwrap_or_else(|| panic!("{rejection:?}"));
    assert_eq!(rejection.meaning, reason.meaning());
    assert_eq!(rejection.cure, reason.cure());
    (
        &rejection.reason,
        &rejection.key_object_id,
        &rejection.agent_id,
        rejection.count,
    )
}

#[tokio::test]
async fn refused_calls_are_grouped_newest_first() {
    let gateway = TestGateway::start().await;
    let other = TestGateway::start().await;
    let operator = gateway.operator().await;
    let (revoked, revoked_key) = operator.key("gone").await;
    operator.revoke(&revoked).await;
    let (known, _) = operator.key("here").await;
    let (_, unknown) = other.operator().await.key("elsewhere").await;
    let agent = gateway.agent(&revoked_key).await;
    for key in [
        None,
        Some("hunter2"),
        Some(&unknown[..60]),
        Some(&unknown),
        Some(&forge(&known, &unknown)),
    ] {
        agent.with_key(key).join().await.unwrap_err();
    }
    for _ in 0..3 {
        agent.join().await.unwrap_err();
    }
    agent.subscribe().await.err().unwrap();

    let id = agent.id.to_string();
    let list = operator.list_rejections().await;
    let seen: Vec<_> = list.iter().map(short).collect();
    assert_eq!(
        seen,
        [
            ("KEY_REVOKED", revoked.as_str(), id.as_str(), 4),
            // The secret is wrong, the key is known: an operator may see it.
            ("UNKNOWN_KEY", known.as_str(), id.as_str(), 1),
            ("UNKNOWN_KEY", "", id.as_str(), 1),
            ("DAMAGED_KEY", "", id.as_str(), 1),
            ("NOT_A_KEY", "", id.as_str(), 1),
            ("NO_KEY", "", id.as_str(), 1),
        ]
    );
    assert!(!format!("{list:?}").contains("hunter2"));
    let sample = "muster_refusals_total{reason=\"KEY_REVOKED\"}";
    assert_eq!(gateway.metric(sample).await, 4.0, "one source of the words");
    // Another gateway's list is its own.
    assert!(other.operator().await.list_rejections().await.is_empty());
}

#[tokio::test]
async fn a_proven_key_is_shown_and_an_agents_words_are_not() {
    let store = Arc::new(FaultyStore::new());
    let gateway = TestGateway::over(store.clone(), |_| {}).await;
    let operator = gateway.operator().await;
    let (id, key) = operator.key("k").await;
    let agent = gateway.agent(&key).await;
    let mut message = agent.introduction();
    message.resource.as_mut().unwrap().resource_id = "\u{1b}[2Jevil".into();
    let request = agent.request(message);
    let answer = agent.command().create_connection(request).await;
    assert_eq!(answer.unwrap_err().code(), Code::InvalidArgument);
    for odd in [&b"\x9b2Jevil"[..], b"evil"] {
        let mut request = agent.request(agent.introduction());
        let mut headers = std::mem::take(request.metadata_mut()).into_headers();
        headers.insert("uuid", http::HeaderValue::from_bytes(odd).unwrap());
        *request.metadata_mut() = tonic::metadata::MetadataMap::from_headers(headers);
        let answer = agent.command().create_connection(request).await;
        assert_eq!(answer.unwrap_err().code(), Code::InvalidArgument);
    }
    let (_, unread) = operator.key("not in the cache").await;
    store.set_failing(true);
    let status = agent.with_key(Some(&unread)).join().await.unwrap_err();
    assert_eq!(reason_of(&status), "STORE_UNAVAILABLE");
    store.set_failing(false);
    // Open to all, good or bad: never noted.
    let mut health = tonic_health::pb::health_client::HealthClient::new(agent.channel.clone());
    let request = tonic_health::pb::HealthCheckRequest::default();
    health.check(request).await.unwrap();
    let request = tonic_health::pb::HealthCheckRequest {
        service: "nobody".into(),
    };
    health.check(request).await.unwrap_err();

    let agent = agent.id.to_string();
    let list = operator.list_rejections().await;
    let seen: Vec<_> = list.iter().map(short).collect();
    assert_eq!(
        seen,
        [
            ("STORE_UNAVAILABLE", "", agent.as_str(), 1),
            ("BAD_RESOURCE_ID", id.as_str(), "", 2),
            ("BAD_RESOURCE_ID", id.as_str(), agent.as_str(), 1),
        ]
    );
    assert!(!format!("{list:?}").contains("evil"));
}

async fn reason_seen(operator: &Operator, reason: &str) {
    eventually(reason, async || {
        let list = operator.list_rejections().await;
        list.iter().any(|r| short(r) == (reason, "", "", 1))
    })
    .await;
}

#[tokio::test]
async fn a_client_that_distrusts_our_certificate_is_noted() {
    let gateway = TestGateway::start().await;
    let other = TestGateway::start().await;
    let operator = gateway.operator().await;
    let wrong_ca = other.file("ca.pem");
    gateway.connect_trusting(&wrong_ca).await.unwrap_err();
    reason_seen(&operator, "TLS_CERTIFICATE_REFUSED").await;
    let failed = "muster_connections_refused_total{reason=\"TLS_CERTIFICATE_REFUSED\"}";
    assert_eq!(gateway.metric(failed).await, 1.0);
}

#[tokio::test]
async fn non_tls_bytes_a_probe_and_silence_are_told_apart() {
    let gateway = TestGateway::configured(|config| {
        config.limits.tls_deadline = std::time::Duration::from_millis(200);
    })
    .await;
    let operator = gateway.operator().await;
    let mut plain = TcpStream::connect(gateway.addresses.agent).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    plain.write_all(request).await.unwrap();
    reason_seen(&operator, "NOT_TLS").await;
    drop(TcpStream::connect(gateway.addresses.agent).await.unwrap());
    reason_seen(&operator, "TLS_FAILED").await;
    let mut silent = TcpStream::connect(gateway.addresses.agent).await.unwrap();
    reason_seen(&operator, "TLS_TIMEOUT").await;
    assert!(matches!(silent.read(&mut [0; 1]).await, Ok(0) | Err(_)));
    let reasons = ["NOT_TLS", "TLS_FAILED", "TLS_TIMEOUT"];
    eventually("events", async || told(&operator).await == reasons).await;
    for reason in reasons {
        let sample = format!("muster_connections_refused_total{{reason=\"{reason}\"}}");
        assert_eq!(gateway.metric(&sample).await, 1.0, "{reason}");
    }
}

/// The reasons that events of refusals name, in order of their words.
async fn told(operator: &Operator) -> Vec<String> {
    let events = events(operator, "").await.into_iter();
    let refused = events.filter(|event| event.kind == "rejected");
    let reason = |event: pb::Event| event.detail.split_once(' ').unwrap().0.to_owned();
    let mut reasons: Vec<_> = refused.map(reason).collect();
    reasons.sort();
    reasons
}

/// `docs/refusals.md` says by which samples each reason is counted: a gateway
/// that has refused nobody shows these, and no other.
#[tokio::test]
async fn metrics_have_the_labels_that_the_page_promises() {
    let gateway = TestGateway::start().await;
    let (_, metrics) = gateway.ops("/metrics").await;
    let counters = [
        "muster_refusals_total{",
        "muster_connections_refused_total{",
    ];
    let refusals = |line: &&str| counters.iter().any(|name| line.starts_with(name));
    let samples = metrics.lines().filter(refusals);
    let mut shown: Vec<&str> = samples
        .map(|line| line.strip_suffix(" 0").unwrap())
        .collect();
    let page = include_str!("../../../docs/refusals.md");
    let lines = page
        .lines()
        .filter_map(|line| line.strip_prefix("- **Counted by:** "));
    let mut promised: Vec<&str> = lines
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .collect();
    shown.sort_unstable();
    promised.sort_unstable();
    assert_eq!(shown, promised);
}

#[tokio::test]
async fn a_limit_on_connections_is_noted() {
    let gateway =
        TestGateway::configured(|config| config.limits.max_connections_per_address = 2).await;
    let operator = gateway.operator().await;
    let first = gateway.agent_channel().await;
    let second = gateway.agent_channel().await;
    let _third = TcpStream::connect(gateway.addresses.agent).await.unwrap();
    reason_seen(&operator, "TOO_MANY_CONNECTIONS_FROM_ADDRESS").await;
    drop((first, second));
}

#[tokio::test]
async fn telemetry_under_an_old_key_has_a_cure_of_its_own() {
    let gateway = TestGateway::start().await;
    let other = TestGateway::start().await;
    let operator = gateway.operator().await;
    let (old, old_key) = operator.key("old").await;
    let (new, new_key) = operator.key("new").await;
    let collector = gateway.agent(&old_key).await;
    let agent = collector.with_key(Some(&new_key));
    let stream = agent.connect().await;
    // Until the old key ends, both do.
    collector.export(true).await.unwrap();
    operator.revoke(&old).await;
    for with_id in [true, false] {
        let status = collector.export(with_id).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
        assert_eq!(reason_of(&status), "STALE_TELEMETRY_KEY");
        let cure = "restart nginx-agent to move its telemetry to the new key";
        assert!(status.message().ends_with(cure), "{status}");
    }
    // A deleted key is unknown. Whether the store knows the key that is named,
    // even the very key of the session, changes nothing in the answer.
    operator.delete(&old).await.unwrap();
    let (_, unknown) = other.operator().await.key("elsewhere").await;
    let mut answers = Vec::new();
    for key in [&old_key, &unknown, &forge(&new, &unknown)] {
        let status = collector.with_key(Some(key)).export(true).await;
        let status = status.unwrap_err();
        assert_eq!(reason_of(&status), "STALE_TELEMETRY_KEY");
        answers.push((status.message().to_owned(), status.details().to_vec()));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    // Neither other calls nor other agents are meant.
    let status = collector.join().await.unwrap_err();
    assert_eq!(reason_of(&status), "UNKNOWN_KEY");
    let stranger = gateway.agent(&old_key).await;
    let status = stranger.export(true).await.unwrap_err();
    assert_eq!(reason_of(&status), "UNKNOWN_KEY");

    let (id, stranger) = (agent.id.to_string(), stranger.id.to_string());
    let list = operator.list_rejections().await;
    let seen: Vec<_> = list.iter().map(short).collect();
    assert_eq!(
        seen,
        [
            ("UNKNOWN_KEY", "", stranger.as_str(), 1),
            ("UNKNOWN_KEY", "", id.as_str(), 1),
            ("STALE_TELEMETRY_KEY", new.as_str(), id.as_str(), 1),
            ("STALE_TELEMETRY_KEY", "", id.as_str(), 2),
            ("STALE_TELEMETRY_KEY", old.as_str(), "", 1),
            ("STALE_TELEMETRY_KEY", old.as_str(), id.as_str(), 1),
        ]
    );
    // With its session gone it is refused as anybody is.
    drop(stream);
    eventually("the session goes", async || {
        operator.list_sessions("").await.is_empty()
    })
    .await;
    let status = collector.export(true).await.unwrap_err();
    assert_eq!(reason_of(&status), "UNKNOWN_KEY");
}

#[tokio::test]
async fn lists_page_and_filter() {
    let gateway = TestGateway::start().await;
    let operator = gateway.operator().await;
    let (id, key) = operator.key("k").await;
    operator.revoke(&id).await;
    let mut agent = gateway.agent(&key).await;
    for n in 0..12 {
        agent.id = uuid::Uuid::from_u128(n);
        agent.join().await.unwrap_err();
    }
    agent.with_key(None).join().await.unwrap_err();
    let mut met = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = pb::ListRejectionsRequest {
            key_object_id: id.clone(),
            page_size: 5,
            page_token,
            ..Default::default()
        };
        let page = operator.rejections().list_rejections(request).await;
        let page = page.unwrap().into_inner();
        met.extend(page.rejections.into_iter().map(|r| r.agent_id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
        // Refused again while the list is read: it is not met twice.
        agent.join().await.unwrap_err();
    }
    let ids = (0..12).rev().map(uuid::Uuid::from_u128);
    let expected: Vec<_> = ids.map(|id| id.to_string()).collect();
    assert_eq!(met, expected);

    let of_agent = pb::ListRejectionsRequest {
        agent_id: agent.id.to_string(),
        ..Default::default()
    };
    let page = operator.rejections().list_rejections(of_agent).await;
    let reasons: Vec<_> = page.unwrap().into_inner().rejections;
    let reasons: Vec<_> = reasons.iter().map(|r| r.reason.as_str()).collect();
    assert_eq!(reasons, ["KEY_REVOKED", "NO_KEY"]);
    for wrong in [
        pb::ListRejectionsRequest {
            agent_id: "host-7".into(),
            ..Default::default()
        },
        pb::ListRejectionsRequest {
            key_object_id: "k".into(),
            ..Default::default()
        },
        pb::ListRejectionsRequest {
            page_token: "x".into(),
            ..Default::default()
        },
    ] {
        let status = operator.rejections().list_rejections(wrong).await;
        assert_eq!(status.unwrap_err().code(), Code::InvalidArgument);
    }
    let stranger = gateway.operator_with("").await;
    let request = pb::ListRejectionsRequest::default();
    let refused = stranger.rejections().list_rejections(request).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
}

/// More strangers than the gateway keeps: some go, and the list still answers.
#[tokio::test]
async fn a_flood_of_made_up_agents_is_bounded() {
    const FLOOD: u128 = muster::gateway::rejections::CAPACITY as u128 + 500;
    let gateway = TestGateway::start().await;
    let operator = gateway.operator().await;
    let agent = gateway.agent("unused").await.with_key(None);
    let calls = (0..FLOOD).map(|n| {
        let mut agent = agent.clone();
        agent.id = uuid::Uuid::from_u128(n);
        async move {
            let request = agent.request(mpi::UpdateDataPlaneHealthRequest::default());
            let answer = agent.command().update_data_plane_health(request).await;
            let status = answer.unwrap_err();
            assert_eq!(reason_of(&status), "NO_KEY", "{status}");
        }
    });
    let mut calls: Vec<_> = calls.collect();
    while !calls.is_empty() {
        // No more at once than a connection may have streams.
        let some = calls.split_off(calls.len().saturating_sub(10));
        futures_util::future::join_all(some).await;
    }
    let mut kept = 0;
    let mut page_token = String::new();
    loop {
        let request = pb::ListRejectionsRequest {
            page_size: 1000,
            page_token,
            ..Default::default()
        };
        let page = operator.rejections().list_rejections(request).await;
        let page = page.unwrap().into_inner();
        kept += page.rejections.len();
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(kept, muster::gateway::rejections::CAPACITY);
}
