//! muster: a registration gateway for NGINX agents.
//!
//! The rooms, in the order of their layers: a room names only those before it.
#![cfg_attr(test, allow(clippy::unwrap_used))]
#![allow(
    rustdoc::private_intra_doc_links,
    reason = "what is public here is for the integration tests and the benches"
)]

mod files;
pub mod keys;
pub mod metrics;
mod net;
pub mod proto;
pub mod store;

pub mod gateway;

pub mod control;

pub mod admin_api;
mod agent_api;

pub mod server;

pub mod load;

pub mod cli;
