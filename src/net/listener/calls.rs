//! The calls of one connection, run by the connection's own task.
//!
//! Owns: the futures that hyper would spawn. Must not know: what they do.
//! Invariant: a call lives no longer than its connection's task. One task for
//! each call would cost a quarter more CPU time a call (docs/performance.md).

use parking_lot::Mutex;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use futures_util::stream::{FuturesUnordered, Stream};
use hyper::rt::Executor;

type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The calls of one connection.
pub(super) struct Calls {
    begun: Arc<Begun>,
    running: FuturesUnordered<Running>,
}

/// Takes what hyper spawns. It does so only while its connection is polled, so
/// no task has to be woken. Weak, because each call holds one.
#[derive(Clone)]
pub(super) struct Spawner(Weak<Begun>);

/// Calls that were not polled yet.
#[derive(Default)]
struct Begun(Mutex<Vec<Running>>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Spawner {
    fn execute(&self, call: F) {
        if let Some(begun) = self.0.upgrade() {
            begun.0.lock().push(Box::pin(call));
        }
    }
}

impl Calls {
    pub fn new() -> Self {
        Self {
            begun: Arc::default(),
            running: FuturesUnordered::new(),
        }
    }

    pub fn spawner(&self) -> Spawner {
        Spawner(Arc::downgrade(&self.begun))
    }

    /// Takes over the calls that hyper has started since; true if there were any.
    pub fn take_in(&mut self) -> bool {
        let mut begun = self.begun.0.lock();
        let any = !begun.is_empty();
        self.running.extend(begun.drain(..));
        any
    }

    /// Polls the calls that are new or were woken.
    pub fn poll(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(())) = Pin::new(&mut self.running).poll_next(cx) {}
    }
}
