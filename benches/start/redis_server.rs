//! A redis-server of the bench's own, on loopback; it ends with its value.

use std::io::ErrorKind;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use muster::store::redis::{RedisOptions, RedisUrl};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::{LOOK, PATIENCE};

/// A redis-server in a gateway's folder, which it writes nothing to.
pub struct Redis {
    port: u16,
    server: Child,
}

impl Redis {
    pub async fn start(folder: &Path) -> Option<Self> {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut server = Command::new("redis-server");
        server.args(["--bind", "127.0.0.1", "--port", &port.to_string()]);
        server.args(["--save", "", "--appendonly", "no", "--dir"]);
        server
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let server = match server.spawn() {
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            spawned => spawned.unwrap(),
        };
        let mut redis = Self { port, server };
        let listens = async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                let ended = redis.server.try_wait().unwrap();
                assert!(ended.is_none(), "redis-server ended");
                sleep(LOOK).await;
            }
        };
        timeout(PATIENCE, listens).await.expect("a Redis in time");
        Some(redis)
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    pub fn options(&self) -> RedisOptions {
        RedisOptions {
            url: RedisUrl::parse(&self.url()).unwrap(),
            password: None,
            ca: None,
            prefix: "muster".into(),
            connect_deadline: PATIENCE,
            answer_deadline: PATIENCE,
            replicas: None,
            replicas_deadline: Duration::from_secs(1),
            known: None,
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
