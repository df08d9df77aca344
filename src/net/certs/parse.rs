//! What a certificate says.
//!
//! Owns: reading X.509. Must not know: files, keys, whether to believe it.
//! Invariant: nothing in a certificate makes this panic.

use std::collections::BTreeSet;
use std::net::IpAddr;

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::names::Name;
use crate::keys::Timestamp;

/// What we look at.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
    pub(super) is_ca: bool,
    pub(super) public_key: Vec<u8>,
    pub(super) names: BTreeSet<Name>,
    /// As it is encoded, to compare.
    pub(super) subject: Vec<u8>,
    pub(super) issuer: Vec<u8>,
    /// The subject for a reader, short and without control characters.
    pub(super) shown: String,
    /// It may be a server's (extendedKeyUsage).
    pub(super) for_servers: bool,
}

const LONGEST_SUBJECT: usize = 100;

/// Reads a certificate; the error completes "the file …".
pub(super) fn facts(der: &CertificateDer<'_>) -> Result<Facts, String> {
    let broken = |error: &dyn std::fmt::Display| format!("holds a damaged certificate ({error})");
    let (_, cert) = X509Certificate::from_der(der).map_err(|error| broken(&error))?;
    let is_ca = cert
        .basic_constraints()
        .map_err(|error| broken(&error))?
        .is_some_and(|constraints| constraints.value.ca);
    let names = cert
        .subject_alternative_name()
        .map_err(|error| broken(&error))?
        .map(|names| names.value.general_names.iter().filter_map(name).collect())
        .unwrap_or_default();
    let for_servers = cert
        .extended_key_usage()
        .map_err(|error| broken(&error))?
        .is_none_or(|usage| usage.value.any || usage.value.server_auth);
    let shown = cert.subject().to_string();
    let shown = shown.chars().filter(|c| !c.is_control());
    let moment = |seconds: i64| Timestamp::from_millis(seconds.saturating_mul(1000));
    Ok(Facts {
        not_before: moment(cert.validity().not_before.timestamp()),
        not_after: moment(cert.validity().not_after.timestamp()),
        is_ca,
        public_key: cert.public_key().raw.to_vec(),
        names,
        subject: cert.subject().as_raw().to_vec(),
        issuer: cert.issuer().as_raw().to_vec(),
        shown: shown.take(LONGEST_SUBJECT).collect(),
        for_servers,
    })
}

fn name(name: &GeneralName<'_>) -> Option<Name> {
    match name {
        GeneralName::DNSName(name) => Some(Name::Dns((*name).to_owned())),
        GeneralName::IPAddress(bytes) => {
            let address = <[u8; 4]>::try_from(*bytes)
                .map(IpAddr::from)
                .or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from))
                .ok()?;
            Some(Name::Ip(address))
        }
        _ => None,
    }
}
