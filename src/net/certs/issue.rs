//! A leaf for another gateway, from this one's CA.
//!
//! Owns: which names such a leaf has, its files. Must not know: its users.
//! Invariants: no CA is made here, and no file is replaced unless that was asked
//! for.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use secrecy::ExposeSecret;

use super::authority::Authority;
use super::files::{self, Access};
use super::names::Name;
use super::{CertError, leaf_of, leaf_paths, now};
use crate::keys::Timestamp;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct LeafRequest {
    /// Where the CA is.
    pub ca_dir: PathBuf,
    /// Where the files go; made when it is not there.
    pub out: PathBuf,
    /// DNS names and IP addresses under which agents dial, besides this host's
    /// loopback names.
    pub hosts: Vec<String>,
    /// Files that are there may be replaced.
    pub replace: bool,
}

/// What was made.
#[derive(Debug, Clone)]
pub struct IssuedLeaf {
    pub cert: PathBuf,
    /// Its private key (0600).
    pub key: PathBuf,
    /// The CA's certificate, for agents.
    pub ca: PathBuf,
    /// DNS names, then IP addresses.
    pub names: Vec<String>,
    pub not_after: Timestamp,
}

/// Whether a certificate can carry the text as a DNS name or an IP address.
pub fn can_be_named(host: &str) -> bool {
    Name::parse(host).is_some()
}

/// Issues a leaf of 90 days and writes it with its key and the CA's certificate.
///
/// # Errors
/// When there is no CA or it can't be used, a host is none, a file is there
/// that may not be replaced, or one can't be written.
pub fn issue_leaf(request: &LeafRequest) -> Result<IssuedLeaf, CertError> {
    let mut names: BTreeSet<Name> = ["localhost", "127.0.0.1", "::1"]
        .into_iter()
        .filter_map(Name::parse)
        .collect();
    for host in &request.hosts {
        names.insert(Name::parse(host).ok_or_else(|| CertError::Host { host: host.clone() })?);
    }
    let now = now();
    let authority =
        Authority::load(&request.ca_dir, now)?.ok_or_else(|| CertError::NoAuthority {
            dir: request.ca_dir.clone(),
        })?;
    let out = &request.out;
    if is_same(out, &request.ca_dir) {
        return Err(CertError::OwnDirectory { dir: out.clone() });
    }
    let (cert, key) = leaf_paths(out);
    let ca = out.join("ca.pem");
    let taken = [&cert, &key, &ca].into_iter().find(|path| path.exists());
    if let Some(path) = taken.filter(|_| !request.replace) {
        return Err(CertError::Taken { path: path.clone() });
    }
    let issued = authority.issue(&names, now)?;
    let unreadable = |error: rustls::pki_types::pem::Error| CertError::Operator {
        path: cert.clone(),
        problem: format!("was made but can't be read ({error})"),
        cure: "report this",
    };
    let der = CertificateDer::from_pem_slice(issued.cert_pem.as_bytes()).map_err(unreadable)?;
    let leaf = leaf_of(&der, &cert)?;
    files::make_dir(out)?;
    let secret = issued.key_pem.expose_secret().as_bytes();
    files::write(&key, secret, Access::Secret)?;
    files::write(&cert, issued.cert_pem.as_bytes(), Access::Public)?;
    files::write(&ca, authority.pem.as_bytes(), Access::Public)?;
    Ok(IssuedLeaf {
        cert,
        key,
        ca,
        names: leaf.names.iter().map(Name::to_string).collect(),
        not_after: leaf.not_after,
    })
}

fn is_same(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}
