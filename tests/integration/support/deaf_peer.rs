//! A peer with a Subscribe stream that never reads what comes back.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::client;
use http::{Request, Version};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{TestGateway, within};

/// It opens a session properly, then its side of the socket is never read again.
pub struct DeafPeer {
    connection: Connection,
    _stream: h2::SendStream<Bytes>,
}

type Connection = client::Connection<TlsStream<TcpStream>, Bytes>;

impl DeafPeer {
    pub async fn subscribe(gateway: &TestGateway, key: &str) -> Self {
        let tls = tls_to(gateway, &[b"h2"]).await;
        let (mut requests, mut connection) = client::handshake(tls).await.unwrap();
        let request = call("Subscribe", key);
        let (response, stream) = requests.send_request(request, false).unwrap();
        // The connection is driven until the answer's head is there, no longer.
        tokio::select! {
            head = within("the head of the answer", response) => {
                assert_eq!(head.unwrap().status(), 200);
            }
            ended = &mut connection => panic!("refused: {ended:?}"),
        }
        Self {
            connection,
            _stream: stream,
        }
    }

    /// It sends the head of an introduction, and never the rest.
    pub async fn half_a_join(gateway: &TestGateway, key: &str) -> Self {
        let tls = tls_to(gateway, &[b"h2"]).await;
        let (mut requests, mut connection) = client::handshake(tls).await.unwrap();
        let request = call("CreateConnection", key);
        let (_, mut stream) = requests.send_request(request, false).unwrap();
        stream
            .send_data(Bytes::from_static(&[0, 0, 0]), false)
            .unwrap();
        // Driven for longer than a call is quick.
        let driven = tokio::time::timeout(Duration::from_secs(1), &mut connection);
        assert!(driven.await.is_err(), "it stands");
        Self {
            connection,
            _stream: stream,
        }
    }

    /// Reads again, to see that the gateway has closed the socket.
    pub async fn sees_the_end(self) {
        let ended = within("the socket's end", self.connection).await;
        println!("the deaf peer then reads: {ended:?}");
    }
}

fn call(name: &str, key: &str) -> Request<()> {
    Request::post(format!("https://localhost/mpi.v1.CommandService/{name}"))
        .version(Version::HTTP_2)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("authorization", key)
        .header("uuid", "6ba7b810-9dad-11d1-80b4-00c04fd430c8")
        .body(())
        .unwrap()
}

/// A TLS connection to the agent listener.
async fn tls_to(gateway: &TestGateway, alpn: &[&[u8]]) -> TlsStream<TcpStream> {
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
