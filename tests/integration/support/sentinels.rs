//! Three redis-sentinels that watch a master with two replicas, all real, in
//! temporary folders on loopback.
//!
//! Two replicas: with `min-replicas-to-write 1` a promoted one takes no write
//! until another follows it.

use std::time::{Duration, Instant};

use muster::store::redis::{RedisOptions, RedisStore};
use redis::FromRedisValue;
use tempfile::TempDir;

use super::redis_server::{Daemon, RedisServer, login, options, raw};
use super::{eventually, free_port};

/// The name that the sentinels know the master by.
pub const MASTER: &str = "muster";
const SENTINELS: usize = 3;
const REPLICAS: usize = 2;

/// Ends with the test.
pub struct Sentinels {
    /// The first was the master at the start.
    pub servers: Vec<RedisServer>,
    pub sentinels: Vec<Sentinel>,
}

/// One of the three.
pub struct Sentinel {
    daemon: Daemon,
    port: u16,
    _folder: TempDir,
}

impl Sentinels {
    /// Once all know each other and the replicas, and the master takes writes.
    pub async fn start() -> Self {
        let all = Self::launch();
        all.settled().await;
        all
    }

    fn launch() -> Self {
        let common = [
            "min-replicas-to-write 1",
            "min-replicas-max-lag 5",
            // So that a replica that comes back follows at once.
            "repl-diskless-sync-delay 0",
            "repl-timeout 10",
        ];
        let master = RedisServer::configured(free_port(), &common);
        let port = master.port();
        let mut servers = vec![master];
        for _ in 0..REPLICAS {
            let of = format!("replicaof 127.0.0.1 {port}");
            let lines = [&common[..], &[&of]].concat();
            servers.push(RedisServer::configured(free_port(), &lines));
        }
        let sentinels = (0..SENTINELS).map(|_| Sentinel::start(port)).collect();
        Self { servers, sentinels }
    }

    /// `HOST:PORT` of each sentinel.
    pub fn addresses(&self) -> Vec<String> {
        let address = |sentinel: &Sentinel| format!("127.0.0.1:{}", sentinel.port);
        self.sentinels.iter().map(address).collect()
    }

    /// `redis-sentinel://…` for the user with the documented rights.
    pub fn url(&self) -> String {
        let hosts = self.addresses().join(",");
        format!("redis-sentinel://{}@{hosts}/{MASTER}/0", login())
    }

    pub fn options(&self) -> RedisOptions {
        options(&self.url())
    }

    /// A store found through them, by the options that `change` leaves.
    pub async fn store(&self, change: impl FnOnce(&mut RedisOptions)) -> RedisStore {
        let mut options = self.options();
        change(&mut options);
        RedisStore::open(options).await.unwrap()
    }

    /// Which of `servers` most sentinels name as the master.
    pub async fn master(&self) -> usize {
        let mut named = vec![0; self.servers.len()];
        for sentinel in &self.sentinels {
            if let Some(port) = sentinel.master_port().await
                && let Some(at) = self.servers.iter().position(|s| s.port() == port)
            {
                named[at] += 1;
            }
        }
        (0..named.len()).max_by_key(|at| named[*at]).unwrap()
    }

    /// Kills the master with SIGKILL and returns which it was.
    pub async fn kill_master(&mut self) -> usize {
        let master = self.master().await;
        self.servers[master].kill();
        master
    }

    /// Waits until every sentinel that answers names another than `old`, and it
    /// says of itself that it is the master; returns it and how long that took.
    pub async fn failover_from(&self, old: usize) -> (usize, Duration) {
        let begun = Instant::now();
        let old_port = self.servers[old].port();
        eventually("a failover", async || {
            for sentinel in &self.sentinels {
                if sentinel.master_port().await == Some(old_port) {
                    return false;
                }
            }
            let new = self.master().await;
            new != old && self.servers[new].role().await.as_deref() == Some("master")
        })
        .await;
        (self.master().await, begun.elapsed())
    }

    /// Waits until the server has so many connected replicas.
    pub async fn replicas_of(&self, server: usize, expected: usize) {
        eventually("the replicas follow", async || {
            let mut raw = self.servers[server].raw().await;
            let mut info = redis::cmd("INFO");
            let info: Result<String, _> = info.arg("replication").query_async(&mut raw).await;
            let good = format!("min_slaves_good_slaves:{expected}");
            info.is_ok_and(|text| text.lines().any(|line| line.trim() == good))
        })
        .await;
    }

    async fn settled(&self) {
        self.replicas_of(0, REPLICAS).await;
        for sentinel in &self.sentinels {
            eventually("the sentinels know each other", async || {
                let known = sentinel.known().await;
                known == Some((SENTINELS - 1, REPLICAS))
            })
            .await;
        }
    }
}

impl RedisServer {
    /// What it says of itself; `None` when it does not answer in time.
    pub async fn role(&self) -> Option<String> {
        let url = self.url();
        let asked = async {
            let client = redis::Client::open(url).ok()?;
            let mut raw = client.get_multiplexed_async_connection().await.ok()?;
            let role: Vec<redis::Value> = redis::cmd("ROLE").query_async(&mut raw).await.ok()?;
            String::from_redis_value(role.into_iter().next()?).ok()
        };
        tokio::time::timeout(Duration::from_secs(1), asked)
            .await
            .ok()?
    }
}

impl Sentinel {
    fn start(master: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let dir = folder.path().display();
        let config = format!(
            "bind 127.0.0.1\nport {port}\ndir {dir}\n\
             sentinel monitor {MASTER} 127.0.0.1 {master} 2\n\
             sentinel down-after-milliseconds {MASTER} 1000\n\
             sentinel failover-timeout {MASTER} 3000\n\
             sentinel parallel-syncs {MASTER} 2\n"
        );
        let daemon = Daemon::start("redis-sentinel", folder.path(), port, &config);
        Self {
            daemon,
            port,
            _folder: folder,
        }
    }

    /// SIGSTOP.
    pub fn pause(&self) {
        self.daemon.pause();
    }

    pub fn resume(&self) {
        self.daemon.resume();
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.daemon.kill();
    }

    pub async fn raw(&self) -> redis::aio::MultiplexedConnection {
        raw(&format!("redis://127.0.0.1:{}", self.port)).await
    }

    /// Where it says that the master is; `None` when it does not answer in time.
    async fn master_port(&self) -> Option<u16> {
        let asked = async {
            let url = format!("redis://127.0.0.1:{}", self.port);
            let client = redis::Client::open(url).ok()?;
            let mut raw = client.get_multiplexed_async_connection().await.ok()?;
            let mut get = redis::cmd("SENTINEL");
            get.arg(&["GET-MASTER-ADDR-BY-NAME", MASTER]);
            let (_, port): (String, u16) = get.query_async(&mut raw).await.ok()?;
            Some(port)
        };
        tokio::time::timeout(Duration::from_secs(1), asked)
            .await
            .ok()?
    }

    /// How many other sentinels and replicas it knows.
    async fn known(&self) -> Option<(usize, usize)> {
        let mut raw = self.raw().await;
        let mut ask = redis::cmd("SENTINEL");
        ask.arg(&["MASTER", MASTER]);
        let fields: std::collections::HashMap<String, String> =
            ask.query_async(&mut raw).await.ok()?;
        let number = |field: &str| fields.get(field)?.parse().ok();
        Some((number("num-other-sentinels")?, number("num-slaves")?))
    }
}
