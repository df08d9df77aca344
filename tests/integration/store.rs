//! The stores: what both backends promise, and what only Redis can do.

mod half_written;
mod redis_connection;
pub mod redis_store;
mod sentinel;
mod stored_names;
mod suite;
