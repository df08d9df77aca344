//! A real redis-server of a test's own, in a temporary folder on loopback.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use muster::store::redis::{RedisOptions, RedisStore, RedisUrl};
use tempfile::TempDir;

use super::{PATIENCE, free_port};

/// The rights that muster is documented to need, and the user who has them.
pub const ACL: &str = include_str!("../../../docs/redis.acl");
const LOGIN: &str = "muster:change-me";

/// Ends with the test.
pub struct RedisServer {
    daemon: Daemon,
    folder: TempDir,
    port: u16,
}

impl RedisServer {
    pub fn start() -> Self {
        Self::start_on(free_port())
    }

    /// On a port that was told to somebody before.
    pub fn start_on(port: u16) -> Self {
        Self::configured(port, &[])
    }

    /// With more lines of redis.conf, which win over those that all have.
    pub fn configured(port: u16, lines: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("users.acl"), ACL).unwrap();
        let dir = folder.path().display();
        let config = format!(
            "bind 127.0.0.1\nport {port}\ndir {dir}\naclfile {dir}/users.acl\n\
             appendonly yes\nappendfsync always\nsave \"\"\n{}\n",
            lines.join("\n")
        );
        let daemon = Daemon::start("redis-server", folder.path(), port, &config);
        Self {
            daemon,
            folder,
            port,
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it keeps what it has.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// `redis://…` of database 0, for the user who may do everything.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// The same for the user with the documented rights.
    pub fn login_url(&self) -> String {
        format!("redis://{LOGIN}@127.0.0.1:{}/0", self.port)
    }

    /// SIGKILL, and a start over what it had saved by then.
    pub fn restart_after_a_kill(&mut self) {
        self.kill();
        self.restart();
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.daemon.kill();
    }

    /// A start over what it had saved, with the role of its first start.
    pub fn restart(&mut self) {
        self.daemon.restart();
    }

    /// SIGSTOP: it is there, and answers nobody.
    pub fn pause(&self) {
        self.daemon.pause();
    }

    pub fn resume(&self) {
        self.daemon.resume();
    }

    /// A store on it, by the options that `change` leaves.
    pub async fn store(&self, change: impl FnOnce(&mut RedisOptions)) -> RedisStore {
        let mut options = self.options();
        change(&mut options);
        RedisStore::open(options).await.unwrap()
    }

    /// With the documented rights.
    pub fn options(&self) -> RedisOptions {
        options(&self.login_url())
    }

    /// A connection past the store, to look at or break what is there.
    pub async fn raw(&self) -> redis::aio::MultiplexedConnection {
        raw(&self.url()).await
    }
}

/// The options of a store at a URL.
pub fn options(url: &str) -> RedisOptions {
    RedisOptions {
        url: RedisUrl::parse(url).unwrap(),
        password: None,
        ca: None,
        prefix: "muster".into(),
        replicas: None,
        replicas_deadline: Duration::from_secs(1),
        connect_deadline: Duration::from_secs(5),
        answer_deadline: Duration::from_secs(5),
        known: None,
    }
}

/// User and password of the documented rights, as a URL has them.
pub fn login() -> &'static str {
    LOGIN
}

pub async fn raw(url: &str) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(url).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

/// A server of Redis's as a child process, with a configuration file that it
/// may rewrite.
pub struct Daemon {
    child: Child,
    program: &'static str,
    config: std::path::PathBuf,
    port: u16,
}

impl Daemon {
    pub fn start(program: &'static str, folder: &Path, port: u16, config: &str) -> Self {
        let path = folder.join("daemon.conf");
        std::fs::write(&path, config).unwrap();
        let daemon = Self {
            child: spawn(program, &path),
            program,
            config: path,
            port,
        };
        daemon.wait_until_it_listens();
        daemon
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn restart(&mut self) {
        self.child = spawn(self.program, &self.config);
        self.wait_until_it_listens();
    }

    pub fn pause(&self) {
        self.signal("-STOP");
    }

    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let kill = Command::new("kill").args([signal, &id]).status();
        assert!(kill.unwrap().success());
    }

    fn wait_until_it_listens(&self) {
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let program = self.program;
            assert!(begun.elapsed() < PATIENCE, "{program} does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn spawn(program: &str, config: &Path) -> Child {
    let missing = format!("{program}: tests/run installs it (Debian: apt-get install {program})");
    Command::new(program)
        .arg(config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect(&missing)
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
