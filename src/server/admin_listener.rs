//! The admin listener's socket and task: up as long as the gateway waits for
//! its store: every caller gets the reason.
//!
//! Must not know: what operators may call. Invariant: it ends with this value.

use std::net::SocketAddr;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::admin_api::NotReadyService;
use crate::net::listener::Listener;

/// Bound, and served.
pub(super) struct AdminListener {
    /// What operators come through.
    pub door: NotReadyService,
    address: SocketAddr,
    drain: CancellationToken,
    task: AbortOnDropHandle<()>,
}

impl AdminListener {
    pub fn serve(listener: Listener, drain_time: Duration) -> Self {
        let door = NotReadyService::shut("the gateway starts");
        let address = listener.local_addr();
        let drain = CancellationToken::new();
        let served = listener.serve(door.clone(), drain.clone(), drain_time);
        Self {
            door,
            address,
            drain,
            task: AbortOnDropHandle::new(tokio::spawn(served)),
        }
    }

    /// With its real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Until it is drained after `drain`, or until it ends by itself.
    pub async fn run(mut self, drain: CancellationToken) {
        tokio::select! {
            () = drain.cancelled() => self.drain.cancel(),
            _ = &mut self.task => return,
        }
        // A panic in there has been logged by the runtime.
        let _ = self.task.await;
    }
}
