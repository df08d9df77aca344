//! The bounds that every connection is held to.

use std::time::Duration;

/// Bounds of one listener. The defaults are those of an agent listener; each
/// is a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Open connections in all; one more is closed at once.
    pub max_connections: usize,
    /// Open connections from one address; one more is closed at once.
    pub max_connections_per_address: usize,
    /// From the accept to the end of the TLS handshake.
    pub tls_deadline: Duration,
    /// From the end of the TLS handshake to the HTTP/2 preface and the first
    /// frame header, 33 bytes in all.
    pub preface_deadline: Duration,
    /// Streams open at a time on one connection. An agent uses one stream and a
    /// few unary calls. tonic's own default is none.
    pub max_concurrent_streams: u32,
    /// Streams of one connection that muster resets for errors before GOAWAY (the fix of
    /// RUSTSEC-2024-0003, which tonic switches off).
    pub max_local_error_resets: usize,
    /// Streams reset by the peer before we accepted them, before GOAWAY.
    pub max_pending_accept_resets: usize,
    /// Bytes of one header list. Below 16 KiB h2 answers an oversized key with
    /// HTTP 431, of which an agent's log says nothing.
    pub max_header_list_bytes: u32,
    /// HTTP/2 window of one stream, bytes.
    pub stream_window_bytes: u32,
    /// HTTP/2 window of one connection, bytes.
    pub connection_window_bytes: u32,
    /// A peer that has been silent for this time gets a PING.
    pub keepalive_interval: Duration,
    /// A peer that has not answered a PING for this time is cut.
    pub keepalive_timeout: Duration,
    /// A connection without an open stream or a request for this time gets GOAWAY.
    pub idle_timeout: Duration,
    /// From the end of a session to the closing of its socket, should the peer
    /// not have closed it.
    pub cut_after: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 16_384,
            max_connections_per_address: 4_096,
            tls_deadline: Duration::from_secs(5),
            preface_deadline: Duration::from_secs(5),
            max_concurrent_streams: 16,
            max_local_error_resets: 64,
            max_pending_accept_resets: 20,
            max_header_list_bytes: 16 * 1024,
            stream_window_bytes: 64 * 1024,
            connection_window_bytes: 256 * 1024,
            keepalive_interval: Duration::from_secs(20),
            keepalive_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(120),
            cut_after: Duration::from_secs(2),
        }
    }
}
