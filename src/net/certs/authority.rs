//! The certificate authority: ours, or one that the operator put in its place.
//!
//! Owns: making the CA, loading it, checking it, issuing leaves. Must not know:
//! when a leaf is due, which names it gets. Invariant: CA files that exist are
//! never overwritten.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use data_encoding::HEXLOWER;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType,
};
use rustls::pki_types::CertificateDer;
use secrecy::{ExposeSecret, SecretString};

use super::error::CertError;
use super::files::{self, Access};
use super::names::Name;
use super::parse;
use super::pem::{self, PemProblem, ca_pem};
use crate::keys::Timestamp;

const DAY: Duration = Duration::from_secs(86_400);
const CA_LIFE: Duration = Duration::from_secs(3_652 * 86_400);
/// Lifetime of a leaf, unless the CA ends earlier.
const LEAF_LIFE: Duration = Duration::from_secs(90 * 86_400);
/// A leaf is valid a little before it is made: clocks differ.
const LEAF_BACKDATE: Duration = Duration::from_secs(3_600);

/// A CA that can issue.
pub(super) struct Authority {
    pub(super) pem: String,
    pub(super) der: CertificateDer<'static>,
    not_before: Timestamp,
    not_after: Timestamp,
    issuer: Issuer<'static, KeyPair>,
}

/// What [`Authority::issue`] made.
pub(super) struct Issued {
    pub(super) cert_pem: String,
    pub(super) key_pem: SecretString,
}

impl Authority {
    /// Loads the CA in `dir`, or makes one where there is none.
    pub(super) fn open(dir: &Path, now: Timestamp) -> Result<Self, CertError> {
        // A CA that is there needs no lock, so that it may be on a file system
        // that can't be written. Half a CA may be one that another gateway
        // makes at this moment: several may share the directory.
        let incomplete = match Self::load(dir, now) {
            Ok(Some(authority)) => return Ok(authority),
            Ok(None) => None,
            Err(error @ CertError::Incomplete { .. }) => Some(error),
            Err(error) => return Err(error),
        };
        files::make_dir(dir)?;
        let _lock = match (files::lock(&dir.join("ca.lock")), incomplete) {
            (Ok(lock), _) => lock,
            (Err(_), Some(incomplete)) => return Err(incomplete),
            (Err(error), None) => return Err(error),
        };
        if let Some(authority) = Self::load(dir, now)? {
            return Ok(authority);
        }
        make(dir, now)?;
        tracing::info!(dir = %dir.display(), "made a certificate authority");
        Self::load(dir, now)?.ok_or(CertError::Incomplete {
            missing: dir.join("ca.pem"),
            present: dir.join("ca.key"),
        })
    }

    /// None when neither file exists.
    pub(super) fn load(dir: &Path, now: Timestamp) -> Result<Option<Self>, CertError> {
        let (cert_path, key_path) = (dir.join("ca.pem"), dir.join("ca.key"));
        let (cert, key) = match (
            files::read_if_present(&cert_path)?,
            files::read_if_present(&key_path)?,
        ) {
            (None, None) => return Ok(None),
            (Some(cert), Some(key)) => (cert, key),
            (cert, _) => {
                let (missing, present) = if cert.is_some() {
                    (key_path, cert_path)
                } else {
                    (cert_path, key_path)
                };
                return Err(CertError::Incomplete { missing, present });
            }
        };
        if files::is_open_to_others(&key_path) {
            tracing::warn!(
                path = %key_path.display(),
                "the CA's key is readable by other users; make it 0600"
            );
        }
        let damaged = |path: &Path, problem: String| CertError::Authority {
            path: path.to_owned(),
            problem,
        };
        // Behind the CA may stand the one before it, for agents.
        let unusable = |problem: PemProblem| damaged(&cert_path, problem.to_string());
        let pem = ca_pem(&cert).map_err(unusable)?;
        let first = pem::certificates(&pem)
            .map_err(unusable)?
            .into_iter()
            .next();
        let der = first
            .map(|first| first.der)
            .ok_or_else(|| damaged(&cert_path, "holds no certificate".to_owned()))?;
        let pem = String::from_utf8(pem)
            .map_err(|_| damaged(&cert_path, "is not a PEM file".to_owned()))?;
        let facts = parse::facts(&der).map_err(|problem| damaged(&cert_path, problem))?;
        if !facts.is_ca {
            return Err(damaged(&cert_path, "is not a CA's certificate".to_owned()));
        }
        // The text is dropped at once, and wiped.
        let key = String::from_utf8(key)
            .map(SecretString::from)
            .map_err(|_| damaged(&key_path, "is not a PEM file".to_owned()))?;
        let key = KeyPair::from_pem(key.expose_secret()).map_err(|_| {
            // Not the error's own text: it may quote the file.
            damaged(
                &key_path,
                "holds no private key that can be used (PKCS#8, not encrypted)".to_owned(),
            )
        })?;
        if key.subject_public_key_info() != facts.public_key {
            return Err(CertError::KeyMismatch {
                cert: cert_path,
                key: key_path,
            });
        }
        if facts.not_after <= now {
            return Err(CertError::Expired {
                path: cert_path,
                not_after: facts.not_after,
            });
        }
        if facts.not_after <= now.saturating_add(LEAF_LIFE) {
            tracing::warn!(
                path = %cert_path.display(),
                not_after = %facts.not_after,
                "the certificate authority expires soon"
            );
        }
        let issuer = Issuer::from_ca_cert_der(&der, key)
            .map_err(|error| damaged(&cert_path, format!("can't issue ({error})")))?;
        Ok(Some(Self {
            pem,
            der,
            not_before: facts.not_before,
            not_after: facts.not_after,
            issuer,
        }))
    }

    /// The end of the CA.
    pub(super) fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Makes a leaf for `names`, valid from `now`.
    pub(super) fn issue(
        &self,
        names: &BTreeSet<Name>,
        now: Timestamp,
    ) -> Result<Issued, CertError> {
        let key = KeyPair::generate().map_err(CertError::Make)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name("muster");
        params.subject_alt_names = names
            .iter()
            .map(|name| {
                Ok(match name {
                    Name::Dns(name) => SanType::DnsName(name.as_str().try_into()?),
                    Name::Ip(address) => SanType::IpAddress(*address),
                })
            })
            .collect::<Result<_, rcgen::Error>>()
            .map_err(CertError::Make)?;
        // A leaf with CA:TRUE is refused by rustls; say plainly that it is none.
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        // A leaf that outlives its CA fails later and less plainly.
        params.not_before = earlier(now, LEAF_BACKDATE).max(self.not_before).to_utc();
        params.not_after = now.saturating_add(LEAF_LIFE).min(self.not_after).to_utc();
        let cert = params
            .signed_by(&key, &self.issuer)
            .map_err(CertError::Make)?;
        Ok(Issued {
            cert_pem: cert.pem(),
            key_pem: SecretString::from(key.serialize_pem()),
        })
    }
}

fn make(dir: &Path, now: Timestamp) -> Result<(), CertError> {
    let key = KeyPair::generate().map_err(CertError::Make)?;
    let mut params = CertificateParams::default();
    // Two CAs must differ by name: a client that knows both looks by name.
    let mark = HEXLOWER.encode(&params.key_identifier(&key)[..4]);
    params.distinguished_name = common_name(&format!("muster CA {mark}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = earlier(now, DAY).to_utc();
    params.not_after = now.saturating_add(CA_LIFE).to_utc();
    let cert = params.self_signed(&key).map_err(CertError::Make)?;
    let key = SecretString::from(key.serialize_pem());
    files::write(
        &dir.join("ca.key"),
        key.expose_secret().as_bytes(),
        Access::Secret,
    )?;
    files::write(&dir.join("ca.pem"), cert.pem().as_bytes(), Access::Public)
}

fn common_name(text: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, text);
    name
}

fn earlier(at: Timestamp, span: Duration) -> Timestamp {
    let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(at.as_millis().saturating_sub(millis))
}
