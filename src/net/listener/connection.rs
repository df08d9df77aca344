//! One connection: from the TLS handshake to the closed socket.
//!
//! Owns: the handshake with its deadline, hyper's HTTP/2 settings, the loop that
//! carries out what [`Shared`] decides. Must not know: how connections are
//! accepted or counted. Invariant: a connection is one task, and dropping
//! hyper's future is the only way in which it closes a socket hard: no frame is
//! sent, so none can be misread, and a peer that reads nothing can't prevent it.

use std::convert::Infallible;
use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::calls::{Calls, Spawner};
use super::lifecycle::{Protocol, Shared, Step};
use super::service::CallService;
use super::{CloseReason, Limits, RefuseReason};

/// The protocol's own smallest frame limit, and what every peer can do.
const MAX_FRAME_BYTES: u32 = 16 * 1024;
/// HPACK table, the protocol's own default.
const HEADER_TABLE_BYTES: u32 = 4 * 1024;
/// What one stream may have waiting for its peer. hyper's 400 KiB, times the
/// streams of a connection, would be 6 MiB for one peer that reads nothing.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// hyper panics below.
const LEAST_HTTP1_BUFFER: usize = 8 * 1024;
/// Windows have 31 bits, and h2 panics above.
const MAX_WINDOW_BYTES: u32 = i32::MAX.unsigned_abs();

/// The TLS handshake, with its deadline.
pub(super) async fn handshake(
    stream: TcpStream,
    tls: &TlsAcceptor,
    limits: &Limits,
) -> Result<TlsStream<TcpStream>, RefuseReason> {
    // Small frames must not wait for an acknowledgement; without it all works,
    // slower.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    match timeout(limits.tls_deadline, tls.accept(stream)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a TLS handshake failed");
            Err(tls_fault(&error))
        }
        Err(_) => Err(RefuseReason::TlsDeadline),
    }
}

/// The likely cause of a failed handshake.
fn tls_fault(error: &io::Error) -> RefuseReason {
    use rustls::{AlertDescription as Alert, Error as Tls, InvalidMessage as Fault};

    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    match cause {
        Some(Tls::AlertReceived(
            Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA,
        )) => RefuseReason::CertificateRefused,
        // The faults of a record's header: a TLS client writes no such one.
        Some(Tls::InvalidMessage(
            Fault::InvalidContentType
            | Fault::UnknownProtocolVersion
            | Fault::MessageTooLarge
            | Fault::InvalidEmptyPayload,
        )) => RefuseReason::NotTls,
        _ => RefuseReason::TlsFailed,
    }
}

/// Every HTTP/2 setting, written out: a default of hyper or h2 may change or be
/// no limit at all.
fn http2_builder(limits: &Limits, spawner: Spawner) -> http2::Builder<Spawner> {
    let mut builder = http2::Builder::new(spawner);
    builder
        .timer(TokioTimer::new())
        .adaptive_window(false)
        .initial_stream_window_size(limits.stream_window_bytes.min(MAX_WINDOW_BYTES))
        .initial_connection_window_size(limits.connection_window_bytes.min(MAX_WINDOW_BYTES))
        .max_concurrent_streams(limits.max_concurrent_streams)
        .max_local_error_reset_streams(limits.max_local_error_resets)
        .max_pending_accept_reset_streams(limits.max_pending_accept_resets)
        .max_header_list_size(limits.max_header_list_bytes)
        .max_frame_size(MAX_FRAME_BYTES)
        .header_table_size(HEADER_TABLE_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .keep_alive_interval(limits.keepalive_interval)
        .keep_alive_timeout(limits.keepalive_timeout);
    builder
}

/// HTTP/1.1's deadline and bound, written out for the same reason.
fn http1_builder(limits: &Limits) -> http1::Builder {
    let bytes = usize::try_from(limits.max_header_list_bytes).unwrap_or(usize::MAX);
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.preface_deadline)
        .max_buf_size(bytes.max(LEAST_HTTP1_BUFFER));
    builder
}

/// One connection, served until it ends, whichever way.
type Serving<'a> = Pin<Box<dyn Future<Output = CloseReason> + Send + 'a>>;

/// Serves one connection. No `async fn`, which would keep room for the stream
/// that it was given beside hyper's connection, into which that has moved.
pub(super) fn serve<'a, S, B>(
    stream: TlsStream<TcpStream>,
    service: S,
    shared: &'a Arc<Shared>,
) -> Serving<'a>
where
    S: tower_service::Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let io = TokioIo::new(Metered {
        inner: stream,
        shared: Arc::clone(shared),
    });
    let service = CallService::new(service, Arc::clone(shared));
    let calls = Calls::new();
    match shared.protocol {
        Protocol::Http2 => {
            let builder = http2_builder(shared.limits(), calls.spawner());
            let connection = Box::pin(builder.serve_connection(io, service));
            Box::pin(drive(
                connection,
                calls,
                http2::Connection::graceful_shutdown,
                shared,
            ))
        }
        Protocol::Http1 => {
            let connection = Box::pin(http1_builder(shared.limits()).serve_connection(io, service));
            Box::pin(drive(
                connection,
                calls,
                http1::Connection::graceful_shutdown,
                shared,
            ))
        }
    }
}

/// Carries out what [`Shared`] decides, beside hyper's work and the calls'.
async fn drive<C>(
    mut connection: Pin<Box<C>>,
    mut calls: Calls,
    go_away: impl Fn(Pin<&mut C>),
    shared: &Arc<Shared>,
) -> CloseReason
where
    C: Future<Output = Result<(), hyper::Error>>,
{
    let mut timer = pin!(sleep_until(Instant::now()));
    let reason = poll_fn(|cx| {
        loop {
            // Calls first, so that their answers go out when the connection is
            // polled.
            calls.poll(cx);
            if let Poll::Ready(result) = connection.as_mut().poll(cx) {
                let reason = result.map_or_else(|e| reason_of(&e), |()| CloseReason::Peer);
                return Poll::Ready(reason);
            }
            if calls.take_in() {
                continue;
            }
            match shared.next_step(Instant::now(), cx.waker()) {
                Step::Close(reason) => return Poll::Ready(reason),
                // The next round polls the connection, so GOAWAY is on its way
                // before any call ends.
                Step::GoAway => go_away(connection.as_mut()),
                Step::SignalCalls => shared.drain.cancel(),
                Step::Wait(until) => {
                    // Deadlines mostly move away (each read moves one), so the
                    // timer stays and finds out when it fires.
                    if timer.is_elapsed() || until < timer.deadline() {
                        timer.as_mut().reset(until);
                    }
                    if timer.as_mut().poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                }
            }
        }
    })
    .await;
    let ours = shared.finish();
    match (reason, ours) {
        (CloseReason::Peer, Some(ours)) => ours,
        (reason, _) => reason,
    }
}

/// Why hyper gave a connection up.
fn reason_of(error: &hyper::Error) -> CloseReason {
    if error.is_timeout() {
        return CloseReason::KeepAlive;
    }
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(h2) = cause.downcast_ref::<h2::Error>() {
            return if h2.is_go_away() && h2.is_library() {
                CloseReason::Protocol
            } else {
                CloseReason::Peer
            };
        }
        source = cause.source();
    }
    CloseReason::Peer
}

/// Tells the connection how much it has read, after TLS.
struct Metered<T> {
    inner: T,
    shared: Arc<Shared>,
}

impl<T: AsyncRead + Unpin> AsyncRead for Metered<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        let read = buf.filled().len().saturating_sub(before);
        if read > 0 {
            self.shared.read(read, Instant::now());
        }
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Metered<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
