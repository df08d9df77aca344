//! Files that are replaced while a gateway runs.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

use crate::support::{PATIENCE, Process, RedisServer, eventually};

const DAY: f64 = 86_400.0;

/// A CA of its own and a server's certificate that ends in so many days.
struct Pair {
    ca: String,
    cert: String,
    key: String,
}

fn pair(days: i64) -> Pair {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_before = time::OffsetDateTime::now_utc() - time::Duration::days(400);
    params.not_after = time::OffsetDateTime::now_utc() + time::Duration::days(days);
    let cert = params.signed_by(&key, &ca).unwrap();
    Pair {
        ca: ca.pem(),
        cert: cert.pem(),
        key: key.serialize_pem(),
    }
}

/// A volume as Kubernetes mounts a secret: files that are links into `..data`, which
/// is a link, too, and is swapped in one step.
struct Volume(TempDir);

impl Volume {
    fn new(first: &Pair) -> Self {
        let volume = Self(tempfile::tempdir().unwrap());
        volume.swap("..1", &first.cert, &first.key);
        for name in ["tls.crt", "tls.key"] {
            symlink(Path::new("..data").join(name), volume.path(name)).unwrap();
        }
        volume
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn swap(&self, version: &str, cert: &str, key: &str) {
        fs::create_dir(self.path(version)).unwrap();
        fs::write(self.path(version).join("tls.crt"), cert).unwrap();
        fs::write(self.path(version).join("tls.key"), key).unwrap();
        symlink(version, self.path("..data_tmp")).unwrap();
        fs::rename(self.path("..data_tmp"), self.path("..data")).unwrap();
    }
}

/// Days until the operator's own certificate ends.
async fn days(gateway: &Process) -> f64 {
    let sample = "muster_certificate_expires_in_seconds{certificate=\"tls-cert 1\"}";
    (gateway.metric(sample).await / DAY).ceil()
}

async fn alarm(gateway: &Process, setting: &str) -> f64 {
    let sample = format!("muster_reload_failed{{setting=\"{setting}\"}}");
    gateway.metric(&sample).await
}

#[tokio::test]
async fn a_certificate_is_taken_from_a_swapped_link_and_a_bad_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (pair(100), pair(200));
    let volume = Volume::new(&one);
    let (cert, key) = (volume.text("tls.crt"), volume.text("tls.key"));
    let flags = [
        "--tls-cert",
        &cert,
        "--tls-key",
        &key,
        "--reload-interval=50ms",
    ];
    let gateway = Process::start(dir.path(), &flags).await;
    assert_eq!(days(&gateway).await, 100.0);
    let (id, key) = gateway.operator().await.key("k").await;
    let mut before = gateway.agent_trusting(&one.ca, &key).await.connect().await;

    volume.swap("..2", &two.cert, &two.key);
    eventually("the new certificate", async || {
        days(&gateway).await == 200.0
    })
    .await;
    gateway.agent_trusting(&two.ca, &key).await.connect().await;

    // A certificate with the key of another: an alarm, and the old pair goes on.
    volume.swap("..3", &one.cert, &two.key);
    eventually("the alarm", async || {
        alarm(&gateway, "tls-cert").await == 1.0
    })
    .await;
    assert_eq!(days(&gateway).await, 200.0);
    gateway.agent_trusting(&two.ca, &key).await.connect().await;

    volume.swap("..4", &one.cert, &one.key);
    eventually("its end", async || alarm(&gateway, "tls-cert").await == 0.0).await;
    gateway.agent_trusting(&one.ca, &key).await.connect().await;

    // All the while the first session stood; only its key's end ends it.
    let operator = gateway.operator().await;
    assert!(!operator.list_sessions(&id).await.is_empty());
    operator.revoke(&id).await;
    assert_eq!(
        crate::support::reason_of(&before.end().await),
        "KEY_REVOKED"
    );
    let log = gateway.stop(PATIENCE).await;
    assert!(log.contains("is not the key of"), "{log}");
    assert!(!log.contains(&one.key[40..80]), "{log}");
}

#[tokio::test]
async fn sighup_reads_files_and_the_log_filter_again() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (pair(100), pair(200));
    let volume = Volume::new(&one);
    let (cert, key) = (volume.text("tls.crt"), volume.text("tls.key"));
    let config = volume.text("muster.toml");
    fs::write(&config, "log = \"info\"\n").unwrap();
    // By itself it would look in a day.
    let flags = ["--config", &config, "--tls-cert", &cert, "--tls-key", &key];
    let flags = [&flags[..], &["--reload-interval=1day"]].concat();
    let gateway = Process::start(&dir.path().join("d"), &flags).await;
    let (_, agents_key) = gateway.operator().await.key("k").await;
    let _stream = gateway
        .agent_trusting(&one.ca, &agents_key)
        .await
        .connect()
        .await;

    volume.swap("..2", &two.cert, &two.key);
    fs::write(&config, "log = \"debug\"\n").unwrap();
    gateway.hang_up().await;
    eventually("the new certificate", async || {
        days(&gateway).await == 200.0
    })
    .await;

    // Whoever asks is told at once, of files and of the configuration.
    volume.swap("..3", "-----BEGIN CERTIFICATE-----\nAAAA", &two.key);
    fs::write(&config, "log = \"loud\"\n").unwrap();
    gateway.hang_up().await;
    eventually("both alarms", async || {
        alarm(&gateway, "tls-cert").await == 1.0 && alarm(&gateway, "config").await == 1.0
    })
    .await;
    fs::write(&config, "log = \"debug\"\ncut-after = \"7s\"\n").unwrap();
    volume.swap("..4", &two.cert, &two.key);
    gateway.hang_up().await;
    eventually("no alarm", async || {
        alarm(&gateway, "tls-cert").await == 0.0 && alarm(&gateway, "config").await == 0.0
    })
    .await;
    assert_eq!(gateway.metric("muster_sessions_live").await, 1.0);
    let log = gateway.stop(PATIENCE).await;
    for words in [
        "another log filter",
        "DEBUG",
        "need a restart",
        "has no END line",
    ] {
        assert!(log.contains(words), "{words}: {log}");
    }
}

#[tokio::test]
async fn a_new_password_of_redis_is_taken_from_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let redis = RedisServer::start();
    let mut raw = redis.raw().await;
    let acl = async |raw: &mut redis::aio::MultiplexedConnection, rule: &str| {
        let mut set = redis::cmd("ACL");
        set.arg(&["SETUSER", "anna"])
            .arg(rule.split(' ').collect::<Vec<_>>());
        let () = set.query_async(raw).await.unwrap();
    };
    acl(&mut raw, "on >first ~* &* +@all").await;
    let file = dir.path().join("password");
    fs::write(&file, "first\n").unwrap();
    let url = redis.url().replace("redis://", "redis://anna@");
    let path = file.to_str().unwrap();
    let flags = [
        "--store",
        &url,
        "--redis-password-file",
        path,
        "--reload-interval=1day",
    ];
    let gateway = Process::start(&dir.path().join("d"), &flags).await;
    let operator = gateway.operator().await;
    let (_, key) = operator.key("k").await;
    let _stream = gateway.agent(&key).await.connect().await;

    // An empty file changes nothing; the next one is taken.
    let setting = "redis-password-file";
    fs::write(&file, "\n").unwrap();
    gateway.hang_up().await;
    eventually("the alarm", async || alarm(&gateway, setting).await == 1.0).await;
    fs::write(&file, "second\n").unwrap();
    gateway.hang_up().await;
    eventually("its end", async || alarm(&gateway, setting).await == 0.0).await;
    acl(&mut raw, "resetpass >second").await;
    let mut kill = redis::cmd("CLIENT");
    kill.arg(&["KILL", "USER", "anna"]);
    let cut: u64 = kill.query_async(&mut raw).await.unwrap();
    assert!(cut > 0);
    let request = || muster::proto::admin::v1::CreateKeyRequest {
        name: "after".into(),
        expires_at: None,
    };
    eventually("a key over a new connection", async || {
        operator.keys().create_key(request()).await.is_ok()
    })
    .await;
    assert_eq!(gateway.metric("muster_sessions_live").await, 1.0);
    let log = gateway.stop(PATIENCE).await;
    assert!(
        !log.contains("second\"") && !log.contains("=second"),
        "{log}"
    );
}

#[tokio::test]
async fn each_secret_that_others_may_read_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let gateway = Process::start(dir.path(), &[]).await;
    let log = gateway.stop(PATIENCE).await;
    assert!(!log.contains("readable by other users"), "{log}");
    let mut secrets = Vec::new();
    for entry in fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        if mode & 0o077 == 0
            && ![".lock", ".reserve"]
                .iter()
                .any(|end| path.to_string_lossy().ends_with(end))
        {
            secrets.push(path.clone());
        }
        fs::set_permissions(&path, PermissionsExt::from_mode(mode | 0o044)).unwrap();
    }
    for named in ["store.redb", "admin.token", "server.key", "ca.key"] {
        let is_one = secrets.iter().any(|path| path.ends_with(named));
        assert!(is_one, "{named}: {secrets:?}");
    }
    let gateway = Process::start(dir.path(), &[]).await;
    let log = gateway.stop(PATIENCE).await;
    for path in secrets {
        let path = path.display().to_string();
        let warned = log.lines().filter(|line| line.contains(&path));
        let count = warned
            .filter(|line| line.contains("WARN") && line.contains("readable by other users"))
            .count();
        assert_eq!(count, 1, "{path}: {log}");
    }
}
