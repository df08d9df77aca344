//! Metrics and health: the registry, figures of the process, and the HTTP
//! endpoints that monitors ask.

pub mod endpoints;
pub mod process;
pub mod registry;

#[cfg(test)]
mod page_test;
