//! OTLP: the agent's built-in collector exports to the gateway it registers
//! with. Its metrics and logs are authenticated, counted and dropped; each sender
//! is noted.

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::LogsService;
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::MetricsService;
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use tonic::{Request, Response, Status};

use super::authenticate::{Authenticated, proven};
use super::refusals::Refusals;
use super::status::Refused;
use crate::gateway::registrar::Registrar;
use crate::metrics::registry::{Metrics, Signal};

/// Counts what arrives, and from whom.
#[derive(Clone)]
pub(super) struct Sink {
    registrar: Arc<Registrar>,
    refusals: Refusals,
    metrics: Arc<Metrics>,
}

impl Sink {
    pub fn new(registrar: Arc<Registrar>, refusals: Refusals, metrics: Arc<Metrics>) -> Self {
        Self {
            registrar,
            refusals,
            metrics,
        }
    }

    async fn accept(
        &self,
        who: &Authenticated,
        signal: &'static str,
        items: usize,
    ) -> Result<(), Status> {
        let address = who.call.peer().ip();
        self.registrar
            .exported(&who.presented, &who.principal, who.caller.agent, address)
            .await
            .map_err(|refusal| Refused::Key(refusal).into_status(&self.refusals, &who.caller))?;
        let signal = Signal { signal };
        self.metrics.telemetry_exports.get_or_create(&signal).inc();
        self.metrics
            .telemetry_items
            .get_or_create(&signal)
            .inc_by(items as u64);
        Ok(())
    }
}

#[tonic::async_trait]
impl MetricsService for Sink {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let who = proven(&request)?;
        let points = request
            .get_ref()
            .resource_metrics
            .iter()
            .flat_map(|resource| &resource.scope_metrics)
            .flat_map(|scope| &scope.metrics)
            .map(|metric| match &metric.data {
                Some(Data::Gauge(gauge)) => gauge.data_points.len(),
                Some(Data::Sum(sum)) => sum.data_points.len(),
                Some(Data::Histogram(histogram)) => histogram.data_points.len(),
                Some(Data::ExponentialHistogram(histogram)) => histogram.data_points.len(),
                Some(Data::Summary(summary)) => summary.data_points.len(),
                None => 0,
            })
            .sum();
        self.accept(&who, "metrics", points).await?;
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Sink {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let who = proven(&request)?;
        let records = request
            .get_ref()
            .resource_logs
            .iter()
            .flat_map(|resource| &resource.scope_logs)
            .map(|scope| scope.log_records.len())
            .sum();
        self.accept(&who, "logs", records).await?;
        Ok(Response::new(ExportLogsServiceResponse::default()))
    }
}
