//! The handle that a session's stream holds.

use std::fmt;
use std::sync::Arc;

use super::registry::Registry;
use super::session::{EndReason, Session, SessionId};
use crate::keys::KeyId;

/// The handle that a session's stream holds: the session lives as long as it.
/// Given out by [`Registry::admit`] alone.
pub struct SessionGuard {
    pub(super) registry: Arc<Registry>,
    pub(super) session: Arc<Session>,
}

impl SessionGuard {
    /// The session's id.
    pub fn id(&self) -> SessionId {
        self.registry.session_id(self.session.number)
    }

    /// The session's key.
    pub fn key(&self) -> KeyId {
        self.session.key
    }

    /// Waits for the session's end, which the stream has to obey.
    pub async fn ended(&self) -> EndReason {
        loop {
            if let Some(end) = self.session.end.get() {
                return end.reason;
            }
            self.session.ended.notified().await;
        }
    }

    /// The stream ends of its own: says why, unless it was ended before.
    pub fn close(self, reason: EndReason) {
        self.session.end(reason, false);
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        self.session.end(EndReason::PeerLeft, false);
        if let Some(end) = self.session.end.get() {
            self.registry.leave(&self.session, end);
        }
        self.session.stream_closed();
    }
}

impl fmt::Debug for SessionGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionGuard")
            .field("id", &format_args!("{}", self.id()))
            .field("key", &self.key())
            .finish_non_exhaustive()
    }
}
