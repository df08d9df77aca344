//! What a listener reports about its connections.
//!
//! Owns: the reasons why connections end or never begin. Must not know: metric
//! names, log formats, the words that an operator sees for a refusal. Invariant:
//! the sets of reasons are closed, so that they can be labels of a metric.

use std::net::SocketAddr;

/// Hears of every connection; for metrics and logs.
///
/// Called from the listener's own tasks: it must be quick and must not block.
/// Each connection is either refused once, or opened once and closed once.
pub trait Observer: Send + Sync + 'static {
    /// A connection has finished its TLS handshake.
    fn opened(&self) {}
    /// An opened connection has ended.
    fn closed(&self, reason: CloseReason) {
        let _ = reason;
    }
    /// A connection ended before it was opened.
    fn refused(&self, peer: SocketAddr, reason: RefuseReason) {
        let _ = (peer, reason);
    }
    /// The system could not accept a connection (out of descriptors, out of
    /// memory); the listener waits a little and tries again.
    fn accept_failed(&self) {}
}

/// An observer that ignores everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl Observer for Unobserved {}

/// Why an opened connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The peer closed it, or the network did.
    Peer,
    /// The peer broke HTTP/2's rules or a limit on stream errors; it was sent
    /// GOAWAY.
    Protocol,
    /// The HTTP/2 preface and first frame header did not come in time.
    PrefaceDeadline,
    /// The peer answered no PING.
    KeepAlive,
    /// Nothing was asked for too long; the peer was sent GOAWAY.
    Idle,
    /// [`Call::cut`](super::Call::cut) was due.
    Cut,
    /// The listener drained, and the connection ended in time.
    Drained,
    /// The listener drained, and the connection was still there at the end.
    HardEnd,
}

impl CloseReason {
    /// For a metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Protocol => "protocol",
            Self::PrefaceDeadline => "preface_deadline",
            Self::KeepAlive => "keepalive",
            Self::Idle => "idle",
            Self::Cut => "cut",
            Self::Drained => "drained",
            Self::HardEnd => "hard_end",
        }
    }
}

/// Why a connection was closed before it was open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefuseReason {
    /// The listener has as many connections as it may.
    TooMany,
    /// This address has as many connections as it may.
    TooManyFromAddress,
    /// The peer refused our certificate, and said so.
    CertificateRefused,
    /// What came is no TLS record: plaintext or garbage.
    NotTls,
    /// The TLS handshake failed otherwise, or the peer left during it.
    TlsFailed,
    /// The TLS handshake did not end in time.
    TlsDeadline,
    /// The listener began to drain during the TLS handshake.
    ShuttingDown,
}
