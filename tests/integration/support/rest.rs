//! A REST caller over HTTP/1.1, as a client that knows nothing newer.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{TestGateway, within};

/// Calls one gateway with one token.
pub struct RestCaller {
    address: std::net::SocketAddr,
    tls: TlsConnector,
    pub token: Option<String>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: String,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{self:?}"))
    }

    /// The words of an error, whose body has to have its shape.
    pub fn error(&self) -> String {
        let body = self.json();
        for field in ["message", "request_id", "timestamp"] {
            assert!(!body[field].as_str().unwrap().is_empty(), "{self:?}");
        }
        assert!(self.headers.contains(body["request_id"].as_str().unwrap()));
        body["message"].as_str().unwrap().to_owned()
    }
}

impl TestGateway {
    /// The holder of the first start's token.
    pub fn rest(&self) -> RestCaller {
        let token = self.file("admin.token").trim().to_owned();
        RestCaller::to(self.addresses.admin, &self.file("ca.pem"), Some(token))
    }
}

impl RestCaller {
    /// One that trusts this CA (PEM) alone.
    pub fn to(address: std::net::SocketAddr, ca: &str, token: Option<String>) -> Self {
        let ca = CertificateDer::from_pem_slice(ca.as_bytes()).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(ca).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self {
            address,
            tls: TlsConnector::from(Arc::new(tls)),
            token,
        }
    }

    /// A call under `/api/v1/namespaces/default`.
    pub async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let path = format!("/api/v1/namespaces/default{path}");
        self.at(method, &path, body).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, None).await
    }

    /// A call of any path.
    pub async fn at(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        self.raw(method, path, &[("content-type", "application/json")], &body)
            .await
    }

    pub async fn raw(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n",
            body.len()
        );
        if let Some(token) = &self.token {
            request += &format!("authorization: Bearer {token}\r\n");
        }
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        request += "\r\n";
        request += body;
        let socket = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut socket = self.tls.connect(name, socket).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // A server that closes without close_notify is no fault here.
        let read = socket.read_to_end(&mut answer);
        let _ = within("an answer of REST", read).await;
        let answer = String::from_utf8(answer).unwrap();
        let (headers, text) = answer.split_once("\r\n\r\n").unwrap();
        Answer {
            status: headers.split(' ').nth(1).unwrap().parse().unwrap(),
            headers: headers.to_owned(),
            text: text.to_owned(),
        }
    }
}
