//! An operator's own certificate, which may be replaced while it is served.
//!
//! Owns: reading the two files, comparing them with what is served. Must not know:
//! when to look. Invariant: what is served was checked whole; a file that can't be
//! used changes nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};

use super::error::CertError;
use super::life::{Leaf, now};
use super::tls::{self, CHAIN_CURE, Current};
use super::{chain, files, parse, pem};

/// What is served of the files, and what is known of it.
pub(super) struct Own {
    cert: PathBuf,
    key: PathBuf,
    pub(super) current: Arc<Current>,
    state: Mutex<State>,
}

struct State {
    /// Of both files, as they were when they were taken.
    digest: [u8; 32],
    /// Of the chain, the leaf first.
    lives: Vec<Leaf>,
}

impl Own {
    /// Reads `cert`, the leaf and its chain, and `key`, the leaf's private key
    /// (PEM: PKCS#8, SEC1 or PKCS#1).
    ///
    /// # Errors
    /// When a file can't be read or understood, the key is no certificate's in it,
    /// or clients would refuse the chain. Each error names the file and the cure.
    pub(super) fn open(cert: &Path, key: &Path) -> Result<Self, CertError> {
        let read = Files::read(cert, key)?;
        let (certified, lives) = read.check(cert, key)?;
        Ok(Self {
            cert: cert.to_owned(),
            key: key.to_owned(),
            current: Current::new(certified),
            state: Mutex::new(State {
                digest: read.digest(),
                lives,
            }),
        })
    }

    /// Serves what is in the files now; true when that is something new. Handshakes
    /// that are under way and connections that stand are not touched.
    ///
    /// # Errors
    /// As [`Self::open`]; what was served is served on.
    pub(super) fn reread(&self) -> Result<bool, CertError> {
        let read = Files::read(&self.cert, &self.key)?;
        let digest = read.digest();
        if self.state.lock().digest == digest {
            return Ok(false);
        }
        let (certified, lives) = read.check(&self.cert, &self.key)?;
        self.current.replace(certified);
        *self.state.lock() = State { digest, lives };
        Ok(true)
    }

    /// The file of the chain.
    pub(super) fn path(&self) -> &Path {
        &self.cert
    }

    /// The lives of the chain, the leaf's first.
    pub(super) fn lives(&self) -> Vec<Leaf> {
        self.state.lock().lives.clone()
    }
}

/// The bytes of both files.
struct Files {
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl Files {
    fn read(cert: &Path, key: &Path) -> Result<Self, CertError> {
        Ok(Self {
            cert: files::read(cert)?,
            key: files::read(key)?,
        })
    }

    fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update((self.cert.len() as u64).to_be_bytes());
        digest.update(&self.cert);
        digest.update(&self.key);
        digest.finalize().into()
    }

    fn check(&self, cert: &Path, key: &Path) -> Result<(CertifiedKey, Vec<Leaf>), CertError> {
        let problem = |path: &Path, problem: pem::PemProblem, cure| CertError::Operator {
            path: path.to_owned(),
            problem: problem.to_string(),
            cure: problem.cure(cure),
        };
        let certificates =
            pem::certificates(&self.cert).map_err(|what| problem(cert, what, CHAIN_CURE))?;
        let private = pem::private_key(&self.key).map_err(|what| {
            let cure = "give a PEM file with the certificate's private key";
            problem(key, what, cure)
        })?;
        let signer = tls::signer(private, key)?;
        let (chain, lives) = chain::order(certificates, &signer, cert, key, now())?;
        if let Some(leaf) = chain.first() {
            let facts = parse::facts(leaf).map_err(|problem| CertError::Operator {
                path: cert.to_owned(),
                problem,
                cure: CHAIN_CURE,
            })?;
            warn_if_odd(cert, &facts);
        }
        Ok((CertifiedKey::new(chain, signer), lives))
    }
}

fn warn_if_odd(path: &Path, facts: &parse::Facts) {
    let path = path.display();
    if facts.is_ca {
        tracing::warn!(%path, "this is a CA's certificate; rustls and other clients refuse it");
    }
    if facts.names.is_empty() {
        tracing::warn!(%path, "this certificate names no host (subjectAltName); agents refuse it");
    }
    if facts.not_before > now() {
        tracing::warn!(%path, not_before = %facts.not_before, "this certificate is not valid yet");
    }
}
