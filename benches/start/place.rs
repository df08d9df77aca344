//! A store and the gateway over it: filled once, started and stopped again and
//! again.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster::keys::KeyId;
use muster::store::embedded::EmbeddedStore;
use muster::store::redis::RedisStore;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::redis_server::Redis;
use crate::{LOOK, PATIENCE, fill};

/// A gateway's data directory, and the store that it is started over.
pub struct Place {
    pub store: &'static str,
    pub keys: u64,
    // Before the folder that it runs in.
    redis: Option<Redis>,
    data_dir: TempDir,
    /// The first key and the last.
    ends: Vec<KeyId>,
}

impl Place {
    pub async fn embedded(root: &Path, keys: u64) -> Self {
        let data_dir = tempfile::tempdir_in(root).unwrap();
        let store = EmbeddedStore::open(&data_dir.path().join("store.redb")).unwrap();
        let ends = fill("embedded", Arc::new(store), keys).await;
        Self {
            store: "embedded",
            keys,
            redis: None,
            data_dir,
            ends,
        }
    }

    /// None: there is no redis-server here.
    pub async fn redis(root: &Path, keys: u64) -> Option<Self> {
        let data_dir = tempfile::tempdir_in(root).unwrap();
        let redis = Redis::start(data_dir.path()).await?;
        let store = RedisStore::open(redis.options()).await.unwrap();
        let ends = fill("redis", Arc::new(store), keys).await;
        Some(Self {
            store: "redis",
            keys,
            redis: Some(redis),
            data_dir,
            ends,
        })
    }

    fn muster(&self, command: &[&str]) -> Command {
        let mut muster = Command::new(env!("CARGO_BIN_EXE_muster"));
        // What is set for this process or its operator is not for the gateway,
        // which refuses what it does not know.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("MUSTER_") {
                muster.env_remove(name);
            }
        }
        muster
            .args(command)
            .arg("--data-dir")
            .arg(self.data_dir.path());
        muster.stdin(Stdio::null()).kill_on_drop(true);
        muster
    }

    /// Starts a gateway, and stops it: how long it took to be ready, and the
    /// bytes that were resident then.
    pub async fn start(&self) -> (Duration, u64) {
        let told = self.data_dir.path().join("ops.address");
        // The port of the gateway before would be asked in vain.
        let _ = std::fs::remove_file(&told);
        let log = self.data_dir.path().join("log");
        let mut serve = self.muster(&["serve"]);
        for listen in ["--agent-listen", "--admin-listen", "--ops-listen"] {
            serve.args([listen, "127.0.0.1:0"]);
        }
        if let Some(redis) = &self.redis {
            serve.args(["--store", &redis.url()]);
        }
        serve.stdout(Stdio::null());
        serve.stderr(File::create(&log).unwrap());
        let begun = Instant::now();
        let mut gateway = serve.spawn().unwrap();
        let ready = async {
            loop {
                if let Ok(address) = std::fs::read_to_string(&told)
                    && let Ok(answer) = get(address.trim(), "/readyz").await
                    && answer.starts_with("HTTP/1.1 200")
                {
                    return Some((begun.elapsed(), address));
                }
                if gateway.try_wait().unwrap().is_some() {
                    return None;
                }
                sleep(LOOK).await;
            }
        };
        let Ok(Some((took, address))) = timeout(PATIENCE, ready).await else {
            let log = std::fs::read_to_string(&log).unwrap();
            panic!("a gateway ended or was not ready within {PATIENCE:?}: {log}");
        };
        let metrics = get(address.trim(), "/metrics").await.unwrap();
        let resident = metrics
            .lines()
            .find_map(|connection| connection.strip_prefix("process_resident_memory_bytes "));
        let resident = resident.unwrap().parse().unwrap();
        self.has_its_keys().await;
        stop(gateway).await;
        (took, resident)
    }

    /// An operator sees the first key and the last.
    async fn has_its_keys(&self) {
        let ids: Vec<String> = self.ends.iter().map(KeyId::to_string).collect();
        let mut show = self.muster(&["keys", "show", "-o", "json"]);
        let shown = timeout(PATIENCE, show.args(&ids).output());
        let shown = shown.await.expect("an answer in time").unwrap();
        let text = String::from_utf8_lossy(&shown.stdout);
        let all = shown.status.success() && ids.iter().all(|id| text.contains(id));
        assert!(all, "{}", String::from_utf8_lossy(&shown.stderr));
    }
}

/// The answer to a GET on an ops listener, which may not be up yet.
async fn get(address: &str, path: &str) -> std::io::Result<String> {
    let mut socket = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: ops\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// SIGTERM, and its end.
async fn stop(mut gateway: Child) {
    let id = gateway.id().expect("it runs").to_string();
    let kill = Command::new("kill").args(["-TERM", &id]).status();
    assert!(kill.await.unwrap().success());
    let ended = timeout(PATIENCE, gateway.wait()).await;
    assert!(ended.expect("an end in time").unwrap().success());
}
