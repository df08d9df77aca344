//! The accept loop of the TLS listeners.
//!
//! Owns: sockets, TLS handshakes, HTTP/2 limits and deadlines, the closing of
//! connections. Must not know: gRPC, keys' records, sessions, metric names.
//! Invariant: every connection is bounded in each of its phases (handshake,
//! preface, silence, idleness, cut, drain), whatever its peer does, and is one
//! task that [`Listener::serve`] waits for.
//!
//! tonic's own accept loop is not used: it leaves limits off, has no deadline
//! for TLS and the preface, and can't close one connection.

mod call;
mod calls;
mod connection;
mod connection_limits;
mod lifecycle;
mod limits;
mod observer;
mod service;

use parking_lot::Mutex;
use std::collections::HashMap;
use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use call::Call;
pub use call::Cut;
pub(crate) use limits::Limits;
pub(crate) use observer::{CloseReason, Observer, RefuseReason, Unobserved};

use connection_limits::{Admission, ConnectionPermit};
use lifecycle::{Protocol, Shared, later};

/// Connections that the kernel holds for us: after a restart a whole fleet
/// comes at once.
const BACKLOG: u32 = 4096;
/// Waits after failed accepts, from the first to the longest.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// As ALPN calls them.
const HTTP1: &[u8] = b"http/1.1";
const HTTP2: &[u8] = b"h2";

/// Why a listener could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {cause}")]
pub struct BindError {
    /// The address that was asked for.
    pub address: SocketAddr,
    /// What the system said.
    #[source]
    pub cause: io::Error,
}

/// A bound socket that does not serve yet.
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    limits: Arc<Limits>,
    tls: TlsAcceptor,
    observer: Arc<dyn Observer>,
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener")
            .field("address", &self.address)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Listener {
    /// Binds `address` (port 0: the system chooses). `tls` has to offer `h2`, and
    /// may offer `http/1.1`; who agrees on nothing is taken to speak the latter
    /// where it is offered.
    ///
    /// # Errors
    /// When the address is taken, not ours, or not allowed.
    #[expect(
        clippy::unused_async,
        reason = "binding needs a running runtime, which an async fn makes plain"
    )]
    pub async fn bind(
        address: SocketAddr,
        limits: Limits,
        tls: Arc<rustls::ServerConfig>,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, BindError> {
        let bound = || -> io::Result<(TcpListener, SocketAddr)> {
            let socket = if address.is_ipv4() {
                TcpSocket::new_v4()?
            } else {
                TcpSocket::new_v6()?
            };
            // A restart must not wait for the old connections' TIME_WAIT.
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            let socket = socket.listen(BACKLOG)?;
            let real = socket.local_addr()?;
            Ok((socket, real))
        };
        let (socket, real) = bound().map_err(|cause| BindError { address, cause })?;
        Ok(Self {
            socket,
            address: real,
            limits: Arc::new(limits),
            tls: TlsAcceptor::from(tls),
            observer,
        })
    }

    /// The address that is listened on, with its real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` is cancelled, then drains.
    ///
    /// Draining: nothing more is accepted. Each connection, spread evenly over
    /// `drain_over`, gets GOAWAY, then its calls' [`Call::drain`], and closes
    /// once its calls have ended. What is left [`Limits::cut_after`] after
    /// `drain_over` is closed hard. Returns when no connection is left.
    pub async fn serve<S, B>(self, service: S, shutdown: CancellationToken, drain_over: Duration)
    where
        S: tower_service::Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
            + Clone
            + Send
            + 'static,
        S::Future: Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let tasks = TaskTracker::new();
        let admission = Admission::new(
            self.limits.max_connections,
            self.limits.max_connections_per_address,
        );
        let hub = Arc::new(Hub {
            limits: self.limits,
            tls: self.tls,
            observer: self.observer,
            closing: CancellationToken::new(),
            live: Mutex::default(),
        });

        let mut back_off = BACK_OFF.0;
        while let Some(accepted) = shutdown.run_until_cancelled(self.socket.accept()).await {
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                // The peer left while it waited: no resource is short.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(error) => {
                    hub.observer.accept_failed();
                    if back_off == BACK_OFF.0 {
                        tracing::warn!(%error, "cannot accept connections; retrying");
                    }
                    // Without this wait the loop would spin: the connection
                    // stays in the queue while descriptors are short.
                    if shutdown
                        .run_until_cancelled(sleep(back_off))
                        .await
                        .is_none()
                    {
                        break;
                    }
                    back_off = (back_off * 2).min(BACK_OFF.1);
                    continue;
                }
            };
            back_off = BACK_OFF.0;
            // A socket for both families shows IPv4 as ::ffff:…: one form for one peer.
            let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
            match admission.admit(peer.ip()) {
                Ok(permit) => {
                    tasks.spawn(Arc::clone(&hub).connection(stream, peer, permit, service.clone()));
                }
                Err(reason) => hub.observer.refused(peer, reason),
            }
        }

        drop(self.socket);
        drop(service);
        hub.drain(drain_over);
        tasks.close();
        tasks.wait().await;
    }
}

/// What all connections of a listener share.
struct Hub {
    limits: Arc<Limits>,
    tls: TlsAcceptor,
    observer: Arc<dyn Observer>,
    /// Cancelled when no handshake has to go on.
    closing: CancellationToken,
    live: Mutex<OpenConnections>,
}

#[derive(Default)]
struct OpenConnections {
    draining: bool,
    next: u64,
    connections: HashMap<u64, Arc<Shared>>,
}

impl Hub {
    async fn connection<S, B>(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        permit: ConnectionPermit,
        service: S,
    ) where
        S: tower_service::Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
            + Clone
            + Send
            + 'static,
        S::Future: Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        // Boxed, so that its room is not kept for as long as the connection
        // lives: a task is as large as the largest of its states.
        let handshake = Box::pin(connection::handshake(stream, &self.tls, &self.limits));
        let stream = match self.closing.run_until_cancelled(handshake).await {
            Some(Ok(stream)) => stream,
            Some(Err(reason)) => return self.observer.refused(peer, reason),
            None => return self.observer.refused(peer, RefuseReason::ShuttingDown),
        };
        let protocol = self.protocol(&stream);
        let shared = Shared::new(peer, Arc::clone(&self.limits), protocol, Instant::now());
        let Some(id) = self.enter(&shared) else {
            return self.observer.refused(peer, RefuseReason::ShuttingDown);
        };
        self.observer.opened();
        let reason = connection::serve(stream, service, &shared).await;
        self.live.lock().connections.remove(&id);
        // The slot outlives the socket: the limits count real sockets.
        drop(permit);
        tracing::debug!(%peer, reason = reason.as_str(), "a connection ended");
        self.observer.closed(reason);
    }

    fn protocol(&self, stream: &TlsStream<TcpStream>) -> Protocol {
        let agreed = stream.get_ref().1.alpn_protocol();
        let offers_http1 = || {
            let offered = &self.tls.config().alpn_protocols;
            offered.iter().any(|protocol| protocol == HTTP1)
        };
        if agreed != Some(HTTP2) && offers_http1() {
            Protocol::Http1
        } else {
            Protocol::Http2
        }
    }

    /// Makes a connection known to the drain; none when that has begun.
    fn enter(&self, shared: &Arc<Shared>) -> Option<u64> {
        let mut live = self.live.lock();
        if live.draining {
            return None;
        }
        let id = live.next;
        live.next += 1;
        live.connections.insert(id, Arc::clone(shared));
        Some(id)
    }

    /// Gives each connection its time to close; their own tasks keep it.
    fn drain(&self, drain_over: Duration) {
        let connections: Vec<_> = {
            let mut live = self.live.lock();
            live.draining = true;
            // In the map's order, which is no order: neighbours in time are
            // not neighbours in the drain.
            live.connections.values().cloned().collect()
        };
        self.closing.cancel();
        let now = Instant::now();
        let hard_end = later(later(now, drain_over), self.limits.cut_after);
        let step = drain_over
            .checked_div(u32::try_from(connections.len()).unwrap_or(u32::MAX))
            .unwrap_or_default();
        let mut at = now;
        for connection in connections {
            connection.schedule_drain(at, hard_end);
            at = later(at, step);
        }
    }
}

#[cfg(test)]
mod tests;
