//! The services of `muster.admin.v1`, one file each.

pub mod agents;
pub mod audit;
pub mod authorize;
pub mod convert;
pub mod events;
pub mod gateways;
pub mod keys;
pub mod page;
pub mod rejections;
pub mod sessions;
pub mod settings;
pub mod tokens;
