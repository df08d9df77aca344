//! What operators do: keys, tokens, instances, settings, gateways, the audit
//! trail, and the configuration that connects an agent.
//!
//! Transport-free: the command line, gRPC, REST and the console all end here.

pub(crate) mod agent_config;
pub mod audit;
pub(crate) mod error;
pub mod gateways;
pub mod instances;
pub mod keys;
pub mod settings;
pub mod tokens;
