//! What the tests share: a gateway, agents, an operator, a store with faults.

mod agent;
mod browser;
mod bug;
mod deaf_peer;
mod faulty_store;
mod gateway;
mod host;
mod nginx;
mod nginx_host;
mod operator;
mod process;
mod proxy;
mod redis_server;
mod rest;
mod saved;
mod sentinels;
mod several;
mod site;

pub use agent::{Stream, TestAgent, reason_of};
pub use browser::{Browser, chromedriver};
pub use bug::Bug;
pub use deaf_peer::DeafPeer;
pub use faulty_store::{FaultyStore, Parked};
pub use gateway::TestGateway;
pub use host::TestHost;
pub use nginx_host::{NginxHost, agent_binary};
pub use operator::Operator;
pub use process::{Launched, Process, get_from_ops};
pub use proxy::{Fault, Of, Proxy};
pub use redis_server::RedisServer;
pub use rest::{Answer, RestCaller};
pub use saved::Saved;
pub use sentinels::Sentinels;
pub use several::{operators, three_on};
pub use site::{SHORT, Site};

use std::future::Future;
use std::time::Duration;

use muster::keys::{KeyId, Kind, mint};
use muster::store::NewKey;

/// How long a test waits for what should happen at once before it fails. Not a
/// bound of the product: a busy machine must not fail a test.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for `what`; fails the test by that name when it does not happen.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("{what}: did not happen within {PATIENCE:?}"))
}

/// Waits until `holds` says so.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    within(what, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// A port that is free now and stays so: it lies below the range from which the
/// system gives ports to connections, of which other tests open hundreds.
pub fn free_port() -> u16 {
    let mut bytes = [0; 2];
    for _ in 0..100 {
        getrandom::fill(&mut bytes).unwrap();
        let port = 20_000 + u16::from_ne_bytes(bytes) % 12_000;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port");
}

/// A key as a door would have the store create it, with the default life.
pub fn new_key(name: &str) -> NewKey {
    let minted = mint(Kind::DataPlaneKey).unwrap();
    NewKey {
        id: KeyId(minted.id),
        digest: minted.digest,
        name: name.into(),
        expires_at: None,
    }
}
