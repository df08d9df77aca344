//! A peer with a Subscribe stream that never reads what comes back.

use std::sync::Arc;

use bytes::Bytes;
use h2::client;
use http::{Request, Version};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use super::{TestGateway, within};

pub struct DeafPeer {
    connection: JoinHandle<()>,
    _stream: h2::SendStream<Bytes>,
    _response: client::ResponseFuture,
}

impl DeafPeer {
    /// Opens a Subscribe with windows of zero: no byte of an answer's body may
    /// be sent to it.
    pub async fn subscribe(gateway: &TestGateway, key: &str) -> Self {
        let tls = tls_to(gateway, &[b"h2"]).await;
        let mut settings = client::Builder::new();
        settings.initial_window_size(0);
        let (mut requests, connection) = settings.handshake(tls).await.unwrap();
        let connection = tokio::spawn(async move {
            let _ = connection.await;
        });
        let request = Request::post("https://localhost/mpi.v1.CommandService/Subscribe")
            .version(Version::HTTP_2)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("authorization", key)
            .header("uuid", "6ba7b810-9dad-11d1-80b4-00c04fd430c8")
            .body(())
            .unwrap();
        let (response, stream) = requests.send_request(request, false).unwrap();
        Self {
            connection,
            _stream: stream,
            _response: response,
        }
    }

    /// Waits until the gateway has closed the socket.
    pub async fn closed(&mut self) {
        within("the socket's end", &mut self.connection)
            .await
            .unwrap();
    }
}

/// A TLS connection to the agent listener.
async fn tls_to(
    gateway: &TestGateway,
    alpn: &[&[u8]],
) -> tokio_rustls::client::TlsStream<TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(gateway.file("ca.pem").as_bytes()).unwrap();
    roots.add(ca).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
    let socket = TcpStream::connect(gateway.addresses.agent).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, socket)
        .await
        .unwrap()
}
