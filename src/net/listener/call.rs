//! One request and its answer.
//!
//! Owns: what the layers above may ask of the connection that carries a call.
//! Must not know: hyper, gRPC, sessions. Invariant: a call is open from the
//! moment its headers were read until its guard is dropped, and nothing here
//! blocks or awaits.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::lifecycle::Shared;
use crate::keys::KeyId;

/// How much [`Call::cut`] cuts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The socket is closed whatever the peer does, unless the connection
    /// carries an open call of another key; then it is closed only if the cut
    /// call itself still stands.
    Connection,
    /// The socket is closed only if the call still stands.
    Stream,
}

/// One request and its answer on a connection (an HTTP/2 stream). The listener
/// puts it into the request's extensions as `Arc<Call>`.
#[derive(Debug)]
pub struct Call {
    connection: Arc<Shared>,
    /// Its number on the connection.
    id: u64,
    owner: OnceLock<KeyId>,
    open: AtomicBool,
}

impl Call {
    /// Begins a call; it stays open until the guard is dropped.
    pub(super) fn begin(connection: &Arc<Shared>) -> (Arc<Self>, CallGuard) {
        let id = connection.call_began(Instant::now());
        let call = Arc::new(Self {
            connection: Arc::clone(connection),
            id,
            owner: OnceLock::new(),
            open: AtomicBool::new(true),
        });
        (Arc::clone(&call), CallGuard(call))
    }

    /// The address that the connection comes from.
    pub fn peer(&self) -> SocketAddr {
        self.connection.peer
    }

    /// Says whose call this is, once that is proven. Only the first owner
    /// counts.
    pub fn set_owner(&self, key: KeyId) {
        if self.owner.set(key).is_ok() {
            self.connection.call_owned(self.id, key);
        }
    }

    /// Whose call this is, if that was said.
    pub fn owner(&self) -> Option<KeyId> {
        self.owner.get().copied()
    }

    /// Cancelled when the connection drains: a call that would not end by
    /// itself ends then. It belongs to the whole connection; don't cancel it.
    pub fn drain(&self) -> &CancellationToken {
        &self.connection.drain
    }

    /// Closes the socket `Limits::cut_after` from now, as `scope` says. To be
    /// called when the answer's end is on its way (a session was ended): the
    /// wait lets a peer that reads see the reason. Closing sends no HTTP/2
    /// frame, so the peer never sees `RST_STREAM(CANCEL)`.
    ///
    /// Returns at once; the connection's own task keeps the deadline. A second
    /// call can widen the scope but not move the moment.
    pub fn cut(&self, scope: Cut) {
        let (id, owner) = (self.id, self.owner());
        self.connection.cut(id, owner, scope, Instant::now());
    }

    /// Whether the answer's body has not yet ended or been dropped.
    #[cfg(test)]
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }
}

/// Keeps a call open; goes from the service's future to the response's body.
#[derive(Debug)]
pub(super) struct CallGuard(Arc<Call>);

impl Drop for CallGuard {
    fn drop(&mut self) {
        self.0.open.store(false, Ordering::Release);
        self.0.connection.call_ended(self.0.id, Instant::now());
    }
}
