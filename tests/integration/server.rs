//! Maintenance of whole stores, and the ops endpoints.

mod endpoints;
mod lost_log;
mod maintenance;
mod reload;
