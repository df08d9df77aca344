//! The stores: what both backends promise, and what only Redis can do.

mod disk;
mod half_written;
mod redis_connection;
mod redis_refuses;
pub mod redis_store;
mod sentinel;
mod stored_names;
mod suite;
