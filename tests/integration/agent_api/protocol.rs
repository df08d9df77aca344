//! What keeps a real agent content, and what no peer may do to us.

use std::time::{Duration, Instant};

use muster::proto::mpi::v1 as mpi;
use muster::proto::mpi::v1::file_service_client::FileServiceClient;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics,
};
use tonic::Code;
use tonic::codec::CompressionEncoding;

use crate::support::{DeafPeer, TestGateway, eventually};

#[tokio::test]
async fn the_calls_of_a_healthy_start_are_answered() {
    let gateway = TestGateway::start().await;
    let (_, key) = gateway.operator().await.key("k").await;
    let agent = gateway.agent(&key).await;
    let answer = agent.join().await.unwrap().into_inner().response.unwrap();
    assert_eq!(answer.status(), mpi::command_response::CommandStatus::Ok);
    let stream = agent.subscribe().await.unwrap();
    let mut files = FileServiceClient::new(agent.channel.clone());
    let overview = agent.request(mpi::UpdateOverviewRequest::default());
    let answer = files.update_overview(overview).await.unwrap().into_inner();
    assert!(answer.overview.is_none(), "nothing to upload");
    let mut command = agent.command();
    let health = agent.request(mpi::UpdateDataPlaneHealthRequest::default());
    command.update_data_plane_health(health).await.unwrap();
    let status = agent.request(mpi::UpdateDataPlaneStatusRequest {
        resource: Some(agent.resource()),
        ..Default::default()
    });
    command.update_data_plane_status(status).await.unwrap();
    // What an agent answers on its stream is read and dropped.
    for _ in 0..100 {
        stream
            .outgoing
            .send(mpi::DataPlaneResponse::default())
            .await
            .unwrap();
    }
    assert_eq!(gateway.metric("muster_sessions_live").await, 1.0);
    drop(stream.outgoing);
    eventually("a half-closed stream ends its session", async || {
        gateway.metric("muster_sessions_live").await == 0.0
    })
    .await;
}

#[tokio::test]
async fn the_rest_of_the_file_service_is_unimplemented() {
    let gateway = TestGateway::start().await;
    let (_, key) = gateway.operator().await.key("k").await;
    let agent = gateway.agent(&key).await;
    let mut files = FileServiceClient::new(agent.channel.clone());
    let overview = files.get_overview(agent.request(mpi::GetOverviewRequest::default()));
    assert_eq!(overview.await.unwrap_err().code(), Code::Unimplemented);
    let file = files.get_file(agent.request(mpi::GetFileRequest::default()));
    assert_eq!(file.await.unwrap_err().code(), Code::Unimplemented);
    let update = files.update_file(agent.request(mpi::UpdateFileRequest::default()));
    assert_eq!(update.await.unwrap_err().code(), Code::Unimplemented);
    let stream = files.get_file_stream(agent.request(mpi::GetFileRequest::default()));
    assert_eq!(stream.await.unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test]
async fn telemetry_is_inflated_counted_and_dropped() {
    let gateway = TestGateway::start().await;
    let (_, key) = gateway.operator().await.key("k").await;
    let agent = gateway.agent(&key).await;
    let metric = Metric {
        data: Some(Data::Gauge(Gauge {
            data_points: vec![NumberDataPoint::default(); 7],
        })),
        ..Default::default()
    };
    let metrics = ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            scope_metrics: vec![ScopeMetrics {
                metrics: vec![metric; 3],
                ..Default::default()
            }],
            ..Default::default()
        }],
    };
    let logs = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            scope_logs: vec![ScopeLogs {
                log_records: vec![LogRecord::default(); 5],
                ..Default::default()
            }],
            ..Default::default()
        }],
    };
    let gzip = CompressionEncoding::Gzip;
    let mut request = agent.request(metrics);
    // The first Export of a real agent lacks it.
    request.metadata_mut().remove("uuid");
    let mut client = MetricsServiceClient::new(agent.channel.clone()).send_compressed(gzip);
    client.export(request).await.unwrap();
    let mut client = LogsServiceClient::new(agent.channel.clone()).send_compressed(gzip);
    client.export(agent.request(logs)).await.unwrap();
    for (sample, value) in [
        ("muster_telemetry_exports_total{signal=\"metrics\"}", 1.0),
        ("muster_telemetry_items_total{signal=\"metrics\"}", 21.0),
        ("muster_telemetry_exports_total{signal=\"logs\"}", 1.0),
        ("muster_telemetry_items_total{signal=\"logs\"}", 5.0),
    ] {
        assert_eq!(gateway.metric(sample).await, value, "{sample}");
    }
}

/// A peer that never reads again is not asked for its consent: its session ends
/// with the revoke, its socket is closed `cut_after` (300 ms here) later.
#[tokio::test]
async fn a_peer_that_never_reads_is_cut() {
    let gateway = TestGateway::start().await;
    let operator = gateway.operator().await;
    let (id, key) = operator.key("k").await;
    let deaf = DeafPeer::subscribe(&gateway, &key).await;
    assert_eq!(operator.list_sessions(&id).await.len(), 1);
    let revoked = Instant::now();
    let outcome = operator.revoke(&id).await;
    assert!(outcome.complete);
    assert_eq!(outcome.gateways[0].sessions_closed, 1);
    eventually("its socket is closed", async || {
        gateway.metric("muster_connections_open").await == 0.0
    })
    .await;
    let cut = revoked.elapsed();
    println!("a deaf peer's socket was closed after {cut:?}");
    assert!(
        cut >= Duration::from_millis(250),
        "it had no time to read why"
    );
    assert!(
        cut < Duration::from_millis(300) + Duration::from_secs(3),
        "{cut:?}"
    );
    assert_eq!(
        gateway
            .metric("muster_connections_closed_total{reason=\"cut\"}")
            .await,
        1.0
    );
    deaf.sees_the_end().await;
}

/// Its call has no session, and its body would have time for a minute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_with_an_unfinished_call_of_a_revoked_key_is_cut() {
    let gateway = TestGateway::configured(|config| {
        config.limits.cut_after = Duration::from_millis(200);
    })
    .await;
    let operator = gateway.operator().await;
    let (id, key) = operator.key("k").await;
    let half = DeafPeer::half_a_join(&gateway, &key).await;
    operator.revoke(&id).await;
    let begun = Instant::now();
    half.sees_the_end().await;
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
}
