//! One gateway at work: it authenticates keys, holds sessions, follows the key
//! feed, keeps registrations, and shows the other gateways what it has.
//!
//! Transport-free: no gRPC, no HTTP.

pub mod auth;
pub mod events;
pub mod key_feed;
pub mod presence;
pub mod registrar;
pub mod registrations;
pub mod rejections;
pub mod sessions;
pub mod telemetry_senders;
