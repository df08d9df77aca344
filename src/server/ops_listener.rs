//! The ops listener's socket and task: the first thing that is up, the last
//! that goes.
//!
//! Must not know: what a probe gets. Invariant: it ends with this value.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::metrics::endpoints::Ops;
use crate::net::listener::BindError;

/// Bound, and served.
pub(super) struct OpsListener {
    pub ops: Ops,
    address: SocketAddr,
    stop: CancellationToken,
    task: AbortOnDropHandle<()>,
}

impl OpsListener {
    pub async fn bind(address: SocketAddr, ops: Ops) -> Result<Self, BindError> {
        let failed = |cause| BindError { address, cause };
        let socket = TcpListener::bind(address).await.map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        let stop = CancellationToken::new();
        let served = ops.clone().serve(socket, stop.clone().cancelled_owned());
        let task = tokio::spawn(async move {
            if let Err(error) = served.await {
                tracing::error!(%error, "the ops listener failed");
            }
        });
        Ok(Self {
            ops,
            address,
            stop,
            task: AbortOnDropHandle::new(task),
        })
    }

    /// With its real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Until `stop`, or until it ends by itself.
    pub async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => self.stop.cancel(),
            _ = &mut self.task => return,
        }
        // A panic in there has been logged by the runtime.
        let _ = self.task.await;
    }
}
