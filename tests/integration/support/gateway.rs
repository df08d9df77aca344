//! A gateway of the test's own: real listeners on free ports, a data directory
//! that goes with it.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use muster::server::config::Config;
use muster::server::{Addresses, Server};
use muster::store::Store;
use muster::store::embedded::EmbeddedStore;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use super::{Operator, TestAgent, within};

pub struct TestGateway {
    pub addresses: Addresses,
    pub data_dir: Arc<TempDir>,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl TestGateway {
    /// With an in-memory store and the defaults, but for short waits.
    pub async fn start() -> Self {
        Self::configured(|_| {}).await
    }

    pub async fn configured(change: impl FnOnce(&mut Config)) -> Self {
        Self::over(Arc::new(EmbeddedStore::in_memory().unwrap()), change).await
    }

    pub async fn over(store: Arc<dyn Store>, change: impl FnOnce(&mut Config)) -> Self {
        let data_dir = Arc::new(tempfile::tempdir().unwrap());
        let config = config(data_dir.path(), change);
        let server = Server::bind_over(config, store).await.unwrap();
        Self::run(server, data_dir)
    }

    /// With a mistake planted: its gates let everybody pass.
    pub async fn without_gates(store: Arc<dyn Store>, change: impl FnOnce(&mut Config)) -> Self {
        let data_dir = Arc::new(tempfile::tempdir().unwrap());
        let config = config(data_dir.path(), change);
        let server = Server::bind_over(config, store).await.unwrap();
        server.skip_gates();
        Self::run(server, data_dir)
    }

    /// With the store file in `data_dir`.
    pub async fn in_dir(data_dir: Arc<TempDir>) -> Self {
        let config = config(data_dir.path(), |_| {});
        let server = Server::bind(config).await.unwrap();
        Self::run(server, data_dir)
    }

    fn run(server: Server, data_dir: Arc<TempDir>) -> Self {
        let stop = CancellationToken::new();
        let addresses = server.addresses();
        let stopped = stop.clone().cancelled_owned();
        let running = tokio::spawn(async move { server.run(stopped).await.unwrap() });
        Self {
            addresses,
            data_dir,
            stop,
            running,
        }
    }

    /// Begins the shutdown, as SIGTERM does.
    pub fn begin_stop(&self) {
        self.stop.cancel();
    }

    /// Waits until it has stopped.
    pub async fn stopped(self) {
        self.stop.cancel();
        within("the gateway's end", self.running).await.unwrap();
    }

    pub fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.data_dir.path().join(name)).unwrap()
    }

    /// A connection of its own to the agent listener, over TLS.
    pub async fn agent_channel(&self) -> Channel {
        let url = format!("https://localhost:{}", self.addresses.agent.port());
        self.endpoint(url).connect().await.unwrap()
    }

    /// An agent with an id and a connection of its own.
    pub async fn agent(&self, key: &str) -> TestAgent {
        TestAgent::new(self.agent_channel().await, key)
    }

    /// The same from another address of this host's, as from another host.
    pub async fn agent_from(&self, address: IpAddr, key: &str) -> TestAgent {
        let url = format!("https://localhost:{}", self.addresses.agent.port());
        let endpoint = self.endpoint(url).local_address(Some(address));
        TestAgent::new(endpoint.connect().await.unwrap(), key)
    }

    /// The holder of the first start's token.
    pub async fn operator(&self) -> Operator {
        self.operator_with(self.file("admin.token").trim()).await
    }

    pub async fn operator_with(&self, token: &str) -> Operator {
        let url = format!("https://localhost:{}", self.addresses.admin.port());
        let channel = self.endpoint(url).connect().await.unwrap();
        Operator::new(channel, token)
    }

    /// Tries to connect as an agent that trusts this CA (PEM) alone.
    pub async fn connect_trusting(&self, ca: &str) -> Result<Channel, tonic::transport::Error> {
        let url = format!("https://localhost:{}", self.addresses.agent.port());
        Self::endpoint_trusting(url, ca).connect().await
    }

    fn endpoint(&self, url: String) -> Endpoint {
        Self::endpoint_trusting(url, &self.file("ca.pem"))
    }

    fn endpoint_trusting(url: String, ca: &str) -> Endpoint {
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(ca))
            .domain_name("localhost");
        Endpoint::from_shared(url)
            .unwrap()
            .tls_config(tls)
            .unwrap()
            // As grpc-go has it; hyper's 2 MiB would hide a slow reader.
            .initial_stream_window_size(65_535)
            .connect_timeout(Duration::from_secs(10))
    }

    /// GET on the ops listener: status and body.
    pub async fn ops(&self, path: &str) -> (u16, String) {
        let mut socket = TcpStream::connect(self.addresses.ops).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: ops\r\nConnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        within("an answer of ops", socket.read_to_string(&mut answer))
            .await
            .unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        let body = answer.split_once("\r\n\r\n").unwrap().1.to_owned();
        (status, body)
    }

    /// One sample of `/metrics`; 0 when it is not there yet.
    pub async fn metric(&self, sample: &str) -> f64 {
        let (_, text) = self.ops("/metrics").await;
        text.lines()
            .find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '))
            .map_or(0.0, |value| value.parse().unwrap())
    }
}

fn config(data_dir: &Path, change: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config {
        data_dir: data_dir.to_owned(),
        ..Config::default()
    };
    let any = "127.0.0.1:0".parse().unwrap();
    config.listen.agent = any;
    config.listen.admin = any;
    config.listen.ops = any;
    config.limits.cut_after = Duration::from_millis(300);
    change(&mut config);
    config
}
