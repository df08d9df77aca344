//! One binary for all integration tests: one link instead of twenty.
//!
//! Everything here runs over real TLS on loopback ports that the system picks.
#![allow(clippy::unwrap_used)]

mod support;

mod about;
mod admin_api;
mod agents;
mod audit;
mod bad_input;
mod browser;
mod cli;
mod cluster;
mod console;
mod crash;
mod events;
mod expiry;
mod faults;
mod history;
mod instance_admin;
mod key_lifecycle;
mod layering;
mod load;
mod lost_history;
mod one_picture;
mod one_picture_ledger;
mod openapi;
mod ops;
mod protocol;
mod races;
mod real_agent;
mod real_agent_refusals;
mod redis_link;
mod redis_store;
mod registrations;
mod rejections;
mod rest;
mod rest_lists;
mod rest_views;
mod rest_walks;
mod restart;
mod revoke;
mod revoke_across;
mod roles;
mod secrets;
mod senders;
mod sentinel;
mod sessions;
mod staleness;
mod store_suite;
mod stored_names;
mod upkeep;
