//! A real redis-server of a test's own, in a temporary folder on loopback.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use muster::store::redis::{RedisOptions, RedisStore};
use tempfile::TempDir;

use super::{PATIENCE, free_port};

/// Ends with the test.
pub struct RedisServer {
    child: Child,
    folder: TempDir,
    port: u16,
}

impl RedisServer {
    pub fn start() -> Self {
        Self::start_on(free_port())
    }

    /// On a port that was told to somebody before.
    pub fn start_on(port: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let child = spawn(&folder, port);
        let server = Self {
            child,
            folder,
            port,
        };
        server.wait_until_it_listens();
        server
    }

    /// `redis://…` of database 0.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// SIGKILL, and a start over what it had saved by then.
    pub fn restart_after_a_kill(&mut self) {
        self.kill();
        self.restart();
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// A start over what it had saved.
    pub fn restart(&mut self) {
        self.child = spawn(&self.folder, self.port);
        self.wait_until_it_listens();
    }

    /// Where it saves.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// SIGSTOP: it is there, and answers nobody.
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

    /// A store on it, by the options that `change` leaves.
    pub async fn store(&self, change: impl FnOnce(&mut RedisOptions)) -> RedisStore {
        let mut options = self.options();
        change(&mut options);
        RedisStore::open(options).await.unwrap()
    }

    pub fn options(&self) -> RedisOptions {
        RedisOptions {
            url: self.url().into(),
            password: None,
            prefix: "muster".into(),
            connect_deadline: Duration::from_secs(5),
            answer_deadline: Duration::from_secs(5),
            known: None,
        }
    }

    /// A connection past the store, to look at or break what is there.
    pub async fn raw(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(self.url()).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    fn wait_until_it_listens(&self) {
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(begun.elapsed() < PATIENCE, "redis-server does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn spawn(folder: &TempDir, port: u16) -> Child {
    Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
        .args(["--appendonly", "yes", "--appendfsync", "always"])
        .args(["--save", "", "--daemonize", "no"])
        .arg("--dir")
        .arg(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server: tests/run installs it (Debian: apt-get install redis-server)")
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
