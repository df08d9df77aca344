//! One binary for all integration tests: one link instead of twenty.
//!
//! Everything here runs over real TLS on loopback ports that the system picks.
#![allow(clippy::unwrap_used)]

mod support;

mod admin_api;
mod agent_api;
mod cli;
mod faults;
mod gateway;
mod history;
mod house;
mod load;
mod server;
mod store;
