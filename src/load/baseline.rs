//! The floor: what a gateway's shell costs without a gateway's work.
//!
//! tonic's own server with the agent's protocol and the same TLS; it checks no
//! key, keeps no row, knows no session by name. `muster load` measures it like
//! a gateway, so its admin API makes keys that are not checked, and a revoke ends
//! every stream there is.
//! Must not know: anything that a gateway does.

mod admin;
mod agents;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, Stream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

use crate::files::{self, Access};
use crate::keys::{Kind, mint};
use crate::metrics::endpoints::Ops;
use crate::metrics::registry::Metrics;
use crate::net::certs::{CertError, CertOptions, Certs};
use crate::net::listener::Limits;
use crate::proto::admin::v1::key_service_server::KeyServiceServer;
use crate::proto::mpi::v1::command_service_server::CommandServiceServer;

/// Connections whose handshake is done and which tonic has not taken yet.
const ACCEPTED: usize = 64;
const HTTP2: &[&[u8]] = &[b"h2"];

/// Where a floor listens and lives.
#[derive(Debug, Clone)]
pub struct FloorOptions {
    /// Its CA, its leaf, and how it is found.
    pub data_dir: PathBuf,
    pub agent: SocketAddr,
    /// Where the harness makes keys.
    pub admin: SocketAddr,
    /// Where CPU and memory can be read.
    pub ops: SocketAddr,
    /// tonic's own HTTP/2 settings instead of the gateway's.
    pub defaults: bool,
}

/// Where it is bound, with real ports.
#[derive(Debug, Clone, Copy)]
pub struct FloorAddresses {
    pub agent: SocketAddr,
    pub admin: SocketAddr,
    pub ops: SocketAddr,
}

/// Why there is no floor.
#[derive(Debug, thiserror::Error)]
pub enum FloorError {
    /// An address can't be bound.
    #[error("{address}: {cause}")]
    Bind {
        address: SocketAddr,
        cause: io::Error,
    },
    /// No certificate.
    #[error(transparent)]
    Certs(#[from] CertError),
    /// A file of the data directory.
    #[error("{0}")]
    File(#[from] io::Error),
    /// No random numbers for the token.
    #[error("no random numbers from the operating system: {0}")]
    NoRandomness(String),
}

/// Bound, not yet serving.
pub struct Floor {
    addresses: FloorAddresses,
    agent: TcpListener,
    admin: TcpListener,
    ops: TcpListener,
    certs: Certs,
    defaults: bool,
}

impl Floor {
    /// Binds, and writes into the data directory how it is found.
    ///
    /// # Errors
    /// [`FloorError`].
    pub async fn bind(options: FloorOptions) -> Result<Self, FloorError> {
        let dir = &options.data_dir;
        files::make_dir(dir)?;
        let certs = Certs::open(&CertOptions {
            data_dir: dir.clone(),
            ca_dir: None,
            agent_host: None,
            listen_ips: vec![options.agent.ip(), options.admin.ip()],
        })?;
        let bind = async |address| {
            let bound = TcpListener::bind(address).await;
            bound.map_err(|cause| FloorError::Bind { address, cause })
        };
        let agent = bind(options.agent).await?;
        let admin = bind(options.admin).await?;
        let ops = bind(options.ops).await?;
        let addresses = FloorAddresses {
            agent: agent.local_addr()?,
            admin: admin.local_addr()?,
            ops: ops.local_addr()?,
        };
        let token = mint(Kind::AdminToken).map_err(|e| FloorError::NoRandomness(e.to_string()))?;
        let tell = |name: &str, text: String, access| {
            files::write(&dir.join(name), format!("{text}\n").as_bytes(), access)
        };
        // It is not checked, but commands ask for one.
        tell("admin.token", token.expose().to_owned(), Access::Secret)?;
        tell(
            "admin.url",
            format!("https://{}", addresses.admin),
            Access::Public,
        )?;
        tell("agent.address", addresses.agent.to_string(), Access::Public)?;
        tell("ops.address", addresses.ops.to_string(), Access::Public)?;
        Ok(Self {
            addresses,
            agent,
            admin,
            ops,
            certs,
            defaults: options.defaults,
        })
    }

    /// Where it is bound.
    pub fn addresses(&self) -> FloorAddresses {
        self.addresses
    }

    /// Serves until `shutdown`.
    ///
    /// # Errors
    /// When a socket fails for good.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        let tls = TlsAcceptor::from(self.certs.server_config(HTTP2));
        let (end, ended) = watch::channel(0_u64);
        let agents = self
            .server()
            .add_service(CommandServiceServer::new(agents::Agents::new(ended)))
            .serve_with_incoming(incoming(self.agent, tls.clone()));
        let admin = Server::builder()
            .add_service(KeyServiceServer::new(admin::Admin::new(Arc::new(end))))
            .serve_with_incoming(incoming(self.admin, tls));
        let stop = CancellationToken::new();
        let ops =
            Ops::new(Arc::new(Metrics::new())).serve(self.ops, stop.clone().cancelled_owned());
        tokio::select! {
            served = agents => served.map_err(io::Error::other),
            served = admin => served.map_err(io::Error::other),
            served = ops => served,
            () = shutdown => Ok(()),
        }
    }

    /// tonic's server, set as far as tonic lets as the gateway's listener is.
    fn server(&self) -> Server {
        if self.defaults {
            return Server::builder();
        }
        let limits = Limits::default();
        Server::builder()
            .initial_stream_window_size(limits.stream_window_bytes)
            .initial_connection_window_size(limits.connection_window_bytes)
            .max_concurrent_streams(limits.max_concurrent_streams)
            .max_frame_size(16 * 1024)
            .http2_max_header_list_size(limits.max_header_list_bytes)
            .http2_keepalive_interval(Some(limits.keepalive_interval))
            .http2_keepalive_timeout(Some(limits.keepalive_timeout))
    }
}

/// Connections whose TLS handshake is done, each shaken in a task of its own.
fn incoming(
    socket: TcpListener,
    tls: TlsAcceptor,
) -> impl Stream<Item = io::Result<TlsStream<TcpStream>>> {
    let (accepted, taken) = mpsc::channel(ACCEPTED);
    let accept = async move {
        let mut handshakes = JoinSet::new();
        loop {
            let Ok((stream, _)) = socket.accept().await else {
                // Out of descriptors: they come back.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let (tls, accepted) = (tls.clone(), accepted.clone());
            handshakes.spawn(async move {
                let _ = stream.set_nodelay(true);
                if let Ok(stream) = tls.accept(stream).await {
                    let _ = accepted.send(Ok(stream)).await;
                }
            });
            while handshakes.try_join_next().is_some() {}
        }
    };
    let task = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(accept));
    stream::unfold((taken, task), async |(mut taken, task)| {
        let next = taken.recv().await?;
        Some((next, (taken, task)))
    })
}
