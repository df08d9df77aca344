//! From certificates and keys to TLS configurations.
//!
//! Owns: the choice of provider and versions, the current leaf, an operator's
//! own files. Must not know: how certificates are made. Invariant: no process
//! default is needed or set, and a certificate is never served with a key that
//! is not its own.

use parking_lot::RwLock;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, ServerConfig};

use super::{CertError, Leaf, files, parse};
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

/// A TLS configuration with an operator's own certificate, and what is known of
/// its leaf: `cert` holds the
/// leaf and then its chain (PEM), `key` the leaf's private key (PEM: PKCS#8,
/// SEC1 or PKCS#1).
///
/// # Errors
/// When a file can't be read or understood, the key is not the certificate's,
/// or the certificate has expired. Each error names the file and the cure.
pub(super) fn from_files(
    cert: &Path,
    key: &Path,
    alpn: &[&[u8]],
) -> Result<(Arc<ServerConfig>, Leaf), CertError> {
    let chain = read_chain(cert)?;
    let certified = certify(chain, read_key(key)?, cert, key)?;
    let leaf = certified.end_entity_cert().map_err(CertError::Tls)?;
    let facts = parse::facts(leaf).map_err(|problem| CertError::Operator {
        path: cert.to_owned(),
        problem,
        cure: CHAIN_CURE,
    })?;
    if facts.not_after <= super::now() {
        return Err(CertError::Expired {
            path: cert.to_owned(),
            not_after: facts.not_after,
        });
    }
    warn_if_odd(cert, &facts);
    let config = with_alpn(&base_config(Current::new(certified))?, alpn);
    let leaf = Leaf {
        names: facts.names,
        not_before: facts.not_before,
        not_after: facts.not_after,
    };
    Ok((config, leaf))
}

fn warn_if_odd(path: &Path, facts: &parse::Facts) {
    let path = path.display();
    if facts.is_ca {
        tracing::warn!(%path, "this is a CA's certificate; rustls and other clients refuse it");
    }
    if facts.names.is_empty() {
        tracing::warn!(%path, "this certificate names no host (subjectAltName); agents refuse it");
    }
    if facts.not_before > super::now() {
        tracing::warn!(%path, not_before = %facts.not_before, "this certificate is not valid yet");
    }
}

const CHAIN_CURE: &str = "give a PEM file with the server's certificate first, then its chain";

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertError> {
    let problem = |problem| CertError::Operator {
        path: path.to_owned(),
        problem,
        cure: CHAIN_CURE,
    };
    let text = files::read(path)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| problem(format!("is damaged ({error})")))?;
    if chain.is_empty() {
        return Err(problem("holds no certificate".to_owned()));
    }
    Ok(chain)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, CertError> {
    let text = files::read(path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        let encrypted = b"ENCRYPTED";
        let (problem, cure) = match error {
            // Both PKCS#8's own label and the header of the older formats.
            _ if text.windows(encrypted.len()).any(|part| part == encrypted) => (
                "is encrypted".to_owned(),
                "nobody can be asked for its passphrase; decrypt it with `openssl pkey`",
            ),
            pem::Error::NoItemsFound => (
                "holds no private key".to_owned(),
                "give a PEM file with the certificate's private key",
            ),
            // The text of other errors may quote the file.
            _ => (
                "is damaged".to_owned(),
                "give a PEM file with the certificate's private key",
            ),
        };
        CertError::Operator {
            path: path.to_owned(),
            problem,
            cure,
        }
    })
}

/// Joins a chain and a key; the paths are for the errors.
pub(super) fn certify(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    cert_path: &Path,
    key_path: &Path,
) -> Result<CertifiedKey, CertError> {
    let signer =
        provider()
            .key_provider
            .load_private_key(key)
            .map_err(|_| CertError::Operator {
                path: key_path.to_owned(),
                problem: "holds a key of a kind that is not supported".to_owned(),
                cure: "use ECDSA P-256 or P-384, Ed25519, or RSA of 2048 bits or more",
            })?;
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
