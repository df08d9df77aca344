//! Which store a gateway keeps its keys in: the embedded one, or a Redis that
//! several share.
//!
//! Owns: how a store is written, and what is wrong with what was written. Must
//! not know: how a store is opened. Invariant: a password is in no message and
//! in no `Debug`: whatever text is given counts as a secret until it is checked,
//! and a fault is reported without quoting it.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::de::{Deserialize, Deserializer};

use crate::store::embedded::DISK_DEADLINE;
use crate::store::redis::RedisUrl;

/// A master that is cut off from its replicas stops by itself: the largest
/// `min-replicas-max-lag` that is asked for, and the second in which Redis looks.
const MASTER_LAG: Duration = Duration::from_secs(11);

/// A store as it was written, unchecked: to read one never fails, for the error
/// would quote the password.
#[derive(Clone)]
pub struct StoreText(pub(super) SecretString);

impl FromStr for StoreText {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.into()))
    }
}

impl<'de> Deserialize<'de> for StoreText {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(|text| Self(text.into()))
    }
}

impl PartialEq for StoreText {
    fn eq(&self, other: &Self) -> bool {
        self.0.expose_secret() == other.0.expose_secret()
    }
}

impl Eq for StoreText {}

impl fmt::Debug for StoreText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreText(…)")
    }
}

/// Which store, and how it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreConfig {
    pub place: StorePlace,
    /// What the names of its keys begin with, in Redis. Default: `muster`.
    pub redis_prefix: String,
    /// Where the password for Redis is. Default: in the URL, or none.
    pub redis_password_file: Option<PathBuf>,
    /// The CAs that Redis's certificate may be from, PEM. Default: the system's.
    pub redis_ca_file: Option<PathBuf>,
    /// Replicas that must have a change before it is called durable. Default:
    /// one where there are any, and with Sentinel.
    pub redis_replicas: Option<u32>,
    /// How long an answer waits for them. Default: 1 s.
    pub redis_replicas_deadline: Duration,
    /// For the TCP connection to Redis and the login. Default: 2 s.
    pub redis_connect_deadline: Duration,
    /// For each answer of Redis. Default: 2 s.
    pub redis_answer_deadline: Duration,
    /// Less free space on the embedded store's disk, in bytes, draws a warning; 0:
    /// none does. Default: 256 MiB.
    pub min_free_disk: u64,
    /// How long the embedded store's disk may take for a write. Default: 10 s.
    pub disk_deadline: Duration,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            place: StorePlace::Embedded,
            redis_prefix: "muster".to_owned(),
            redis_password_file: None,
            redis_ca_file: None,
            redis_replicas: None,
            redis_replicas_deadline: Duration::from_secs(1),
            redis_connect_deadline: Duration::from_secs(2),
            redis_answer_deadline: Duration::from_secs(2),
            min_free_disk: 256 << 20,
            disk_deadline: DISK_DEADLINE,
        }
    }
}

/// Where the keys are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorePlace {
    /// In the data directory, for this gateway alone.
    Embedded,
    /// In a Redis that several gateways share.
    Redis(RedisUrl),
}

impl StoreConfig {
    /// How long a store that others have given up may go on to answer.
    pub(super) fn lag(&self) -> Duration {
        match &self.place {
            StorePlace::Redis(url) if url.master().is_some() => MASTER_LAG,
            StorePlace::Redis(_) | StorePlace::Embedded => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        let text: StoreText = "redis://anna:hunter2@h:1/0".parse().unwrap();
        assert!(!format!("{text:?}").contains("hunter2"));
    }
}
