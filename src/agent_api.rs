//! The agent listener's gRPC: `mpi.v1`, OTLP and health.
//!
//! Owns: what agents may call and the words they get. Must not know: how a key
//! is verified, where it is kept.
//! Invariant: every call but health is authenticated on its headers alone,
//! before a byte of its body is decoded.

mod authenticate;
mod command;
mod connection;
mod convert;
mod file;
mod otlp;
mod refusals;
mod status;

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::LogsServiceServer;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::MetricsServiceServer;
use tonic::codec::CompressionEncoding;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::gateway::registrar::Registrar;
use crate::gateway::rejections::Rejections;
use crate::metrics::registry::Metrics;
use crate::proto::mpi::v1::command_service_server::CommandServiceServer;
use crate::proto::mpi::v1::file_service_server::FileServiceServer;

pub(crate) use authenticate::Authenticate;
use refusals::Refusals;

/// The service that the agent listener serves, and the switch of its health.
///
/// `max_message_bytes` bounds each message of an agent; a larger one is
/// answered OUT_OF_RANGE.
pub async fn service(
    registrar: Arc<Registrar>,
    metrics: Arc<Metrics>,
    rejections: Arc<Rejections>,
    max_message_bytes: usize,
) -> (Authenticate<Routes>, HealthReporter) {
    let refusals = Refusals::new(Arc::clone(&metrics), rejections);
    let command = command::Command::new(Arc::clone(&registrar), refusals.clone());
    let command = CommandServiceServer::new(command).max_decoding_message_size(max_message_bytes);
    let file = FileServiceServer::new(file::Files).max_decoding_message_size(max_message_bytes);
    let sink = otlp::Sink::new(Arc::clone(&registrar), refusals.clone(), metrics);
    let otlp_metrics = MetricsServiceServer::new(sink.clone())
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(max_message_bytes);
    let otlp_logs = LogsServiceServer::new(sink)
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(max_message_bytes);
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter
        .set_service_status("mpi.v1.CommandService", ServingStatus::Serving)
        .await;
    let routes = Routes::new(health)
        .add_service(command)
        .add_service(file)
        .add_service(otlp_metrics)
        .add_service(otlp_logs)
        .prepare();
    (Authenticate::new(routes, registrar, refusals), reporter)
}
