//! Metrics and health: the registry, figures of the process, and the HTTP
//! endpoints that monitors ask.

pub(crate) mod endpoints;
mod exposition;
pub(crate) mod faults;
pub(crate) mod process;
pub mod registry;

#[cfg(test)]
mod page_test;
