//! Whether a change outlives the loss of the server that took it.
//!
//! Invariant: one that does not is never passed over in silence.

use serde::Serialize;

use super::rows::KeyJson;
use crate::cli::output::{Console, plural};

/// As the gateway answered it, for programs.
#[derive(Debug, Serialize)]
pub(super) struct DurabilityJson {
    durable: bool,
    replicas_acknowledged: u32,
}

/// An edited key, for programs.
#[derive(Debug, Serialize)]
pub(super) struct EditedJson {
    #[serde(flatten)]
    pub key: KeyJson,
    #[serde(flatten)]
    pub durability: DurabilityJson,
}

impl DurabilityJson {
    pub fn new(durable: bool, replicas_acknowledged: u32) -> Self {
        Self {
            durable,
            replicas_acknowledged,
        }
    }

    /// Says in words when a change is not durable.
    pub fn warn(&self, console: &mut Console) {
        if self.durable {
            return;
        }
        let who = match self.replicas_acknowledged {
            0 => "no replica has it yet".to_owned(),
            some => format!("only {} has it yet", plural(some.into(), "replica")),
        };
        console.note(&format!(
            "warning: written, but {who}: a failover may lose it"
        ));
    }
}
