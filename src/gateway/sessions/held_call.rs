//! A call without a session that takes long, held against its key's end.
//!
//! Must not know: what the call does. Invariant: either the key's end finds the call
//! and cuts its connection, or the call finds the key ended and does so itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::gate::{Gate, State};
use super::registry::Registry;
use super::session::{CloseConnection, Scope};
use crate::gateway::auth::Principal;
use crate::keys::KeyId;

/// The call lasts as long as this.
pub struct HeldCall {
    registry: Arc<Registry>,
    key: KeyId,
    number: u64,
}

impl Registry {
    /// Has the connection of a call cut when its key ends; at once if it has ended.
    pub fn hold_call(
        self: &Arc<Self>,
        principal: &Principal,
        connection: Arc<dyn CloseConnection>,
    ) -> HeldCall {
        let key = principal.key();
        let number = self.last_number.fetch_add(1, Ordering::Relaxed) + 1;
        let has_ended = {
            let gate = self.gates.entry(key);
            let mut gate = gate.or_insert_with(|| Gate::open(principal));
            let has_ended = matches!(gate.state, State::Ended { .. });
            if !has_ended {
                gate.calls.insert(number, Arc::clone(&connection));
            }
            has_ended
        };
        if has_ended {
            connection.close(Scope::Connection);
        }
        HeldCall {
            registry: Arc::clone(self),
            key,
            number,
        }
    }
}

impl Drop for HeldCall {
    fn drop(&mut self) {
        if let Some(mut gate) = self.registry.gates.get_mut(&self.key) {
            gate.calls.remove(&self.number);
        }
    }
}
