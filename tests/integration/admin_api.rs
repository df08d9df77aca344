//! What operators see: gRPC, REST, the console, roles and the audit trail.

mod about;
mod audit;
pub mod bad_input;
mod browser;
mod calls;
mod console;
mod instances;
mod openapi;
mod rest;
mod rest_lists;
mod rest_views;
mod rest_walks;
mod roles;
mod secrets;
