//! Several gateways on one Redis, as real processes.

use std::path::PathBuf;

use tempfile::TempDir;

use super::{Launched, Process, RedisServer};

/// A Redis, and a folder with the gateways' data directories and their CA.
pub struct Site {
    pub redis: RedisServer,
    folder: TempDir,
}

/// Bounds that a test can wait for: a heartbeat every 200 ms, keys that are not
/// cached are refused after 1 s, the view is stale after 2 s, its limit is 4 s,
/// strict spreads the ends over 1 s.
pub const SHORT: &[&str] = &[
    "--feed-interval=200ms",
    "--stale-uncached-after=1s",
    "--stale-after=2s",
    "--stale-limit=4s",
    "--stale-spread=1s",
    "--redis-connect-deadline=500ms",
    "--redis-answer-deadline=500ms",
];

impl Site {
    pub fn new() -> Self {
        Self {
            redis: RedisServer::start(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub fn dir(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn ca_dir(&self) -> String {
        self.dir("ca").to_str().unwrap().to_owned()
    }

    /// The admin token, which one of the gateways has.
    pub fn token(&self) -> String {
        let dirs = std::fs::read_dir(self.folder.path()).unwrap();
        let mut files = dirs.map(|dir| dir.unwrap().path().join("admin.token"));
        let file = files.find(|file| file.exists()).expect("an admin token");
        std::fs::read_to_string(file).unwrap()
    }

    /// A gateway with the CA of all.
    pub fn launch(&self, name: &str) -> Launched {
        self.launch_at(&self.redis.login_url(), name, &[])
    }

    /// The same over the store at `url`, with more flags.
    pub fn launch_at(&self, url: &str, name: &str, flags: &[&str]) -> Launched {
        let ca = self.ca_dir();
        let flags = [&["--store", url, "--ca-dir", &ca], flags].concat();
        self.launch_with(name, &flags)
    }

    pub fn launch_with(&self, name: &str, flags: &[&str]) -> Launched {
        let flags = [&["--gateway-name", name], flags].concat();
        Process::launch(&self.dir(name), &flags)
    }

    /// Three that start at once, over an empty Redis and without a CA.
    pub async fn three(&self) -> [Process; 3] {
        self.three_with(&[]).await
    }

    pub async fn three_with(&self, flags: &[&str]) -> [Process; 3] {
        let url = self.redis.login_url();
        let launched = ["one", "two", "three"].map(|name| self.launch_at(&url, name, flags));
        let [one, two, three] = launched;
        tokio::join!(one.ready(), two.ready(), three.ready()).into()
    }

    /// A start that is refused: its log.
    pub async fn refusal(&self, name: &str, flags: &[&str]) -> String {
        let (code, log) = self.launch_with(name, flags).ended().await;
        assert_eq!(code, Some(1), "{log}");
        log
    }
}
