//! Moments at which connections that can wait are served together.
//!
//! Owns: which of them have something to do, and when they get their turn. Must
//! not know: why they can wait. Invariant: who is put off comes to his turn
//! within one pause. A fleet whose key was revoked tries for ever, each agent at
//! a moment of its own; to wake a thread and to find cold memory for each of
//! those calls costs several times what the answer costs (docs/performance.md).

use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::sleep;

use super::turns::Turns;

/// Connections that are woken before the others of the gateway have their turn,
/// whose agents are not to feel that many come at one moment.
const AT_ONCE: usize = 4;

/// The connections of one listener that wait for the next moment.
#[derive(Debug)]
pub(super) struct Moments {
    pause: Duration,
    waiting: Mutex<Vec<Arc<Turns>>>,
    first: Notify,
}

impl Moments {
    /// Nobody is put off for longer than `pause`; zero: nobody is put off.
    pub fn new(pause: Duration) -> Arc<Self> {
        Arc::new(Self {
            pause,
            waiting: Mutex::default(),
            first: Notify::new(),
        })
    }

    /// Whether anybody is ever put off.
    pub fn are_kept(&self) -> bool {
        !self.pause.is_zero()
    }

    /// Wakes a connection's task at the next moment.
    pub fn put_off(&self, turns: Arc<Turns>) {
        let mut waiting = self.waiting.lock();
        waiting.push(turns);
        if waiting.len() == 1 {
            self.first.notify_one();
        }
    }

    /// Keeps the moments. Never ends.
    pub async fn keep(&self) {
        loop {
            self.first.notified().await;
            sleep(self.pause).await;
            let due = std::mem::take(&mut *self.waiting.lock());
            for some in due.chunks(AT_ONCE) {
                some.iter().for_each(|turns| turns.wake_task());
                yield_now().await;
            }
        }
    }
}
