//! One gateway, or several over one store: keys, sessions, registrations, events.

mod cluster;
mod crash;
mod damaged_rows;
mod early_markers;
pub mod events;
mod expiry;
mod honest_answers;
mod host_clock;
mod key_lifecycle;
mod lost_history;
mod presence;
mod races;
mod registrations;
mod registrations_across;
mod rejections;
mod restart;
mod revoke;
mod revoke_across;
mod sessions;
mod staleness;
mod telemetry_senders;
