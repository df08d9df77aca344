//! The connection to one Redis: TLS, a master that stops being one, and what
//! its replicas have.

use std::collections::BTreeSet;

use muster::store::redis::{RedisOpenError, RedisStore, RedisUrl};
use muster::store::{GatewayStore, KeyStore, Lookup};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::store::redis_store::{beat, gateway, renew};
use crate::support::{RedisServer, eventually, free_port, new_key};

/// Where a server with TLS is, and the CA of its certificate.
struct Tls {
    server: RedisServer,
    url: String,
    ca: String,
    cert: String,
    key: String,
}

impl Tls {
    fn start() -> Self {
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let leaf = leaf.signed_by(&key, &ca).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, content: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            path.display().to_string()
        };
        let port = free_port();
        let lines = [
            format!("tls-port {port}"),
            format!("tls-cert-file {}", file("leaf.pem", leaf.pem())),
            format!("tls-key-file {}", file("leaf.key", key.serialize_pem())),
            format!("tls-ca-cert-file {}", file("ca.pem", ca.pem())),
            "tls-auth-clients no".to_owned(),
        ];
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let server = RedisServer::configured(free_port(), &lines);
        let url = format!("rediss://muster:change-me@127.0.0.1:{port}/0");
        Self {
            server,
            url,
            ca: ca.pem(),
            cert: leaf.pem(),
            key: key.serialize_pem(),
        }
    }

    async fn open(&self, url: &str, ca: Option<&str>) -> Result<RedisStore, RedisOpenError> {
        let mut options = self.server.options();
        options.url = RedisUrl::parse(url).unwrap();
        options.ca = ca.map(|pem| pem.as_bytes().to_vec());
        RedisStore::open(options).await
    }
}

#[tokio::test]
async fn tls_takes_a_certificate_of_the_given_ca_alone() {
    let (one, other) = (Tls::start(), Tls::start());
    let store = one.open(&one.url, Some(&one.ca)).await.unwrap();
    let key = new_key("k");
    let id = key.id;
    store.create(key).await.unwrap();
    let loaded = store.load(id).await.unwrap().lookup;
    assert!(matches!(loaded, Lookup::Present(_)), "{loaded:?}");

    // Another CA, none of the system's, and a name that it is not for.
    let elsewhere = one.url.replace("127.0.0.1", "localhost");
    for (url, ca) in [
        (&one.url, Some(other.ca.as_str())),
        (&one.url, None),
        (&elsewhere, Some(one.ca.as_str())),
    ] {
        let refused = one.open(url, ca).await.map(|store| store.id());
        let refused = refused.unwrap_err();
        println!("{refused}");
        assert!(
            matches!(refused, RedisOpenError::Certificate(_)),
            "{refused:?}"
        );
        assert!(refused.to_string().contains("--redis-ca-file"));
    }
    let empty = one.open(&one.url, Some("no PEM")).await;
    let empty = empty.map(|store| store.id());
    assert!(matches!(empty, Err(RedisOpenError::Ca(_))), "{empty:?}");
}

#[tokio::test]
async fn redis_changes_its_ca_while_both_are_trusted() {
    let (one, other) = (Tls::start(), Tls::start());
    let store = one.open(&one.url, Some(&one.ca)).await.unwrap();
    let password = || None;
    let new = |ca: String| Some(ca.into_bytes());
    assert!(!store.renew_login(password(), new(one.ca.clone())).unwrap());
    // Joined as `cat` joins files without a line end.
    let both = format!("{}{}", one.ca.trim_end(), other.ca);
    assert!(store.renew_login(password(), new(both)).unwrap());
    let damaged = new(one.ca.replace("-----END", "END"));
    let error = store.renew_login(password(), damaged).unwrap_err();
    assert!(matches!(error, RedisOpenError::Ca(_)), "{error}");

    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let mut raw = one.server.raw().await;
    let mut change = redis::cmd("CONFIG");
    change.arg("SET");
    change.arg(&["tls-cert-file", &file("new.pem", &other.cert)]);
    change.arg(&["tls-key-file", &file("new.key", &other.key)]);
    // Redis reads its own CA again along with them.
    change.arg(&["tls-ca-cert-file", &file("ca.pem", &one.ca)]);
    let () = change.query_async(&mut raw).await.unwrap();
    let mut kill = redis::cmd("CLIENT");
    let kill = kill.arg(&["KILL", "USER", "muster"]);
    let cut: u64 = kill.query_async(&mut raw).await.unwrap();
    assert!(cut > 0);
    let id = new_key("k").id;
    eventually(
        "an answer of the server with the other certificate",
        async || store.load(id).await.is_ok(),
    )
    .await;
    let old = one.open(&one.url, Some(&one.ca)).await;
    let refused = old.map(|store| store.id()).unwrap_err();
    assert!(
        matches!(refused, RedisOpenError::Certificate(_)),
        "{refused:?}"
    );
}

#[tokio::test]
async fn each_database_is_a_store_of_its_own() {
    let server = RedisServer::start();
    let zero = server.store(|_| {}).await;
    let one = server.login_url().replace("/0", "/1");
    let one = server
        .store(|options| options.url = RedisUrl::parse(&one).unwrap())
        .await;
    assert_ne!(zero.id(), one.id());
}

#[tokio::test]
async fn readonly_and_noreplicas_cost_the_connection() {
    let server = RedisServer::start();
    let store = server.store(|_| {}).await;
    let info = gateway();
    let position = store.enrol(info.clone()).await.unwrap();
    let mut raw = server.raw().await;
    let replica_of = |words: [&str; 2]| {
        let mut demote = redis::cmd("REPLICAOF");
        demote.arg(&words);
        demote
    };
    let set_minimum = |replicas: &str| {
        let mut set = redis::cmd("CONFIG");
        set.arg(&["SET", "min-replicas-to-write", replicas]);
        set
    };
    let faults = [
        (
            "ReadOnly",
            replica_of(["127.0.0.1", "1"]),
            replica_of(["NO", "ONE"]),
        ),
        ("NOREPLICAS", set_minimum("1"), set_minimum("0")),
    ];
    for (code, on, off) in faults {
        renew(&store, beat(&info, position)).await;
        let before = connections(&mut raw).await;
        let () = on.query_async(&mut raw).await.unwrap();
        let refused = store.renew(beat(&info, position)).await.unwrap_err();
        assert!(refused.to_string().contains(code), "{refused}");
        let () = off.query_async(&mut raw).await.unwrap();
        renew(&store, beat(&info, position)).await;
        let after = connections(&mut raw).await;
        assert!(!before.is_subset(&after), "{code}: {before:?} {after:?}");
    }
}

/// The ids of the store's connections.
async fn connections(raw: &mut redis::aio::MultiplexedConnection) -> BTreeSet<String> {
    let mut list = redis::cmd("CLIENT");
    let list: String = list.arg("LIST").query_async(raw).await.unwrap();
    let of_muster = list.lines().filter(|line| line.contains("user=muster"));
    of_muster
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn without_replicas_the_store_alone_makes_a_change_durable() {
    let server = RedisServer::start();
    let store = server.store(|_| {}).await;
    let written = store.create(new_key("k")).await.unwrap();
    let alone = store.settle(&written).await;
    assert_eq!((alone.wanted, alone.is_durable()), (0, true));
    // As soon as there was one, it is wanted.
    let of = format!("replicaof 127.0.0.1 {}", server.port());
    let replica = RedisServer::configured(free_port(), &[&of, "repl-diskless-sync-delay 0"]);
    let info = gateway();
    let position = store.enrol(info.clone()).await.unwrap();
    eventually("a replica has it", async || {
        renew(&store, beat(&info, position)).await;
        let written = store.create(new_key("k")).await.unwrap();
        let settled = store.settle(&written).await;
        settled.acknowledged == 1 && settled.wanted == 1
    })
    .await;
    replica.pause();
    let written = store.create(new_key("k")).await.unwrap();
    let lonely = store.settle(&written).await;
    assert!(!lonely.is_durable(), "{lonely:?}");
    // As many as are asked for.
    replica.resume();
    let two = server.store(|options| options.replicas = Some(2)).await;
    let written = two.create(new_key("k")).await.unwrap();
    let settled = two.settle(&written).await;
    assert_eq!((settled.wanted, settled.is_durable()), (2, false));
}
