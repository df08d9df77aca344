//! Ties a session or a call to the connection that carries it.

use std::sync::Arc;

use crate::gateway::sessions::{CloseConnection, Scope};
use crate::net::listener::{Call, Cut};

pub(super) struct AgentConnection(pub Arc<Call>);

impl CloseConnection for AgentConnection {
    fn close(&self, scope: Scope) {
        self.0.cut(match scope {
            Scope::Connection => Cut::Connection,
            Scope::Stream => Cut::Stream,
        });
    }
}
