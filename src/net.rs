//! The network side that knows no protocol of ours: the agent listener and its
//! limits, certificates, addresses.

pub mod address;
pub mod certs;
pub mod listener;
