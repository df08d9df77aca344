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

use super::error::CertError;
use super::life::Leaf;
use super::names::Name;
use super::parse::{self, Facts};
use super::pem::Numbered;
use super::tls;
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
    check_leaf(&chain[0]).map_err(|what| problem(what, "have one issued with serverAuth"))?;
    not_ended(&chain[0], cert, now)?;
    let mut at = 0;
    while let Some(child) = chain.get(at) {
        // By name first: a CA with a new key often keeps its name.
        let issuer = child.facts.issuer.clone();
        let below = format!("block {} ({})", child.block, child.facts.shown);
        let (named, others) = rest
            .into_iter()
            .partition::<Vec<_>, _>(|link| link.facts.subject == issuer);
        rest = others;
        let mut fault = None;
        let before = chain.len();
        for link in named {
            let link = Link { issued: at, ..link };
            match refused(&chain[..before], &link, now) {
                None => chain.push(link),
                Some(what) => {
                    let (block, shown) = (link.block, &link.facts.shown);
                    fault.get_or_insert(format!(
                        "is refused by clients: block {block} ({shown}) does not vouch for \
                         {below}: {what}"
                    ));
                    rest.push(link);
                }
            }
        }
        // One that is self-signed needs nobody else.
        if let Some(fault) = fault.filter(|_| chain.len() == before && !chain[at].is_root()) {
            return Err(problem(fault, ISSUER_CURE));
        }
        at += 1;
    }
    for link in &chain {
        not_ended(link, cert, now)?;
    }
    if let Some(link) = rest.first() {
        let what = format!(
            "has a certificate that issued none of the others: block {} ({})",
            link.block, link.facts.shown
        );
        return Err(problem(what, ISSUER_CURE));
    }
    let lives = chain.iter().map(|link| Leaf::of(&link.facts)).collect();
    Ok((chain.into_iter().map(|link| link.der).collect(), lives))
}

impl Link {
    fn is_root(&self) -> bool {
        self.facts.is_ca && self.facts.subject == self.facts.issuer
    }
}

fn not_ended(link: &Link, path: &Path, now: Timestamp) -> Result<(), CertError> {
    if link.facts.not_after > now {
        return Ok(());
    }
    Err(CertError::BlockExpired {
        path: path.to_owned(),
        block: link.block,
        subject: link.facts.shown.clone(),
        not_after: link.facts.not_after,
    })
}

fn check_leaf(leaf: &Link) -> Result<(), String> {
    if leaf.facts.for_servers {
        return Ok(());
    }
    let (block, shown) = (leaf.block, &leaf.facts.shown);
    Err(format!(
        "is not for servers (extendedKeyUsage): block {block} ({shown})"
    ))
}

/// Why a client that trusts `top`, which is to have issued one of the chain, refuses
/// the chain's first; none where it takes it, or where that can't be told.
fn refused(chain: &[Link], top: &Link, now: Timestamp) -> Option<String> {
    // A trusted one is believed to be a CA, whatever it says of itself.
    if !top.facts.is_ca {
        return Some("it is no CA's".to_owned());
    }
    let leaf = chain.first()?;
    // A CA's own certificate as a server's is odd, and said elsewhere; one that names
    // no host is, too.
    if leaf.facts.is_ca {
        return None;
    }
    let host = server_name(leaf.facts.names.first()?)?;
    let mut between = Vec::new();
    let mut at = top.issued;
    while at != 0 {
        between.push(chain.get(at)?.der.clone());
        at = chain.get(at)?.issued;
    }
    // One that has ended is told by its end, and one that is not valid yet is warned of
    // elsewhere: here it is the day when all of them are valid, if there is one.
    let path = || chain.iter().chain([top]).map(|link| &link.facts);
    let ends = path().map(|facts| facts.not_after);
    let last = ends.fold(now, Timestamp::min);
    let at = path().map(|f| f.not_before).fold(last, Timestamp::max);
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
