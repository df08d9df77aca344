//! The network side, below the protocols: the agent listener and its
//! limits, certificates, addresses.

pub mod address;
pub mod certs;
pub mod listener;
