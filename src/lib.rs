//! muster: a registration gateway for NGINX agents.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod admin_api;
pub mod agent_api;
pub mod agent_config;
pub mod audit;
pub mod auth;
pub mod certs;
pub mod cli;
pub mod config;
pub mod events;
pub mod files;
pub mod floor;
pub mod gateways;
pub mod instance_admin;
pub mod instances;
pub mod key_admin;
pub mod keys;
pub mod listener;
pub mod load;
pub mod ops;
pub mod presence;
pub mod proto;
pub mod registrar;
pub mod rejections;
pub mod revocation;
pub mod senders;
pub mod server;
pub mod sessions;
pub mod settings;
pub mod store;
pub mod telemetry;
pub mod text;
pub mod tokens;
pub mod upkeep;
