//! The messages and services generated from `proto/`, and points in time on the
//! wire.

mod small_codec;
mod time;

pub use small_codec::SmallCodec;

/// The agent's protocol.
pub mod mpi {
    /// Version 1, wire-compatible with NGINX Agent v3.
    pub mod v1 {
        #![allow(missing_docs, clippy::all, clippy::unwrap_used, rustdoc::all)]
        tonic::include_proto!("mpi.v1");
    }
}

/// The admin API.
pub mod admin {
    pub mod v1 {
        #![allow(missing_docs, clippy::all, clippy::unwrap_used, rustdoc::all)]
        tonic::include_proto!("muster.admin.v1");
        /// The encoded descriptors, for reflection.
        pub const DESCRIPTORS: &[u8] =
            include_bytes!(concat!(env!("OUT_DIR"), "/admin_descriptors.bin"));
    }
}
