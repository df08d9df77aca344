//! One agent's connection: TCP, TLS, HTTP/2, and the calls on it.
//!
//! Owns: how a simulated agent speaks. Must not know: when it does.
//! Invariant: every line is a connection of its own with a full TLS handshake:
//! a real agent resumes no session.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CipherSuite, ClientConfig, SupportedCipherSuite};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tonic::body::Body;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Code, Request, Status, Streaming};
use tower_service::Service;

use super::identity::{AGENT_VERSION, Identity};
use crate::proto::mpi::v1 as mpi;
use crate::proto::mpi::v1::command_service_client::CommandServiceClient;

/// A real agent gives up a call after this time.
const CALL_DEADLINE: Duration = Duration::from_secs(10);
/// Its keepalive, as measured.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// grpc-go's window for a stream and for a connection.
const WINDOW_BYTES: u32 = 65_535;
/// Bytes of calls that wait for the gateway to read.
const SEND_BUFFER_BYTES: usize = 16 * 1024;

/// Why a call or a connection failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// No TCP connection.
    #[error("connect: {0}")]
    Connect(io::ErrorKind),
    /// No TLS session, or no HTTP/2 on it.
    #[error("tls: {0}")]
    Tls(String),
    /// The gateway's answer, or what tonic makes of a broken connection.
    #[error("{0:?}")]
    Call(Code),
    /// No answer within ten seconds.
    #[error("no answer within 10 s")]
    Late,
}

impl From<Status> for Fault {
    fn from(status: Status) -> Self {
        Self::Call(status.code())
    }
}

/// Where agents dial, and whom they trust.
#[derive(Clone)]
pub(super) struct Dialer {
    address: SocketAddr,
    name: ServerName<'static>,
    tls: TlsConnector,
    origin: http::Uri,
}

impl Dialer {
    /// To `address`, whose certificate has to be for `host`, issued by one of
    /// the CAs in `ca` (PEM).
    pub fn new(address: SocketAddr, host: &str, ca: &[u8]) -> Result<Self, String> {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(ca) {
            // The parser's own words may quote the file.
            let certificate = certificate.map_err(|_| "the CA: it is damaged".to_owned())?;
            let added = roots.add(certificate);
            added.map_err(|error| format!("the CA: {error}"))?;
        }
        let mut provider = rustls::crypto::ring::default_provider();
        // Go's order; rustls would ask for AES-256 and SHA-384 first, and a
        // gateway takes what its client would rather have.
        let is_first =
            |suite: &SupportedCipherSuite| suite.suite() == CipherSuite::TLS13_AES_128_GCM_SHA256;
        provider.cipher_suites.sort_by_key(|suite| !is_first(suite));
        let mut tls = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"h2".to_vec()];
        tls.resumption = Resumption::disabled();
        let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
        let origin = format!("https://{address}");
        Ok(Self {
            address,
            name,
            tls: TlsConnector::from(Arc::new(tls)),
            origin: origin.parse().map_err(|_| format!("{origin} is no URI"))?,
        })
    }

    /// A connection of its own, from that address if one is given.
    pub async fn dial(&self, from: Option<IpAddr>) -> Result<Connection, Fault> {
        let open = timeout(CALL_DEADLINE, self.open(from));
        open.await.map_err(|_| Fault::Late)?
    }

    async fn open(&self, from: Option<IpAddr>) -> Result<Connection, Fault> {
        let failed = |error: io::Error| Fault::Connect(error.kind());
        let socket = connect(self.address, from).await.map_err(failed)?;
        socket.set_nodelay(true).map_err(failed)?;
        let shaken = self.tls.connect(self.name.clone(), socket).await;
        let socket = shaken.map_err(|error| Fault::Tls(error.to_string()))?;
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .max_send_buf_size(SEND_BUFFER_BYTES)
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true);
        let begun = builder.handshake(TokioIo::new(socket)).await;
        let (sender, connection) = begun.map_err(|error| Fault::Tls(error.to_string()))?;
        Ok(Connection {
            client: CommandServiceClient::with_origin(Caller(sender), self.origin.clone()),
            driver: tokio::spawn(async move {
                // The calls on it report how it ended.
                let _ = connection.await;
            }),
        })
    }
}

async fn connect(to: SocketAddr, from: Option<IpAddr>) -> io::Result<TcpStream> {
    let Some(from) = from else {
        return TcpStream::connect(to).await;
    };
    let socket = match to {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.bind(SocketAddr::new(from, 0))?;
    socket.connect(to).await
}

/// tonic's way to a connection that is one, instead of a channel with a queue
/// and tasks of its own.
#[derive(Clone)]
struct Caller(SendRequest<Body>);

impl Service<http::Request<Body>> for Caller {
    type Response = http::Response<hyper::body::Incoming>;
    type Error = hyper::Error;
    type Future = std::pin::Pin<
        Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send + 'static>,
    >;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

/// What an agent puts on each of its calls. Has no `Debug`: it is a secret.
#[derive(Clone)]
pub(super) struct Key(MetadataValue<Ascii>);

impl Key {
    pub fn new(text: &str) -> Result<Self, String> {
        let mut value = MetadataValue::try_from(text).map_err(|error| error.to_string())?;
        value.set_sensitive(true);
        Ok(Self(value))
    }
}

/// An open connection. Dropping it closes the socket.
pub(super) struct Connection {
    client: CommandServiceClient<Caller>,
    driver: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A live Subscribe.
pub(super) type Subscription = Streaming<mpi::ManagementPlaneRequest>;

impl Connection {
    /// The connection is gone.
    pub fn is_broken(&self) -> bool {
        self.driver.is_finished()
    }

    pub async fn join(&self, who: &Identity, key: &Key) -> Result<(), Fault> {
        let request = request(who, key, who.introduction());
        let mut client = self.client.clone();
        answer(client.create_connection(request)).await
    }

    /// UpdateDataPlaneHealth: the cheapest call that a key is verified for.
    pub async fn health(&self, who: &Identity, key: &Key) -> Result<(), Fault> {
        let request = request(who, key, who.healths());
        let mut client = self.client.clone();
        answer(client.update_data_plane_health(request)).await
    }

    /// Subscribe, held open until what it returns is dropped.
    pub async fn subscribe(&self, who: &Identity, key: &Key) -> Result<Subscription, Fault> {
        // An agent answers requests; there are none here.
        let request = request(who, key, stream::pending());
        let mut client = self.client.clone();
        let begun = timeout(CALL_DEADLINE, client.subscribe(request)).await;
        Ok(begun.map_err(|_| Fault::Late)??.into_inner())
    }
}

async fn answer<T>(
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<(), Fault> {
    let answered = timeout(CALL_DEADLINE, call).await;
    answered.map_err(|_| Fault::Late)??;
    Ok(())
}

fn request<T>(who: &Identity, key: &Key, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let metadata = request.metadata_mut();
    metadata.insert("authorization", key.0.clone());
    if let Ok(id) = who.id.to_string().parse() {
        metadata.insert("uuid", id);
    }
    let agent = format!("nginx-agent/{AGENT_VERSION} (muster load)");
    if let Ok(agent) = agent.parse() {
        metadata.insert("user-agent", agent);
    }
    request
}
