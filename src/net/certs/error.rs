//! What can go wrong with certificates, with the file and the cure.
//!
//! Owns: the words. Must not know: how anything is done. Invariant: no content
//! of a file is in a message, only its path.

use std::io;
use std::path::PathBuf;

use crate::keys::Timestamp;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertError {
    /// The system refused to read or write.
    #[error("cannot {doing} {}: {cause}", path.display())]
    File {
        doing: &'static str,
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// One of the CA's two files is gone.
    #[error(
        "{} exists but {} does not: restore it from a backup, or move the first away to make a new CA (agents then need the new ca.pem)",
        present.display(), missing.display()
    )]
    Incomplete {
        /// The file that is not there.
        missing: PathBuf,
        /// The file that is.
        present: PathBuf,
    },
    /// One of the CA's two files can't be used.
    #[error(
        "{} {problem}: restore it from a backup, or move ca.pem and ca.key away to make a new CA (agents then need the new ca.pem)",
        path.display()
    )]
    Authority {
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A key that belongs to another certificate.
    #[error(
        "{} is not the key of {}: give the two files that belong together",
        key.display(), cert.display()
    )]
    KeyMismatch { cert: PathBuf, key: PathBuf },
    /// A certificate is past its end.
    #[error(
        "{} expired at {not_after}: replace it, or correct this host's clock",
        path.display()
    )]
    Expired { path: PathBuf, not_after: Timestamp },
    /// A certificate of an operator's chain is past its end.
    #[error(
        "{}: block {block} ({subject}) expired at {not_after}: replace it, or correct this host's clock",
        path.display()
    )]
    BlockExpired {
        path: PathBuf,
        /// Which one of the file's PEM blocks, from 1.
        block: usize,
        /// Whose certificate it is.
        subject: String,
        not_after: Timestamp,
    },
    /// The data directory holds another CA than the one to be used.
    #[error(
        "{} belongs to a CA in the data directory, but another CA directory is given: move ca.pem and ca.key away, or drop the CA directory",
        path.display()
    )]
    TwoAuthorities {
        /// The data directory's `ca.key`.
        path: PathBuf,
    },
    /// There is no CA to issue with.
    #[error(
        "{}: there is no CA (ca.pem and ca.key); give the --data-dir or the --ca-dir of a gateway that has been started",
        dir.display()
    )]
    NoAuthority {
        /// Where it should be.
        dir: PathBuf,
    },
    /// Files for another gateway would lie among the CA's own.
    #[error("{}: the CA itself is here; give another directory for the new files", dir.display())]
    OwnDirectory { dir: PathBuf },
    /// A file that may not be replaced is there.
    #[error("{} exists; give another directory, or --force to replace it", path.display())]
    Taken { path: PathBuf },
    /// A host that no certificate can name.
    #[error("{host:?} is neither a DNS name nor an IP address")]
    Host {
        /// As it was given.
        host: String,
    },
    /// An operator's own file can't be used.
    #[error("{} {problem}: {cure}", path.display())]
    Operator {
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        cure: &'static str,
    },
    /// A certificate could not be made.
    #[error("cannot make a certificate: {0}")]
    Make(#[source] rcgen::Error),
    /// The TLS library refused a configuration.
    #[error("cannot set up TLS: {0}")]
    Tls(#[source] rustls::Error),
}
