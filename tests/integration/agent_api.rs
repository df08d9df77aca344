//! What agents see: the protocol, and a real NGINX Agent.

pub mod agents;
mod protocol;
mod real_agent;
mod real_agent_refusals;
