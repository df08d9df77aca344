//! Chains of an operator's own, as they are put together by hand and by tools.

use std::fs;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use super::*;

const DAY: Duration = Duration::from_secs(86_400);

/// A CA, or a server, and the PEM of its certificate.
struct Made {
    pem: String,
    key: String,
    issuer: Issuer<'static, KeyPair>,
}

/// What is not as usual in one.
#[derive(Default)]
struct Odd {
    expired: bool,
    ends_in: Option<Duration>,
    no_ca: bool,
}

fn make(name: &str, by: Option<&Made>, odd: &Odd) -> Made {
    let key = KeyPair::generate().unwrap();
    let is_server = name == "server";
    let mut params = CertificateParams::new(if is_server {
        vec!["gw.example.com".to_owned()]
    } else {
        Vec::new()
    })
    .unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    if !is_server && !odd.no_ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    let from_now = |span: Duration| now().saturating_add(span).to_utc();
    let ago = |days: i64| Timestamp::from_millis(now().as_millis() - days * 86_400_000).to_utc();
    params.not_before = ago(400);
    params.not_after = match odd {
        Odd { expired: true, .. } => ago(1),
        odd => from_now(odd.ends_in.unwrap_or(300 * DAY)),
    };
    let cert = match by {
        Some(by) => params.signed_by(&key, &by.issuer),
        None => params.self_signed(&key),
    };
    Made {
        pem: cert.unwrap().pem(),
        key: key.serialize_pem(),
        issuer: Issuer::new(params, key),
    }
}

struct Site {
    dir: TempDir,
    root: Made,
    middle: Made,
    server: Made,
}

impl Site {
    fn new(middle: &Odd) -> Self {
        let root = make("root", None, &Odd::default());
        let middle = make("middle", Some(&root), middle);
        let server = make("server", Some(&middle), &Odd::default());
        Self {
            dir: TempDir::new().unwrap(),
            root,
            middle,
            server,
        }
    }

    fn open(&self, chain: &str) -> Result<Own, CertError> {
        let (cert, key) = (self.dir.path().join("chain"), self.dir.path().join("key"));
        fs::write(&cert, chain).unwrap();
        fs::write(&key, &self.server.key).unwrap();
        Own::open(&cert, &key)
    }

    /// The chain as it is served.
    fn served(&self, chain: &str) -> Vec<CertificateDer<'static>> {
        let own = self.open(chain).unwrap();
        own.current.chain()
    }
}

#[test]
fn a_chain_is_served_in_its_order_however_it_was_put_together() {
    let site = Site::new(&Odd::default());
    let (server, middle, root) = (&site.server.pem, &site.middle.pem, &site.root.pem);
    let all: Vec<_> = [server, middle, root]
        .into_iter()
        .map(|pem| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
        .collect();
    let bare = server.trim_end();
    for chain in [
        format!("{server}{middle}{root}"),
        format!("{bare}{middle}{root}"),
        format!("\u{feff}{bare}\u{feff}{middle}{root}"),
        format!("{root}{middle}{server}"),
        format!("{middle}{server}{root}{middle}"),
    ] {
        assert_eq!(site.served(&chain), all, "{chain}");
    }
    assert_eq!(site.served(server), all[..1]);
    assert_eq!(site.served(&format!("{middle}{server}")), all[..2]);
}

#[test]
fn what_clients_would_refuse_is_refused_with_its_block() {
    let site = Site::new(&Odd::default());
    let (server, middle, root) = (&site.server.pem, &site.middle.pem, &site.root.pem);
    // Of the same name, with another key.
    let twin = make("middle", Some(&site.root), &Odd::default()).pem;
    let stranger = make("stranger", None, &Odd::default()).pem;
    for (chain, words) in [
        (
            format!("{server}{twin}{root}"),
            "block 2 (CN=middle) does not vouch for block 1 (CN=server)",
        ),
        (
            format!("{server}{middle}{stranger}"),
            "issued none of the others: block 3 (CN=stranger)",
        ),
        (format!("{middle}{root}"), "is not the key of"),
    ] {
        let error = site.open(&chain).err().unwrap().to_string();
        assert!(error.contains(words), "{words}: {error}");
    }
    for (odd, words) in [
        (
            Odd {
                expired: true,
                ..Odd::default()
            },
            "block 2 (CN=middle) expired at ",
        ),
        (
            Odd {
                no_ca: true,
                ..Odd::default()
            },
            "block 2 (CN=middle) does not vouch for block 1 (CN=server): it is no CA's",
        ),
    ] {
        let site = Site::new(&odd);
        let chain = format!("{}{}", site.server.pem, site.middle.pem);
        let error = site.open(&chain).err().unwrap().to_string();
        assert!(error.contains(words), "{words}: {error}");
    }
}

#[test]
fn the_first_end_in_the_chain_is_told_and_measured() {
    let soon = Odd {
        ends_in: Some(29 * DAY),
        ..Odd::default()
    };
    let site = Site::new(&soon);
    let chain = format!("{}{}{}", site.server.pem, site.middle.pem, site.root.pem);
    let own = site.open(&chain).unwrap();
    assert_eq!(warn_of_end(&own, now()), [2]);

    let certs = Certs::open(&CertOptions {
        data_dir: site.dir.path().join("data"),
        ..CertOptions::default()
    })
    .unwrap();
    let (cert, key) = (site.dir.path().join("chain"), site.dir.path().join("key"));
    certs.own_server_config(&cert, &key, &[b"h2"]).unwrap();
    let days: Vec<(String, u64)> = certs
        .ends_in()
        .into_iter()
        .map(|(name, seconds)| (name, (seconds / 86_400.0).ceil() as u64))
        .collect();
    let expected = [
        ("ca", 3652),
        ("server", 90),
        ("tls-cert 1", 300),
        ("tls-cert 2", 29),
        ("tls-cert 3", 300),
    ];
    assert_eq!(days, expected.map(|(name, days)| (name.to_owned(), days)));
}

#[test]
fn new_files_are_taken_and_bad_ones_change_nothing() {
    let site = Site::new(&Odd::default());
    let own = site.open(&site.server.pem).unwrap();
    let (cert, key) = (site.dir.path().join("chain"), site.dir.path().join("key"));
    assert!(!own.reread().unwrap());
    let before = own.current.chain();

    let next = make("server", Some(&site.middle), &Odd::default());
    fs::write(&cert, &next.pem).unwrap();
    let error = own.reread().err().unwrap();
    assert!(matches!(error, CertError::KeyMismatch { .. }), "{error}");
    assert_eq!(own.current.chain(), before);
    fs::remove_file(&key).unwrap();
    own.reread().unwrap_err();
    assert_eq!(own.current.chain(), before);

    fs::write(&key, &next.key).unwrap();
    assert!(own.reread().unwrap());
    assert_ne!(own.current.chain(), before);
    assert!(!own.reread().unwrap());
}

#[test]
fn names_alone_decide_nothing() {
    // A server that is called like its CA, and a CA that was made anew under its name.
    let mut site = Site::new(&Odd::default());
    let ca = make("server", None, &Odd::default());
    let mut params = CertificateParams::new(["gw.example.com".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "server");
    let key = KeyPair::generate().unwrap();
    site.server.pem = params.signed_by(&key, &ca.issuer).unwrap().pem();
    site.server.key = key.serialize_pem();
    assert_eq!(site.served(&site.server.pem).len(), 1);

    let site = Site::new(&Odd::default());
    let twin = make("middle", None, &Odd::default()).pem;
    let chain = format!("{}{}{twin}", site.server.pem, site.middle.pem);
    let error = site.open(&chain).err().unwrap().to_string();
    assert!(
        error.contains("issued none of the others: block 3"),
        "{error}"
    );
}

#[test]
fn a_self_signed_certificate_is_a_chain_of_its_own() {
    let mut site = Site::new(&Odd::default());
    site.server = make("server", None, &Odd::default());
    assert_eq!(site.served(&site.server.pem).len(), 1);
}
