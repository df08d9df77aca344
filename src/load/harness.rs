//! What all scenarios share: the gateways, the fleet, the keys made for it.
//!
//! Invariant: what was made is removed, also after a failure or an interrupt.

use parking_lot::Mutex;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;

use super::agent::{Agent, Happening};
use super::connection::{Dialer, Fault, Key, Line};
use super::measure::Recorder;
use super::{Admin, LoadError};

/// Agents that share an address on the loopback: well below what a gateway
/// takes from one (4,096), and each address has 28,000 ports.
const AGENTS_AN_ADDRESS: u64 = 2_000;
/// Addresses to spread over, 127.0.0.1 to 127.0.0.250.
const ADDRESSES: u64 = 250;

/// The gateways and what is done to them.
pub(super) struct Harness {
    dialers: Vec<(Dialer, SocketAddr)>,
    pub recorder: Recorder,
    pub seed: u64,
    pub health_every: Duration,
    admin: Arc<dyn Admin>,
    made: Mutex<Vec<Made>>,
}

/// A key made for the run.
#[derive(Debug, Clone)]
pub(super) struct Made {
    pub id: String,
    is_revoked: bool,
}

impl Harness {
    pub fn new(
        dialers: Vec<(Dialer, SocketAddr)>,
        recorder: Recorder,
        seed: u64,
        health_every: Duration,
        admin: Arc<dyn Admin>,
    ) -> Self {
        Self {
            dialers,
            recorder,
            seed,
            health_every,
            admin,
            made: Mutex::default(),
        }
    }

    /// A connection for that agent; agents go round the gateways.
    pub async fn dial(&self, number: u64) -> Result<Line, Fault> {
        let count = u64::try_from(self.dialers.len()).unwrap_or(1);
        let at = usize::try_from(number % count).unwrap_or(0);
        let (dialer, address) = &self.dialers[at];
        dialer.dial(source(*address, number)).await
    }

    /// A new key, for the run alone.
    pub async fn key(&self, of: &str) -> Result<(String, Key), LoadError> {
        let name = format!("muster load {of}");
        let made = self.admin.create_key(&name).await;
        let (id, secret) = made.map_err(LoadError::Admin)?;
        self.made.lock().push(Made {
            id: id.clone(),
            is_revoked: false,
        });
        let key = Key::new(secret.expose_secret()).map_err(LoadError::Admin)?;
        Ok((id, key))
    }

    /// Revokes a key of the run; returns when the gateway has answered.
    pub async fn revoke(&self, id: &str) -> Result<(), LoadError> {
        self.admin.revoke_key(id).await.map_err(LoadError::Admin)?;
        for made in self.made.lock().iter_mut().filter(|made| made.id == id) {
            made.is_revoked = true;
        }
        Ok(())
    }

    /// Removes the keys that were made; what can't be removed is named.
    pub async fn remove_what_was_made(&self) -> Vec<String> {
        let made = std::mem::take(&mut *self.made.lock());
        let mut left = Vec::new();
        for key in made {
            let revoked = match key.is_revoked {
                true => Ok(()),
                false => self.admin.revoke_key(&key.id).await,
            };
            let removed = match revoked {
                Ok(()) => self.admin.delete_key(&key.id).await,
                Err(error) => Err(error),
            };
            if let Err(error) = removed {
                left.push(format!("{}: {error}", key.id));
            }
        }
        left
    }
}

/// On the loopback agents come from several addresses, as from several hosts;
/// elsewhere the system chooses.
fn source(to: SocketAddr, number: u64) -> Option<IpAddr> {
    if !to.ip().is_loopback() || to.is_ipv6() {
        return None;
    }
    let last = u8::try_from(number / AGENTS_AN_ADDRESS % ADDRESSES).unwrap_or(0);
    Some(Ipv4Addr::new(127, 0, 0, last + 1).into())
}

/// Agents that live.
pub(super) struct Fleet {
    harness: Arc<Harness>,
    agents: JoinSet<()>,
    cuts: Vec<Arc<Notify>>,
    turns: Arc<Semaphore>,
    retries: bool,
    tell: UnboundedSender<Happening>,
}

impl Fleet {
    /// Nobody yet; at most `at_once` come in at the same time.
    pub fn new(harness: &Arc<Harness>, at_once: usize) -> (Self, UnboundedReceiver<Happening>) {
        let (tell, told) = mpsc::unbounded_channel();
        let fleet = Self {
            harness: Arc::clone(harness),
            agents: JoinSet::new(),
            cuts: Vec::new(),
            turns: Arc::new(Semaphore::new(at_once)),
            retries: true,
            tell,
        };
        (fleet, told)
    }

    /// Whether those that are added from now on try again after an end.
    pub fn retries(&mut self, retries: bool) {
        self.retries = retries;
    }

    /// One more, which comes in when it is its turn.
    pub async fn add(&mut self, key: &Key) {
        let turn = Arc::clone(&self.turns).acquire_owned().await.ok();
        let cut = Arc::new(Notify::new());
        let agent = Agent {
            number: u64::try_from(self.cuts.len()).unwrap_or(u64::MAX),
            key: key.clone(),
            cut: Arc::clone(&cut),
            retries: self.retries,
            turn,
        };
        self.cuts.push(cut);
        let harness = Arc::clone(&self.harness);
        self.agents.spawn(agent.live(harness, self.tell.clone()));
    }

    /// The agent of that number loses its connection.
    pub fn cut(&self, number: u64) {
        let at = usize::try_from(number).unwrap_or(usize::MAX);
        if let Some(cut) = self.cuts.get(at) {
            cut.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_on_the_loopback_comes_from_several_addresses() {
        let gateway = "127.0.0.1:6443".parse().unwrap();
        let from = |number| source(gateway, number).unwrap().to_string();
        assert_eq!(from(0), "127.0.0.1");
        assert_eq!(from(1_999), "127.0.0.1");
        assert_eq!(from(2_000), "127.0.0.2");
        assert_eq!(from(499_999), "127.0.0.250");
        assert_eq!(source("192.0.2.1:6443".parse().unwrap(), 5), None);
    }
}
