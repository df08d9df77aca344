//! An operator's certificate with its chain, in the order that clients expect.
//!
//! Owns: which certificate is the key's, which issued which, and whether a client
//! that trusts the last one takes the first. Must not know: TLS configurations.
//! Invariant: a chain that leaves here verifies, as far as the file has it.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SigningKey};

use super::names::Name;
use super::parse::{self, Facts};
use super::pem::Numbered;
use super::{CertError, Leaf, tls};
use crate::keys::Timestamp;

const ISSUER_CURE: &str =
    "take it out, and put in the certificate of the CA that issued the one before";

/// A certificate of the chain: where it stands in the file, and what it says.
struct Link {
    block: usize,
    der: CertificateDer<'static>,
    facts: Facts,
    /// Which one of the chain it issued.
    issued: usize,
}

/// Finds the key's certificate and what belongs to it, in order, and checks them as
/// a client would at `now`. Returns them with the life of each.
pub(super) fn order(
    certificates: Vec<Numbered>,
    signer: &Arc<dyn SigningKey>,
    cert: &Path,
    key: &Path,
    now: Timestamp,
) -> Result<(Vec<CertificateDer<'static>>, Vec<Leaf>), CertError> {
    let problem = |problem: String, cure| CertError::Operator {
        path: cert.to_owned(),
        problem,
        cure,
    };
    let mut rest: Vec<Link> = Vec::new();
    for Numbered { block, der } in certificates {
        if rest.iter().any(|link| link.der == der) {
            continue;
        }
        // It has been read once; the words for what it is not are there.
        let facts = parse::facts(&der)
            .map_err(|what| problem(format!("{what} (block {block})"), ISSUER_CURE))?;
        rest.push(Link {
            block,
            der,
            facts,
            issued: 0,
        });
    }
    let is_keys = |link: &Link| {
        let pair = CertifiedKey::new(vec![link.der.clone()], Arc::clone(signer));
        pair.keys_match().is_ok()
    };
    let Some(leaf) = rest.iter().position(is_keys) else {
        return Err(CertError::KeyMismatch {
            cert: cert.to_owned(),
            key: key.to_owned(),
        });
    };
    let mut chain = vec![rest.remove(leaf)];
    let mut at = 0;
    while let Some(child) = chain.get(at) {
        let issuer = child.facts.issuer.clone();
        let (issuers, others) = rest
            .into_iter()
            .partition::<Vec<_>, _>(|link| link.facts.subject == issuer);
        rest = others;
        chain.extend(issuers.into_iter().map(|link| Link { issued: at, ..link }));
        at += 1;
    }
    if let Some(link) = rest.first() {
        let what = format!(
            "has a certificate that issued none of the others: block {} ({})",
            link.block, link.facts.shown
        );
        return Err(problem(what, ISSUER_CURE));
    }
    for (at, link) in chain.iter().enumerate() {
        let (block, shown) = (link.block, &link.facts.shown);
        if link.facts.not_after <= now {
            return Err(CertError::BlockExpired {
                path: cert.to_owned(),
                block,
                subject: shown.clone(),
                not_after: link.facts.not_after,
            });
        }
        if at == 0 && !link.facts.for_servers {
            let what = format!("is not for servers (extendedKeyUsage): block {block} ({shown})");
            return Err(problem(what, "have one issued with serverAuth"));
        }
        if at > 0 && !link.facts.is_ca {
            let what = format!("holds an issuer that is no CA: block {block} ({shown})");
            return Err(problem(what, ISSUER_CURE));
        }
        if let Some(what) = refused(&chain, at, now) {
            let below = &chain[link.issued];
            let what = if at == 0 {
                format!("is refused by clients ({what})")
            } else {
                format!(
                    "is refused by clients: block {block} ({shown}) does not vouch for block {} \
                     ({}): {what}",
                    below.block, below.facts.shown
                )
            };
            return Err(problem(what, ISSUER_CURE));
        }
    }
    let lives = chain.iter().map(|link| Leaf::of(&link.facts)).collect();
    Ok((chain.into_iter().map(|link| link.der).collect(), lives))
}

/// Why a client that trusts the one at `anchor` refuses the first; none where it
/// takes it, or where the file does not say enough.
fn refused(chain: &[Link], anchor: usize, now: Timestamp) -> Option<String> {
    let (leaf, top) = (chain.first()?, chain.get(anchor)?);
    // A CA's own certificate as a server's is odd, and said elsewhere; one that names
    // no host is, too. The leaf alone says nothing of its issuer.
    if leaf.facts.is_ca || (anchor == 0 && leaf.facts.subject != leaf.facts.issuer) {
        return None;
    }
    let host = server_name(leaf.facts.names.first()?)?;
    let mut between = Vec::new();
    let mut at = top.issued;
    while at != 0 {
        between.push(chain.get(at)?.der.clone());
        at = chain.get(at)?.issued;
    }
    // One that is not valid yet is warned of elsewhere.
    let starts = chain.iter().map(|link| link.facts.not_before);
    let at = starts.fold(now, Timestamp::max);
    let mut roots = rustls::RootCertStore::empty();
    if let Err(error) = roots.add(top.der.clone()) {
        return Some(error.to_string());
    }
    let millis = u64::try_from(at.as_millis()).unwrap_or(0);
    let at = UnixTime::since_unix_epoch(std::time::Duration::from_millis(millis));
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), tls::provider());
    match verifier.build() {
        Ok(verifier) => verifier
            .verify_server_cert(&leaf.der, &between, &host, &[], at)
            .err()
            .map(|error| error.to_string()),
        Err(error) => Some(error.to_string()),
    }
}

/// A host that the name is for.
fn server_name(name: &Name) -> Option<ServerName<'static>> {
    let host = name.to_string();
    let host = match host.strip_prefix("*.") {
        Some(domain) => format!("any.{domain}"),
        None => host,
    };
    ServerName::try_from(host).ok()
}
