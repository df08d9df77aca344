//! The listener over loopback, with short limits. What is here serves the
//! tests in the submodules: a listener whose calls the test drives, a TLS
//! client, and a client that speaks in raw frames.

mod cut;
mod deadlines;
mod drain;
mod http1;
mod protocol;
mod raw;

use std::pin::Pin;
use std::task::{Context, Poll};

use http::HeaderMap;
use http_body::Frame;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::keys::KeyId;

/// How late a bound may be met on a busy machine.
const MARGIN: Duration = Duration::from_secs(3);

/// Limits under which nothing happens by itself during a test.
fn calm() -> Limits {
    Limits {
        cut_after: Duration::from_millis(200),
        ..Limits::default()
    }
}

fn key(letter: char) -> KeyId {
    format!("key_{}", letter.to_string().repeat(16))
        .parse()
        .unwrap()
}

/// A call as the service got it; the test writes its answer.
struct Served {
    path: String,
    call: Arc<Call>,
    answer: mpsc::UnboundedSender<Result<Frame<Bytes>, h2::Error>>,
    _request: Incoming,
}

impl Served {
    /// Sends a part of the answer.
    fn send(&self, bytes: &[u8]) {
        let _ = self
            .answer
            .send(Ok(Frame::data(Bytes::copy_from_slice(bytes))));
    }

    /// Fails in the way that would make hyper say CANCEL.
    fn fail(&self) {
        let _ = self.answer.send(Err(h2::Reason::CANCEL.into()));
    }

    /// Ends the answer as a gRPC server would.
    fn end(&self) {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", http::HeaderValue::from_static("14"));
        let _ = self.answer.send(Ok(Frame::trailers(trailers)));
    }
}

struct Answer(mpsc::UnboundedReceiver<Result<Frame<Bytes>, h2::Error>>);

impl Body for Answer {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        self.0.poll_recv(cx)
    }
}

#[derive(Debug, PartialEq)]
enum Seen {
    Opened,
    Closed(CloseReason),
    Refused(RefuseReason),
}

struct Reporter(mpsc::UnboundedSender<Seen>);

impl Observer for Reporter {
    fn opened(&self) {
        let _ = self.0.send(Seen::Opened);
    }

    fn closed(&self, reason: CloseReason) {
        let _ = self.0.send(Seen::Closed(reason));
    }

    fn refused(&self, _peer: SocketAddr, reason: RefuseReason) {
        let _ = self.0.send(Seen::Refused(reason));
    }
}

/// A serving listener.
struct Gateway {
    address: SocketAddr,
    client: TlsConnector,
    calls: mpsc::UnboundedReceiver<Served>,
    seen: mpsc::UnboundedReceiver<Seen>,
    shutdown: CancellationToken,
    serving: JoinHandle<()>,
}

impl Gateway {
    async fn start(limits: Limits) -> Self {
        Self::start_draining_over(limits, Duration::ZERO).await
    }

    async fn start_draining_over(limits: Limits, drain_over: Duration) -> Self {
        Self::start_speaking(&[HTTP2], limits, drain_over).await
    }

    async fn start_speaking(alpn: &[&[u8]], limits: Limits, drain_over: Duration) -> Self {
        let (server, client) = tls_speaking(alpn);
        let (report, seen) = mpsc::unbounded_channel();
        let listener = Listener::bind(
            "127.0.0.1:0".parse().unwrap(),
            limits,
            server,
            Arc::new(Reporter(report)),
        )
        .await
        .unwrap();
        let address = listener.local_addr();
        let (offer, calls) = mpsc::unbounded_channel();
        let service = tower::service_fn(move |mut request: Request<Incoming>| {
            let (answer, body) = mpsc::unbounded_channel();
            assert_ne!(request.uri().path(), "/panic", "asked for");
            let served = Served {
                path: request.uri().path().to_owned(),
                call: request.extensions_mut().remove::<Arc<Call>>().unwrap(),
                answer,
                _request: request.into_body(),
            };
            let _ = offer.send(served);
            async move { Ok::<_, Infallible>(Response::new(Answer(body))) }
        });
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(listener.serve(service, shutdown.clone(), drain_over));
        Self {
            address,
            client,
            calls,
            seen,
            shutdown,
            serving,
        }
    }

    async fn tls(&self) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        self.client
            .connect(ServerName::try_from("localhost").unwrap(), stream)
            .await
            .unwrap()
    }

    async fn served(&mut self) -> Served {
        timeout(MARGIN, self.calls.recv()).await.unwrap().unwrap()
    }

    async fn saw(&mut self) -> Seen {
        timeout(MARGIN, self.seen.recv()).await.unwrap().unwrap()
    }

    /// Waits for an end that is due in `due`: not before it, nor long after.
    async fn closes(&mut self, due: Duration, reason: CloseReason) {
        let began = Instant::now();
        assert_eq!(self.saw().await, Seen::Opened);
        let end = timeout(due + MARGIN, self.seen.recv()).await.unwrap();
        assert_eq!(end, Some(Seen::Closed(reason)));
        // Tests start their clock a little after the listener starts its own.
        assert!(
            began.elapsed() + Duration::from_millis(50) >= due,
            "closed after {:?}",
            began.elapsed()
        );
    }
}

/// A certificate for `localhost`, and a client that trusts it.
fn tls() -> (Arc<rustls::ServerConfig>, TlsConnector) {
    tls_speaking(&[HTTP2])
}

/// The server offers all of these, the client the last.
fn tls_speaking(alpn: &[&[u8]]) -> (Arc<rustls::ServerConfig>, TlsConnector) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![made.cert.der().clone()],
            PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap(),
        )
        .unwrap();
    server.alpn_protocols = alpn.iter().map(|one| one.to_vec()).collect();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let mut client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = alpn.last().map(|one| one.to_vec()).into_iter().collect();
    (Arc::new(server), TlsConnector::from(Arc::new(client)))
}

#[tokio::test]
async fn a_taken_address_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = Listener::bind(address, calm(), tls().0, Arc::new(Unobserved))
        .await
        .unwrap_err();
    assert_eq!(error.address, address);
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

/// What the agent listener serves in earnest has to fit.
#[tokio::test]
async fn tonic_routes_fit() {
    let listener = Listener::bind(
        "127.0.0.1:0".parse().unwrap(),
        calm(),
        tls().0,
        Arc::new(Unobserved),
    )
    .await
    .unwrap();
    let (_health, service) = tonic_health::server::health_reporter();
    let shutdown = CancellationToken::new();
    shutdown.cancel();
    let routes = tonic::service::Routes::new(service);
    timeout(MARGIN, listener.serve(routes, shutdown, Duration::ZERO))
        .await
        .unwrap();
}
