//! muster: a registration gateway for NGINX agents.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod admin_api;
pub mod agent_api;
pub mod auth;
pub mod certs;
pub mod cli;
pub mod config;
pub mod key_admin;
pub mod keys;
pub mod listener;
pub mod ops;
pub mod registrar;
pub mod revocation;
pub mod server;
pub mod sessions;
pub mod store;
pub mod telemetry;

/// Generated from `proto/`.
pub mod proto {
    #![allow(missing_docs, clippy::all, clippy::unwrap_used, rustdoc::all)]
    /// The agent's protocol.
    pub mod mpi {
        /// Version 1.
        pub mod v1 {
            tonic::include_proto!("mpi.v1");
        }
    }
    /// The admin API.
    pub mod admin {
        /// Version 1.
        pub mod v1 {
            tonic::include_proto!("muster.admin.v1");
            /// The encoded descriptors, for reflection.
            pub const DESCRIPTORS: &[u8] =
                include_bytes!(concat!(env!("OUT_DIR"), "/admin_descriptors.bin"));
        }
    }
}
