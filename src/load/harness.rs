//! What all scenarios share: the gateways, the fleet, the keys made for it.
//!
//! Invariant: what was made is removed, also after a failure or an interrupt.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};

use super::LoadError;
use super::connection::{Connection, Dialer, Fault, Key};
use super::measure::Recorder;

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
    pub async fn dial(&self, number: u64) -> Result<Connection, Fault> {
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

/// Makes and ends the keys of a run: the admin API, however it is reached.
#[async_trait::async_trait]
pub trait Admin: Send + Sync {
    /// A new key of that name: its id, and what agents present.
    async fn create_key(&self, name: &str) -> Result<(String, SecretString), String>;
    /// Revokes it; comes back when the gateway has answered.
    async fn revoke_key(&self, id: &str) -> Result<(), String>;
    /// Deletes a revoked one.
    async fn delete_key(&self, id: &str) -> Result<(), String>;
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
