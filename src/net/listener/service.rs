//! The service that hyper calls: wraps the real one so that each request is a
//! [`Call`].
//!
//! Owns: the life of a call between its headers and the end of its answer. Must
//! not know: gRPC, sessions, deadlines. Invariant: whatever the inner service
//! does (fail, panic), the peer sees an answer or `RST_STREAM(INTERNAL_ERROR)`,
//! never `RST_STREAM(CANCEL)`, which grpc-go takes as final.

use std::any::Any;
use std::convert::Infallible;
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tower::ServiceExt;
use tower::util::Oneshot;

use super::call::{Call, CallGuard};
use super::lifecycle::Shared;

/// One connection's view of the service.
pub(super) struct CallService<S> {
    inner: S,
    connection: Arc<Shared>,
}

impl<S> CallService<S> {
    pub(super) fn new(inner: S, connection: Arc<Shared>) -> Self {
        Self { inner, connection }
    }
}

impl<S, B> hyper::service::Service<Request<Incoming>> for CallService<S>
where
    S: tower_service::Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone,
{
    type Response = Response<CallBody<B>>;
    type Error = Infallible;
    type Future = CallFuture<S>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let (call, guard) = Call::begin(&self.connection);
        // A tunnel (CONNECT) would be dropped half open by a service that does
        // not know it, and h2 would send CANCEL.
        if request.method() == Method::CONNECT {
            return CallFuture {
                inner: None,
                refusal: StatusCode::METHOD_NOT_ALLOWED,
                guard: Some(guard),
            };
        }
        request.extensions_mut().insert(call);
        CallFuture {
            inner: Some(Box::pin(self.inner.clone().oneshot(request))),
            // What a panic is answered with; grpc-go reads it as UNAVAILABLE.
            refusal: StatusCode::SERVICE_UNAVAILABLE,
            guard: Some(guard),
        }
    }
}

/// The inner service's future. Boxed: it is large, and hyper moves it.
type Inner<S> = Pin<Box<Oneshot<S, Request<Incoming>>>>;

/// The answer to come.
pub(super) struct CallFuture<S>
where
    S: tower_service::Service<Request<Incoming>>,
{
    inner: Option<Inner<S>>,
    refusal: StatusCode,
    guard: Option<CallGuard>,
}

// The inner future is boxed, so nothing here is pinned structurally.
impl<S> Unpin for CallFuture<S> where S: tower_service::Service<Request<Incoming>> {}

impl<S, B> Future for CallFuture<S>
where
    S: tower_service::Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
{
    type Output = Result<Response<CallBody<B>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(inner) = &mut this.inner {
            match catch_unwind(AssertUnwindSafe(|| inner.as_mut().poll(cx))) {
                Ok(Poll::Pending) => return Poll::Pending,
                Ok(Poll::Ready(Ok(response))) => {
                    this.inner = None;
                    let guard = this.guard.take();
                    return Poll::Ready(Ok(response.map(|body| CallBody {
                        inner: Some(Box::pin(body)),
                        guard,
                    })));
                }
                Ok(Poll::Ready(Err(never))) => match never {},
                Err(panic) => report_panic(&*panic),
            }
        }
        this.inner = None;
        let mut response = Response::new(CallBody {
            inner: None,
            guard: this.guard.take(),
        });
        *response.status_mut() = this.refusal;
        Poll::Ready(Ok(response))
    }
}

/// The answer's body; its call is open until it ends or is dropped.
pub(super) struct CallBody<B> {
    inner: Option<Pin<Box<B>>>,
    guard: Option<CallGuard>,
}

/// The inner body failed. Its error goes to the log and not to hyper, which
/// would look for an HTTP/2 reason in it.
#[derive(Debug, thiserror::Error)]
#[error("the answer's body failed")]
pub(super) struct BodyFailed;

impl<B> Body for CallBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = BodyFailed;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFailed>>> {
        let Some(inner) = &mut self.inner else {
            self.guard = None;
            return Poll::Ready(None);
        };
        let polled = match catch_unwind(AssertUnwindSafe(|| inner.as_mut().poll_frame(cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(Some(Ok(frame)))) => return Poll::Ready(Some(Ok(frame))),
            Ok(Poll::Ready(None)) => None,
            Ok(Poll::Ready(Some(Err(error)))) => {
                let error: Box<dyn Error + Send + Sync> = error.into();
                tracing::debug!(error = &*error as &dyn Error, "an answer's body failed");
                Some(Err(BodyFailed))
            }
            Err(panic) => {
                report_panic(&*panic);
                Some(Err(BodyFailed))
            }
        };
        self.inner = None;
        self.guard = None;
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.inner
            .as_ref()
            .is_none_or(|inner| inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.inner
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), |inner| inner.size_hint())
    }
}

/// The panic's text may quote what a peer sent, so it is left to the panic
/// hook; this line ties it to a request.
fn report_panic(panic: &(dyn Any + Send)) {
    let known = panic.is::<&'static str>() || panic.is::<String>();
    tracing::error!(
        with_message = known,
        "a request's handler panicked; the request was answered as a fault of ours"
    );
}
