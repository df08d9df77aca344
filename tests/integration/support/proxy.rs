//! A TCP proxy between one gateway and Redis that can do what networks do: lose
//! every byte with the connections left open, cut, delay.
//!
//! A connection that has lost a byte stays lost when the fault is over, as one
//! to a host that vanished: what goes on later begins with a new connection.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

/// What happens to the connections that it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Bytes go nowhere, in both directions.
    Swallow(Of),
    /// They are closed, and so is every new one.
    Cut(Of),
    /// Bytes come so much later, in each direction.
    Delay(Of, Duration),
}

/// Which connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    All,
    /// The lease, whose answers carry the feed, and the hint.
    Tail,
    /// The one that waits for the feed.
    Hint,
}

/// What a connection is for, known by what passes over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    NotYetKnown,
    Lease,
    Hint,
}

/// Ends with the test.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    _accepting: AbortOnDropHandle<()>,
}

struct Shared {
    server: watch::Sender<u16>,
    fault: watch::Sender<Fault>,
    links: Mutex<Vec<Arc<Link>>>,
}

struct Link {
    /// Of the proxy, as the server sees it.
    address: SocketAddr,
    kind: Mutex<Kind>,
    deaf: Mutex<bool>,
}

impl Proxy {
    /// In front of a server on loopback.
    pub async fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            server: watch::Sender::new(server),
            fault: watch::Sender::new(Fault::None),
            links: Mutex::default(),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self {
            port,
            shared,
            _accepting: AbortOnDropHandle::new(accepting),
        }
    }

    /// A store's URL by way of this proxy.
    pub fn way_of(&self, url: &str) -> String {
        let (before, place) = url.rsplit_once("127.0.0.1:").unwrap();
        let database = place.split_once('/').map_or("", |(_, database)| database);
        format!("{before}127.0.0.1:{}/{database}", self.port)
    }

    pub fn set(&self, fault: Fault) {
        self.shared.fault.send_replace(fault);
    }

    /// Another server is behind it now: all connections are closed.
    pub fn lead_to(&self, server: u16) {
        self.shared.server.send_replace(server);
    }

    /// The lease's connection and the hint's, as the server sees them.
    pub fn tail(&self) -> Vec<SocketAddr> {
        let links = self.shared.links();
        let tail = links.iter().filter(|link| link.is(Of::Tail));
        tail.map(|link| link.address).collect()
    }
}

impl Shared {
    fn links(&self) -> MutexGuard<'_, Vec<Arc<Link>>> {
        self.links.lock().unwrap()
    }
}

impl Link {
    fn is(&self, of: Of) -> bool {
        let kind = *self.kind.lock().unwrap();
        match of {
            Of::All => true,
            Of::Tail => matches!(kind, Kind::Lease | Kind::Hint),
            Of::Hint => kind == Kind::Hint,
        }
    }

    fn is_deaf(&self) -> bool {
        *self.deaf.lock().unwrap()
    }

    fn is_cut(&self, fault: Fault) -> bool {
        matches!(fault, Fault::Cut(of) if self.is(of))
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            continue;
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let server = *shared.server.borrow();
            let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else {
                return;
            };
            let link = Arc::new(Link {
                address: server.local_addr().unwrap(),
                kind: Mutex::new(Kind::NotYetKnown),
                deaf: Mutex::new(false),
            });
            shared.links().push(Arc::clone(&link));
            carry(client, server, &shared, &link).await;
            shared.links().retain(|other| !Arc::ptr_eq(other, &link));
        });
    }
}

/// Until one side closes, or a fault does.
async fn carry(client: TcpStream, server: TcpStream, shared: &Shared, link: &Link) {
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut fault = shared.fault.subscribe();
    let mut moved = shared.server.subscribe();
    tokio::select! {
        () = pump(from_client, to_server, shared, link, true) => {}
        () = pump(from_server, to_client, shared, link, false) => {}
        _ = fault.wait_for(|fault| link.is_cut(*fault)) => {}
        _ = moved.changed() => {}
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    to: OwnedWriteHalf,
    shared: &Shared,
    link: &Link,
    are_requests: bool,
) {
    let (sender, late) = mpsc::unbounded_channel();
    let _writing = AbortOnDropHandle::new(tokio::spawn(write_late(to, late)));
    let mut chunk = vec![0; 64 * 1024];
    let mut seen = Vec::new();
    loop {
        let length = match from.read(&mut chunk).await {
            Ok(0) | Err(_) => return,
            Ok(length) => length,
        };
        let bytes = &chunk[..length];
        if are_requests {
            seen.extend_from_slice(bytes);
            if let Some(kind) = kind_of(&seen) {
                *link.kind.lock().unwrap() = kind;
            }
            // What may be the beginning of the words that tell.
            seen.drain(..seen.len().saturating_sub(256));
        }
        let fault = *shared.fault.borrow();
        let mut due = Instant::now();
        match fault {
            Fault::Swallow(of) if link.is(of) => *link.deaf.lock().unwrap() = true,
            Fault::Cut(of) if link.is(of) => return,
            Fault::Delay(of, late) if link.is(of) => due += late,
            _ => {}
        }
        if !link.is_deaf() && sender.send((due, bytes.to_vec())).is_err() {
            return;
        }
    }
}

/// Each chunk when it is due: those behind it are on their way meanwhile.
async fn write_late(mut to: OwnedWriteHalf, mut late: mpsc::UnboundedReceiver<(Instant, Vec<u8>)>) {
    while let Some((due, bytes)) = late.recv().await {
        tokio::time::sleep_until(due).await;
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

/// The lease alone reads a range of the feed, the hint alone waits at it.
fn kind_of(bytes: &[u8]) -> Option<Kind> {
    let reads_feed = |command: &[u8], within: usize| {
        let mut at = bytes.windows(command.len()).enumerate();
        at.any(|(at, word)| {
            let rest = &bytes[at..bytes.len().min(at + within)];
            word == command && rest.windows(6).any(|word| word == b":feed\r")
        })
    };
    if reads_feed(b"XREAD\r", 200) {
        Some(Kind::Hint)
    } else if reads_feed(b"XRANGE\r", 60) {
        Some(Kind::Lease)
    } else {
        None
    }
}
