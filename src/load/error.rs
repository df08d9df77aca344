//! Why a run did not come to its end.

use std::net::SocketAddr;

/// Why a run did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No gateway was named.
    #[error("--target: no gateway is named; name one, for example 127.0.0.1:7443")]
    NoTarget,
    /// A host that may belong to others.
    #[error(
        "--target: {0} is not on the loopback; a load test takes a host down: if it is yours, add \
         --yes-i-own-these-hosts"
    )]
    NotOwn(SocketAddr),
    /// Too few descriptors for the connections.
    #[error(
        "{needed} open files are needed, this process may have {limit}: `ulimit -n {needed}` \
         first (and as many for each gateway), or use fewer agents"
    )]
    TooFewFiles {
        /// How many the run needs.
        needed: u64,
        /// How many it may have.
        limit: u64,
    },
    /// A plan that makes no sense.
    #[error("{0}")]
    Plan(String),
    /// The admin API refused or failed.
    #[error("the admin API: {0}")]
    Admin(String),
    /// The gateway does not do what the scenario is about.
    #[error("{0}")]
    Gateway(String),
    /// Interrupted.
    #[error("interrupted: there is no result")]
    Interrupted,
    /// A fault of muster.
    #[error("the harness failed: {0}")]
    Broken(String),
}
