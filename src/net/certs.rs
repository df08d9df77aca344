//! The certificates of the TLS listeners.
//!
//! Owns: a CA of our own, the leaf that it issues for this host, their files,
//! their renewal. Must not know: listeners, gRPC. Invariant: a CA is made once
//! and never overwritten; a leaf that is served was checked against its CA and
//! its key.

mod authority;
mod chain;
mod error;
mod files;
mod issue;
mod life;
mod names;
mod own;
mod parse;
mod pem;
mod tls;

use data_encoding::HEXLOWER;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::keys::Timestamp;
use authority::Authority;
pub(crate) use error::CertError;
use files::Access;
pub(crate) use issue::{IssuedLeaf, LeafRequest, can_be_named, issue_leaf};
use life::{Leaf, TELL_BEFORE, now};
use names::Name;
use own::Own;
pub(crate) use pem::ca_pem;

/// Between two looks at the leaf's life.
const CHECK_EVERY: Duration = Duration::from_secs(3_600);
/// How often the log repeats that the operator's own certificate ends soon, in
/// looks.
const TELL_EVERY: u32 = 24;

/// What [`Certs`] needs to know.
#[derive(Debug, Clone, Default)]
pub struct CertOptions {
    /// Where the leaf lives, and a copy of the CA's certificate.
    pub data_dir: PathBuf,
    /// Where the CA lives; by default the data directory.
    pub ca_dir: Option<PathBuf>,
    /// The host (DNS name or IP address, no port) where agents dial.
    pub agent_host: Option<String>,
    /// The addresses that the listeners are bound to.
    pub listen_ips: Vec<IpAddr>,
}

/// A CA and the current leaf, renewable while it is served.
pub struct Certs {
    options: CertOptions,
    agent_host: Option<Name>,
    authority: Authority,
    current: Arc<tls::Current>,
    base: ServerConfig,
    leaf: Mutex<Leaf>,
    /// The operator's own certificate, where one is served.
    own: OnceLock<Own>,
}

impl std::fmt::Debug for Certs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certs")
            .field("options", &self.options)
            .field("leaf", &*self.leaf.lock())
            .finish_non_exhaustive()
    }
}

impl Certs {
    /// Loads CA and leaf, and makes what is missing. The leaf is made anew when
    /// this host's names changed, when it is past two thirds of its life, or
    /// when it can't be used.
    ///
    /// Blocks on files; for the start of the process.
    ///
    /// # Errors
    /// When files can't be read or written, or when the CA's are damaged,
    /// incomplete or expired: those are never overwritten.
    pub fn open(options: &CertOptions) -> Result<Self, CertError> {
        Self::open_at(options, now())
    }

    fn open_at(options: &CertOptions, now: Timestamp) -> Result<Self, CertError> {
        let agent_host = match &options.agent_host {
            None => None,
            Some(host) => {
                Some(Name::parse(host).ok_or_else(|| CertError::Host { host: host.clone() })?)
            }
        };
        files::make_dir(&options.data_dir)?;
        let ca_dir = options.ca_dir.as_deref().unwrap_or(&options.data_dir);
        let authority = Authority::open(ca_dir, now)?;
        publish(&authority, ca_dir, &options.data_dir)?;

        let wanted = names::of_this_host(agent_host.as_ref(), &options.listen_ips);
        let stored = load_leaf(&options.data_dir, &authority, now)
            .filter(|(_, leaf)| leaf.names == wanted && !leaf.is_due(now));
        let (key, leaf) = match stored {
            Some(stored) => stored,
            None => make_leaf(&options.data_dir, &authority, &wanted, now)?,
        };
        let current = tls::Current::new(key);
        Ok(Self {
            options: options.clone(),
            agent_host,
            authority,
            base: tls::base_config(Arc::clone(&current))?,
            current,
            leaf: Mutex::new(leaf),
            own: OnceLock::new(),
        })
    }

    /// The CA's certificate, as agents and browsers need it.
    #[cfg(test)]
    pub fn ca_pem(&self) -> &str {
        &self.authority.pem
    }

    /// The SHA-256 of the CA's certificate, in hexadecimal.
    pub fn ca_fingerprint(&self) -> String {
        HEXLOWER.encode(&Sha256::digest(&self.authority.der))
    }

    /// Where the CA's files are.
    pub fn ca_dir(&self) -> &Path {
        let own = self.options.ca_dir.as_deref();
        own.unwrap_or(&self.options.data_dir)
    }

    /// Where the CA's certificate can be read by everything on this host.
    pub fn ca_pem_path(&self) -> PathBuf {
        self.options.data_dir.join("ca.pem")
    }

    /// A configuration for one listener. It serves the leaf that is current at
    /// each handshake, so a renewal needs no restart.
    pub fn server_config(&self, alpn: &[&[u8]]) -> Arc<ServerConfig> {
        tls::with_alpn(&self.base, alpn)
    }

    /// A configuration with an operator's own certificate: `cert` holds the leaf
    /// and its chain. It is not renewed here; the log warns now and once a day
    /// when any of it ends soon.
    ///
    /// # Errors
    /// When a file can't be read or understood, the key is not the certificate's,
    /// or clients would refuse the chain.
    pub fn own_server_config(
        &self,
        cert: &Path,
        key: &Path,
        alpn: &[&[u8]],
    ) -> Result<Arc<ServerConfig>, CertError> {
        let opened = Own::open(cert, key)?;
        let own = self.own.get_or_init(|| opened);
        warn_of_end(own, now());
        let base = tls::base_config(Arc::clone(&own.current))?;
        Ok(tls::with_alpn(&base, alpn))
    }

    /// Serves what is in the operator's own files now; true when that is something
    /// new, false also when there are none. Blocks on files.
    ///
    /// # Errors
    /// As [`Self::own_server_config`]; what was served is served on.
    pub fn reread_own(&self) -> Result<bool, CertError> {
        let Some(own) = self.own.get() else {
            return Ok(false);
        };
        let taken = own.reread()?;
        if taken {
            warn_of_end(own, now());
        }
        Ok(taken)
    }

    /// Seconds until each certificate that is in use ends, negative once past: `ca`,
    /// `server`, and `tls-cert 1` and so on, the leaf first.
    pub fn ends_in(&self) -> Vec<(String, f64)> {
        let now = now().as_millis();
        let seconds = |end: Timestamp| (end.as_millis() - now) as f64 / 1000.0;
        let mut ends = vec![
            ("ca".to_owned(), seconds(self.authority.not_after())),
            ("server".to_owned(), seconds(self.not_after())),
        ];
        let own = self.own.get().map_or_else(Vec::new, Own::lives);
        for (at, leaf) in own.iter().enumerate() {
            ends.push((format!("tls-cert {}", at + 1), seconds(leaf.not_after)));
        }
        ends
    }

    /// The names in the current leaf: DNS names, then IP addresses.
    #[cfg(test)]
    pub fn leaf_names(&self) -> Vec<String> {
        self.leaf.lock().names.iter().map(Name::to_string).collect()
    }

    /// The end of the current leaf.
    pub fn not_after(&self) -> Timestamp {
        self.leaf.lock().not_after
    }

    /// Makes a new leaf if two thirds of the current one's life are over at
    /// `now`; true when it did. Connections that stand are not touched. Blocks
    /// on files.
    ///
    /// # Errors
    /// When the CA has expired or the files can't be written; the current leaf
    /// stays.
    pub fn renew_if_due(&self, now: Timestamp) -> Result<bool, CertError> {
        if !self.leaf.lock().is_due(now) {
            return Ok(false);
        }
        if self.authority.not_after() <= now {
            return Err(CertError::Expired {
                path: self.ca_pem_path(),
                not_after: self.authority.not_after(),
            });
        }
        let names = names::of_this_host(self.agent_host.as_ref(), &self.options.listen_ips);
        let (key, leaf) = make_leaf(&self.options.data_dir, &self.authority, &names, now)?;
        self.current.replace(key);
        *self.leaf.lock() = leaf;
        Ok(true)
    }

    /// Warns of what ends soon and is not renewed here.
    fn tell_ends(&self, now: Timestamp) {
        if let Some(own) = self.own.get() {
            warn_of_end(own, now);
        }
        let not_after = self.authority.not_after();
        if not_after.saturating_since(now) < TELL_BEFORE {
            let path = self.ca_dir().join("ca.pem");
            tracing::warn!(path = %path.display(), %not_after, "muster's CA ends soon");
        }
    }

    /// Renews the leaf whenever it is due, until `shutdown`. A failure is
    /// logged and tried again an hour later; there are 30 days for that.
    pub async fn keep_renewed(self: Arc<Self>, shutdown: CancellationToken) {
        let mut looks = 0;
        while shutdown
            .run_until_cancelled(tokio::time::sleep(CHECK_EVERY))
            .await
            .is_some()
        {
            looks = (looks + 1) % TELL_EVERY;
            if looks == 0 {
                self.tell_ends(now());
            }
            let certs = Arc::clone(&self);
            let renewed = tokio::task::spawn_blocking(move || certs.renew_if_due(now())).await;
            match renewed {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::error!(
                    %error,
                    not_after = %self.not_after(),
                    "the certificate could not be renewed; after its end no agent can connect"
                ),
                Err(error) => tracing::error!(%error, "the certificate's renewal was lost"),
            }
        }
    }
}

/// Which ones of the chain were reported, from 1.
fn warn_of_end(own: &Own, now: Timestamp) -> Vec<usize> {
    let lives = own.lives().into_iter().enumerate();
    let soon: Vec<_> = lives.filter(|(_, life)| life.ends_soon(now)).collect();
    for (at, life) in &soon {
        tracing::warn!(
            path = %own.path().display(),
            certificate = at + 1,
            not_after = %life.not_after,
            "a certificate of this chain (1: the server's own) ends soon and is not renewed by \
             muster; replace the file, or no agent can connect after its end"
        );
    }
    soon.into_iter().map(|(at, _)| at + 1).collect()
}

/// Puts the CA's certificate into the data directory, where agents' set-up
/// looks for it.
fn publish(authority: &Authority, ca_dir: &Path, data_dir: &Path) -> Result<(), CertError> {
    let same = match (ca_dir.canonicalize(), data_dir.canonicalize()) {
        (Ok(ca_dir), Ok(data_dir)) => ca_dir == data_dir,
        _ => ca_dir == data_dir,
    };
    if same {
        return Ok(());
    }
    let own_key = data_dir.join("ca.key");
    if own_key.exists() {
        return Err(CertError::TwoAuthorities { path: own_key });
    }
    let copy = data_dir.join("ca.pem");
    if files::read_if_present(&copy)?.as_deref() == Some(authority.pem.as_bytes()) {
        return Ok(());
    }
    files::write(&copy, authority.pem.as_bytes(), Access::Public)
}

/// The stored leaf, if it can be served. It can always be made again, so why it
/// can't is worth no more than a line.
fn load_leaf(
    data_dir: &Path,
    authority: &Authority,
    now: Timestamp,
) -> Option<(CertifiedKey, Leaf)> {
    let (cert_path, key_path) = leaf_paths(data_dir);
    let cert = files::read_if_present(&cert_path).ok()??;
    let key = files::read_if_present(&key_path).ok()??;
    let usable = || -> Option<(CertifiedKey, Leaf)> {
        let der = CertificateDer::from_pem_slice(&cert).ok()?;
        let key = PrivateKeyDer::from_pem_slice(&key).ok()?;
        if !tls::is_trusted(&authority.der, &der, now) {
            return None;
        }
        let leaf = leaf_of(&der, &cert_path).ok()?;
        let certified = tls::certify(vec![der], key, &cert_path, &key_path).ok()?;
        Some((certified, leaf))
    };
    let usable = usable();
    if usable.is_none() {
        tracing::info!(
            path = %cert_path.display(),
            "the stored certificate can't be used; making a new one"
        );
    }
    usable
}

fn make_leaf(
    data_dir: &Path,
    authority: &Authority,
    names: &BTreeSet<Name>,
    now: Timestamp,
) -> Result<(CertifiedKey, Leaf), CertError> {
    let issued = authority.issue(names, now)?;
    let (cert_path, key_path) = leaf_paths(data_dir);
    let key_pem = issued.key_pem.expose_secret().as_bytes();
    let unreadable = |error: rustls::pki_types::pem::Error| CertError::Operator {
        path: cert_path.clone(),
        problem: format!("was made but can't be read ({error})"),
        cure: "report this",
    };
    let der = CertificateDer::from_pem_slice(issued.cert_pem.as_bytes()).map_err(unreadable)?;
    let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(unreadable)?;
    let leaf = leaf_of(&der, &cert_path)?;
    let certified = tls::certify(vec![der], key, &cert_path, &key_path)?;
    // A crash between the two leaves a pair that does not match, which the next
    // start replaces.
    files::write(&key_path, key_pem, Access::Secret)?;
    files::write(&cert_path, issued.cert_pem.as_bytes(), Access::Public)?;
    tracing::info!(path = %cert_path.display(), not_after = %leaf.not_after, "made a certificate");
    Ok((certified, leaf))
}

fn leaf_of(der: &CertificateDer<'_>, path: &Path) -> Result<Leaf, CertError> {
    let facts = parse::facts(der).map_err(|problem| CertError::Operator {
        path: path.to_owned(),
        problem,
        cure: "remove it, and start again",
    })?;
    Ok(Leaf::of(&facts))
}

fn leaf_paths(data_dir: &Path) -> (PathBuf, PathBuf) {
    (data_dir.join("server.pem"), data_dir.join("server.key"))
}

#[cfg(test)]
mod chain_test;
#[cfg(test)]
mod tests;
