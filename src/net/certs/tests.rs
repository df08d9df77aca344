//! CA and leaf in temporary directories, and real handshakes.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;

const DAY: Duration = Duration::from_secs(86_400);

fn options(dir: &TempDir) -> CertOptions {
    CertOptions {
        data_dir: dir.path().join("data"),
        ..CertOptions::default()
    }
}

fn read(options: &CertOptions, name: &str) -> Vec<u8> {
    fs::read(options.data_dir.join(name)).unwrap()
}

fn mode(path: PathBuf) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// One handshake against `server`; the certificate that the client saw.
async fn handshake(
    server: Arc<ServerConfig>,
    ca_pem: &str,
    name: &str,
) -> io::Result<CertificateDer<'static>> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
        roots.add(root.unwrap()).unwrap();
    }
    let mut client = ClientConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = vec![b"h2".to_vec()];
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await?;
        TlsAcceptor::from(server).accept(stream).await
    });
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let stream = TlsConnector::from(Arc::new(client))
        .connect(name, stream)
        .await?;
    let (_, session) = stream.get_ref();
    assert_eq!(session.alpn_protocol(), Some(&b"h2"[..]));
    let seen = session.peer_certificates().unwrap()[0].clone().into_owned();
    drop(stream);
    let _ = serving.await;
    Ok(seen)
}

#[tokio::test]
async fn the_first_start_makes_all_and_clients_trust_it() {
    let dir = TempDir::new().unwrap();
    let options = options(&dir);
    let certs = Certs::open(&options).unwrap();
    assert_eq!(read(&options, "ca.pem"), certs.ca_pem().as_bytes());
    for secret in ["ca.key", "server.key"] {
        assert_eq!(mode(options.data_dir.join(secret)), 0o600, "{secret}");
    }
    assert_eq!(mode(options.data_dir.join("ca.pem")), 0o644);
    for name in ["localhost", "127.0.0.1", "::1"] {
        let config = certs.server_config(&[b"h2"]);
        handshake(config, certs.ca_pem(), name).await.unwrap();
        assert!(certs.leaf_names().contains(&name.to_owned()));
    }
    let config = certs.server_config(&[b"h2"]);
    handshake(config, certs.ca_pem(), "example.com")
        .await
        .unwrap_err();
    let left: Vec<_> = fs::read_dir(&options.data_dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name.to_string_lossy().ends_with(".tmp"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn what_is_made_says_what_it_should() {
    let dir = TempDir::new().unwrap();
    let options = options(&dir);
    let now = now();
    let _certs = Certs::open_at(&options, now).unwrap();
    let facts = |name: &str| {
        let der = CertificateDer::from_pem_slice(&read(&options, name)).unwrap();
        parse::facts(&der).unwrap()
    };
    let (ca, leaf) = (facts("ca.pem"), facts("server.pem"));
    assert!(ca.is_ca && !leaf.is_ca);
    assert!(ca.not_before < leaf.not_before && leaf.not_before < now);
    assert_eq!(ca.not_after.saturating_since(now).as_secs() / 86_400, 3_651);
    assert_eq!(leaf.not_after.saturating_since(now).as_secs() / 86_400, 89);
}

#[test]
fn the_second_start_changes_nothing() {
    let dir = TempDir::new().unwrap();
    let options = options(&dir);
    let files = ["ca.pem", "ca.key", "server.pem", "server.key"];
    let all = || files.map(|name| read(&options, name));
    let first = Certs::open(&options).unwrap();
    let before = all();
    let second = Certs::open(&options).unwrap();
    assert_eq!(before, all());
    assert_eq!(first.not_after(), second.not_after());
    assert_eq!(first.leaf_names(), second.leaf_names());
}

#[test]
fn other_names_make_a_new_leaf_under_the_same_ca() {
    let dir = TempDir::new().unwrap();
    let mut options = options(&dir);
    let _first = Certs::open(&options).unwrap();
    let (ca, leaf) = (read(&options, "ca.pem"), read(&options, "server.pem"));
    options.agent_host = Some("Gateway.example.com".to_owned());
    options.listen_ips = vec!["192.0.2.77".parse().unwrap()];
    let certs = Certs::open(&options).unwrap();
    assert_eq!(ca, read(&options, "ca.pem"));
    assert_ne!(leaf, read(&options, "server.pem"));
    let names = certs.leaf_names();
    assert!(
        names.contains(&"gateway.example.com".to_owned()),
        "{names:?}"
    );
    assert!(names.contains(&"192.0.2.77".to_owned()), "{names:?}");

    options.agent_host = Some("gateway:8443".to_owned());
    let error = Certs::open(&options).unwrap_err();
    assert!(matches!(error, CertError::Host { .. }), "{error}");
}

#[tokio::test]
async fn a_renewal_reaches_a_configuration_in_use() {
    let dir = TempDir::new().unwrap();
    let options = options(&dir);
    let start = now();
    let certs = Certs::open_at(&options, start).unwrap();
    let config = certs.server_config(&[b"h2"]);
    let before = handshake(Arc::clone(&config), certs.ca_pem(), "localhost")
        .await
        .unwrap();
    assert!(!certs.renew_if_due(start.saturating_add(DAY * 59)).unwrap());
    let due = start.saturating_add(DAY * 60);
    assert!(certs.renew_if_due(due).unwrap());
    assert!(!certs.renew_if_due(due).unwrap());
    assert!(certs.not_after() > start.saturating_add(DAY * 149));
    let der = CertificateDer::from_pem_slice(&read(&options, "server.pem")).unwrap();
    assert_ne!(before, der);

    // Back at today, the leaf of the future is not valid yet.
    assert!(certs.renew_if_due(start).unwrap());
    let after = handshake(config, certs.ca_pem(), "localhost")
        .await
        .unwrap();
    assert_ne!(before, after);
}

#[test]
fn a_start_past_two_thirds_renews() {
    let dir = TempDir::new().unwrap();
    let options = options(&dir);
    let start = now();
    Certs::open_at(&options, start).unwrap();
    let leaf = read(&options, "server.pem");
    Certs::open_at(&options, start.saturating_add(DAY * 59)).unwrap();
    assert_eq!(leaf, read(&options, "server.pem"));
    Certs::open_at(&options, start.saturating_add(DAY * 60)).unwrap();
    assert_ne!(leaf, read(&options, "server.pem"));
}

#[test]
fn no_leaf_outlives_its_ca_and_an_expired_ca_is_said() {
    let dir = TempDir::new().unwrap();
    let options = options(&dir);
    let start = now();
    Certs::open_at(&options, start).unwrap();
    let late = Certs::open_at(&options, start.saturating_add(DAY * 3_640)).unwrap();
    let end = late.not_after();
    assert!(end <= start.saturating_add(DAY * 3_652));
    for error in [
        late.renew_if_due(end).unwrap_err(),
        Certs::open_at(&options, end).unwrap_err(),
    ] {
        assert!(matches!(error, CertError::Expired { .. }), "{error}");
        assert!(error.to_string().contains("ca.pem"), "{error}");
    }
}

#[test]
fn a_leaf_that_cannot_be_used_is_made_again() {
    let (dir, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (options, foreign) = (options(&dir), options(&other));
    Certs::open(&options).unwrap();
    Certs::open(&foreign).unwrap();
    let ca = read(&options, "ca.pem");
    let damage: [(&str, Vec<u8>); 4] = [
        ("server.pem", b"rubbish".to_vec()),
        ("server.key", Vec::new()),
        ("server.key", read(&foreign, "server.key")),
        ("server.pem", read(&foreign, "server.pem")),
    ];
    for (name, content) in damage {
        fs::write(options.data_dir.join(name), &content).unwrap();
        Certs::open(&options).unwrap();
        assert_ne!(read(&options, name), content);
        assert_eq!(mode(options.data_dir.join("server.key")), 0o600);
    }
    // A whole pair of another CA.
    for name in ["server.pem", "server.key"] {
        fs::write(options.data_dir.join(name), read(&foreign, name)).unwrap();
    }
    Certs::open(&options).unwrap();
    assert_ne!(read(&options, "server.pem"), read(&foreign, "server.pem"));
    assert_eq!(read(&options, "ca.pem"), ca);
}

#[test]
fn a_damaged_ca_is_an_error_and_stays() {
    let (dir, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (options, foreign) = (options(&dir), options(&other));
    Certs::open(&options).unwrap();
    Certs::open(&foreign).unwrap();
    let good = ["ca.pem", "ca.key"].map(|name| (name, read(&options, name)));
    let damage: [(&str, Vec<u8>); 5] = [
        ("ca.pem", b"rubbish".to_vec()),
        ("ca.pem", vec![0xff; 9]),
        ("ca.pem", read(&options, "server.pem")),
        ("ca.key", b"rubbish".to_vec()),
        ("ca.key", read(&foreign, "ca.key")),
    ];
    for (name, content) in damage {
        fs::write(options.data_dir.join(name), &content).unwrap();
        let error = Certs::open(&options).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        assert_eq!(read(&options, name), content);
        for (name, content) in &good {
            fs::write(options.data_dir.join(name), content).unwrap();
        }
    }
    for (name, content) in &good {
        fs::remove_file(options.data_dir.join(name)).unwrap();
        let error = Certs::open(&options).unwrap_err();
        assert!(matches!(error, CertError::Incomplete { .. }), "{error}");
        assert!(!options.data_dir.join(name).exists());
        fs::write(options.data_dir.join(name), content).unwrap();
    }
    Certs::open(&options).unwrap();
}

#[test]
fn gateways_can_share_a_ca_directory_and_start_together() {
    let dir = TempDir::new().unwrap();
    let shared = dir.path().join("ca");
    let options: Vec<_> = (0..4)
        .map(|nth| CertOptions {
            data_dir: dir.path().join(format!("data{nth}")),
            ca_dir: Some(shared.clone()),
            ..CertOptions::default()
        })
        .collect();
    std::thread::scope(|scope| {
        for options in &options {
            scope.spawn(|| Certs::open(options).unwrap());
        }
    });
    let ca = fs::read(shared.join("ca.pem")).unwrap();
    for options in &options {
        assert_eq!(read(options, "ca.pem"), ca);
        assert!(!options.data_dir.join("ca.key").exists());
        Certs::open(options).unwrap();
    }
}

#[test]
fn a_ca_in_the_data_directory_is_not_painted_over() {
    let dir = TempDir::new().unwrap();
    let mut options = options(&dir);
    Certs::open(&options).unwrap();
    let ca = read(&options, "ca.pem");
    options.ca_dir = Some(dir.path().join("ca"));
    let error = Certs::open(&options).unwrap_err();
    assert!(matches!(error, CertError::TwoAuthorities { .. }), "{error}");
    assert_eq!(read(&options, "ca.pem"), ca);
    options.ca_dir = Some(options.data_dir.join("../data"));
    Certs::open(&options).unwrap();
}

#[tokio::test]
async fn an_operators_own_files_are_served() {
    let dir = TempDir::new().unwrap();
    let options = options(&dir);
    let certs = Certs::open(&options).unwrap();
    let (cert, key) = leaf_paths(&options.data_dir);
    let config = certs.own_server_config(&cert, &key, &[b"h2"]).unwrap();
    handshake(config, certs.ca_pem(), "localhost")
        .await
        .unwrap();
}

#[test]
fn an_operators_mistakes_are_named() {
    let dir = TempDir::new().unwrap();
    let options = options(&dir);
    Certs::open(&options).unwrap();
    let (cert, key) = leaf_paths(&options.data_dir);
    let file = |name: &str, content: &str| {
        let path = dir.path().join(name);
        fs::write(&path, content).unwrap();
        path
    };
    let empty = file("empty.pem", "");
    let broken = file("broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA");
    let encrypted = file(
        "encrypted.key",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    let odd = file(
        "odd.key",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    );
    let other = options.data_dir.join("ca.key");
    let absent = dir.path().join("absent.pem");
    for (cert, key, expected) in [
        (&absent, &key, "cannot read"),
        (&empty, &key, "holds no certificate"),
        (&broken, &key, "is damaged"),
        (&cert, &absent, "cannot read"),
        (&cert, &empty, "holds no private key"),
        (&cert, &encrypted, "is encrypted"),
        (&cert, &odd, "not supported"),
        (&cert, &other, "is not the key of"),
    ] {
        let error = Own::open(cert, key).err().unwrap();
        let text = error.to_string();
        assert!(text.contains(expected), "{text}");
        let wrong = if cert.ends_with("server.pem") {
            key
        } else {
            cert
        };
        assert!(text.contains(wrong.to_str().unwrap()), "{text}");
    }
}

#[tokio::test]
async fn a_leaf_is_issued_for_another_gateway() {
    let dir = TempDir::new().unwrap();
    let options = options(&dir);
    let certs = Certs::open(&options).unwrap();
    let mut request = LeafRequest {
        ca_dir: options.data_dir.clone(),
        out: dir.path().join("other/deep"),
        hosts: vec!["GW2.example.com".into(), "192.0.2.7".into()],
        replace: false,
    };
    let issued = issue_leaf(&request).unwrap();
    let expected = [
        "gw2.example.com",
        "localhost",
        "127.0.0.1",
        "192.0.2.7",
        "::1",
    ];
    assert_eq!(issued.names, expected);
    assert_eq!(mode(issued.key.clone()), 0o600);
    assert_eq!(fs::read(&issued.ca).unwrap(), certs.ca_pem().as_bytes());
    let config = certs
        .own_server_config(&issued.cert, &issued.key, &[b"h2"])
        .unwrap();
    for name in ["gw2.example.com", "localhost"] {
        let config = Arc::clone(&config);
        handshake(config, certs.ca_pem(), name).await.unwrap();
    }
    handshake(config, certs.ca_pem(), "gw3.example.com")
        .await
        .unwrap_err();

    // It is told of in time, since nobody renews it.
    let own = certs.own.get().unwrap();
    let end = own.lives()[0].not_after;
    assert!(warn_of_end(own, now()).is_empty());
    assert!(warn_of_end(own, before(end, 31 * DAY)).is_empty());
    assert_eq!(warn_of_end(own, before(end, 29 * DAY)), [1]);

    // Nothing is replaced unasked, and none of it lies among the CA's own files.
    let first = fs::read(&issued.key).unwrap();
    let refused = issue_leaf(&request).unwrap_err();
    assert!(matches!(refused, CertError::Taken { .. }), "{refused}");
    assert_eq!(fs::read(&issued.key).unwrap(), first);
    request.replace = true;
    issue_leaf(&request).unwrap();
    assert_ne!(fs::read(&issued.key).unwrap(), first);
    request.out = options.data_dir.join("../data");
    let own_leaf = read(&options, "server.pem");
    let refused = issue_leaf(&request).unwrap_err();
    assert!(
        matches!(refused, CertError::OwnDirectory { .. }),
        "{refused}"
    );
    assert_eq!(read(&options, "server.pem"), own_leaf);
    request.ca_dir = dir.path().join("nowhere");
    let refused = issue_leaf(&request).unwrap_err();
    assert!(
        matches!(refused, CertError::NoAuthority { .. }),
        "{refused}"
    );
    assert!(!request.ca_dir.exists(), "no CA is made");
}

fn before(at: Timestamp, span: Duration) -> Timestamp {
    let millis = i64::try_from(span.as_millis()).unwrap();
    Timestamp::from_millis(at.as_millis() - millis)
}
