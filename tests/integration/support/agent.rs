//! An agent as the gateway sees it: the calls of a real one, by tonic.

use muster::proto::mpi::v1 as mpi;
use muster::proto::mpi::v1::command_service_client::CommandServiceClient;
use muster::proto::mpi::v1::resource::Info;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use tokio::sync::mpsc;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};
use tonic_types::StatusExt;
use uuid::Uuid;

use super::within;

#[derive(Clone)]
pub struct TestAgent {
    pub id: Uuid,
    pub channel: Channel,
    key: Option<String>,
}

/// A live Subscribe stream.
pub struct Stream {
    pub incoming: Streaming<mpi::ManagementPlaneRequest>,
    /// Kept: dropping it half-closes the stream.
    pub outgoing: mpsc::Sender<mpi::DataPlaneResponse>,
}

impl Stream {
    /// How the gateway ends it.
    pub async fn end(&mut self) -> Status {
        within("the stream's end", self.incoming.message())
            .await
            .expect_err("the stream ended without a status")
    }
}

impl TestAgent {
    pub fn new(channel: Channel, key: &str) -> Self {
        Self {
            id: Uuid::from_u128(u128::from_be_bytes(random())),
            channel,
            key: Some(key.to_owned()),
        }
    }

    /// The same agent with another key, on the same connection.
    pub fn with_key(&self, key: Option<&str>) -> Self {
        Self {
            key: key.map(str::to_owned),
            ..self.clone()
        }
    }

    pub fn command(&self) -> CommandServiceClient<Channel> {
        CommandServiceClient::new(self.channel.clone())
    }

    /// A request with the metadata of a real agent.
    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        if let Some(key) = &self.key {
            let value = MetadataValue::try_from(key.as_str()).unwrap();
            metadata.insert("authorization", value);
        }
        metadata.insert("uuid", self.id.to_string().parse().unwrap());
        request
    }

    pub fn introduction(&self) -> mpi::CreateConnectionRequest {
        mpi::CreateConnectionRequest {
            message_meta: Some(mpi::MessageMeta::default()),
            resource: Some(self.resource()),
        }
    }

    pub fn resource(&self) -> mpi::Resource {
        mpi::Resource {
            resource_id: self.id.to_string(),
            instances: Vec::new(),
            info: Some(Info::HostInfo(mpi::HostInfo {
                hostname: "host".into(),
                ..Default::default()
            })),
        }
    }

    pub async fn join(&self) -> Result<Response<mpi::CreateConnectionResponse>, Status> {
        let request = self.request(self.introduction());
        within("a join", self.command().create_connection(request)).await
    }

    pub async fn subscribe(&self) -> Result<Stream, Status> {
        let (outgoing, receiver) = mpsc::channel(4);
        let messages = tokio_stream(receiver);
        let request = self.request(messages);
        let incoming = within("a subscribe", self.command().subscribe(request))
            .await?
            .into_inner();
        Ok(Stream { incoming, outgoing })
    }

    /// One export of telemetry, with the agent's id in its metadata or without.
    pub async fn export(&self, with_id: bool) -> Result<(), Status> {
        let mut request = self.request(ExportMetricsServiceRequest::default());
        if !with_id {
            request.metadata_mut().remove("uuid");
        }
        let mut client = MetricsServiceClient::new(self.channel.clone());
        within("an export", client.export(request))
            .await
            .map(|_| ())
    }

    /// What a real agent does at its start.
    pub async fn connect(&self) -> Stream {
        self.join().await.unwrap();
        self.subscribe().await.unwrap()
    }
}

fn tokio_stream<T: Send + 'static>(
    receiver: mpsc::Receiver<T>,
) -> impl futures_util::Stream<Item = T> + Send + 'static {
    futures_util::stream::unfold(receiver, |mut receiver| async {
        let item = receiver.recv().await?;
        Some((item, receiver))
    })
}

fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

/// The ErrorInfo reason of a status.
pub fn reason_of(status: &Status) -> String {
    let details = status.get_error_details();
    details
        .error_info()
        .map(|info| info.reason.clone())
        .unwrap_or_default()
}
