//! Maintenance of whole stores, and the ops endpoints.

mod endpoints;
mod maintenance;
mod reload;
