//! From certificates and keys to TLS configurations.
//!
//! Owns: the choice of provider and versions, the current leaf. Must not know: how
//! certificates are made. Invariant: no process default is needed or set, and a
//! certificate is never served with a key that is not its own.

use parking_lot::RwLock;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{InconsistentKeys, ServerConfig};

use super::error::CertError;
use crate::keys::Timestamp;

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Hands out the leaf that is current at each handshake.
#[derive(Debug)]
pub(super) struct Current(RwLock<Arc<CertifiedKey>>);

impl Current {
    pub(super) fn new(key: CertifiedKey) -> Arc<Self> {
        Arc::new(Self(RwLock::new(Arc::new(key))))
    }

    pub(super) fn replace(&self, key: CertifiedKey) {
        *self.0.write() = Arc::new(key);
    }

    /// What is handed out now.
    #[cfg(test)]
    pub(super) fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.0.read().cert.clone()
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.0.read();
        Some(Arc::clone(&current))
    }
}

/// A configuration without ALPN: TLS 1.2 and 1.3, no client certificates.
pub(super) fn base_config(resolver: Arc<Current>) -> Result<ServerConfig, CertError> {
    Ok(ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(CertError::Tls)?
        .with_no_client_auth()
        .with_cert_resolver(resolver))
}

/// `base` for one listener. No session is resumed: an agent never asks for it,
/// so tickets (two for each handshake, by rustls's default) would be made, sealed
/// and remembered for nobody; a browser shakes hands once in a visit.
pub(super) fn with_alpn(base: &ServerConfig, alpn: &[&[u8]]) -> Arc<ServerConfig> {
    let mut config = base.clone();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Arc::new(config)
}

pub(super) const CHAIN_CURE: &str =
    "give a PEM file with the server's certificate first, then its chain";

/// Joins a chain and a key; the paths are for the errors.
pub(super) fn certify(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    cert_path: &Path,
    key_path: &Path,
) -> Result<CertifiedKey, CertError> {
    let signer = signer(key, key_path)?;
    let certified = CertifiedKey::new(chain, signer);
    match certified.keys_match() {
        Ok(()) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            Err(CertError::KeyMismatch {
                cert: cert_path.to_owned(),
                key: key_path.to_owned(),
            })
        }
        Err(error) => Err(CertError::Operator {
            path: cert_path.to_owned(),
            problem: format!("can't be used ({error})"),
            cure: CHAIN_CURE,
        }),
    }
}

/// What signs with a key; the path is for the error.
pub(super) fn signer(
    key: PrivateKeyDer<'static>,
    path: &Path,
) -> Result<Arc<dyn SigningKey>, CertError> {
    let loaded = provider().key_provider.load_private_key(key);
    loaded.map_err(|_| CertError::Operator {
        path: path.to_owned(),
        problem: "holds a key of a kind that is not supported".to_owned(),
        cure: "use ECDSA P-256 or P-384, Ed25519, or RSA of 2048 bits or more",
    })
}

/// Whether a client that trusts `authority` takes `leaf` for `localhost` at
/// `now`: signature, validity and purpose at once.
pub(super) fn is_trusted(
    authority: &CertificateDer<'_>,
    leaf: &CertificateDer<'_>,
    now: Timestamp,
) -> bool {
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier;
    use rustls::pki_types::{ServerName, UnixTime};

    let mut roots = rustls::RootCertStore::empty();
    if roots.add(authority.clone().into_owned()).is_err() {
        return false;
    }
    let millis = u64::try_from(now.as_millis()).unwrap_or(0);
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_millis(millis));
    let Ok(localhost) = ServerName::try_from("localhost") else {
        return false;
    };
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .is_ok_and(|verifier| {
            verifier
                .verify_server_cert(leaf, &[], &localhost, &[], now)
                .is_ok()
        })
}
