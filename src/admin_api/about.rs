//! What a gateway says of itself.

use std::path::PathBuf;

/// The gateway that answers.
#[derive(Debug, Clone)]
pub struct About {
    /// For display.
    pub gateway_name: String,
    /// Where agents dial, `HOST:PORT`.
    pub agent_address: String,
    /// The operator gave that address; else it is where the listener is bound,
    /// which agents elsewhere may not reach.
    pub agent_address_named: bool,
    /// Where its keys are kept: `embedded` or `redis`.
    pub store: &'static str,
    /// What `agent-config` reads, absolute.
    pub data_dir: PathBuf,
}
