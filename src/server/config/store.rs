//! Which store a gateway keeps its keys in: the embedded one, or a Redis that
//! several share.
//!
//! Owns: how a store is written, and what is wrong with what was written. Must
//! not know: how a store is opened. Invariant: a password is in no message and
//! in no `Debug`: whatever text is given counts as a secret until it is checked,
//! and a fault is told without quoting it.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::de::{Deserialize, Deserializer};

use super::settings::Settings;
use crate::net::address::AgentAddress;

const EMBEDDED: &str = "embedded";
const PLAIN: &str = "redis://";
const TLS: &str = "rediss://";
/// A master that is cut off from its replicas stops by itself: the largest
/// `min-replicas-max-lag` that is asked for, and the second in which Redis looks.
const MASTER_LAG: Duration = Duration::from_secs(11);
const SENTINEL: &str = "redis-sentinel://";
const EXPECTED: &str = "expected embedded, redis[s]://[USER[:PASSWORD]@]HOST:PORT/DB or \
    redis-sentinel://[USER[:PASSWORD]@]HOST:PORT[,HOST:PORT…]/MASTER[/DB]";
/// The prefix is a part of every name in Redis.
const LONGEST_PREFIX: usize = 64;

/// A store as it was written, unchecked: to read one never fails, for the error
/// would quote the password.
#[derive(Clone)]
pub struct StoreText(SecretString);

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
    /// Default: embedded.
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

/// `redis://[USER[:PASSWORD]@]HOST:PORT/DB`, with `rediss` for TLS, or
/// `redis-sentinel://[USER[:PASSWORD]@]HOST:PORT[,HOST:PORT…]/MASTER[/DB]`;
/// well-formed.
#[derive(Clone)]
pub struct RedisUrl {
    text: SecretString,
    scheme: &'static str,
    /// What follows user and password.
    place: String,
    has_password: bool,
}

impl StoreConfig {
    /// How long a store that others have given up may go on to answer.
    pub(super) fn lag(&self) -> Duration {
        match &self.place {
            StorePlace::Redis(url) if url.scheme == SENTINEL => MASTER_LAG,
            StorePlace::Redis(_) | StorePlace::Embedded => Duration::ZERO,
        }
    }
}

impl RedisUrl {
    /// The whole of it, with its password.
    pub fn secret(&self) -> &SecretString {
        &self.text
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        let scheme = [PLAIN, TLS, SENTINEL]
            .into_iter()
            .find(|scheme| text.starts_with(scheme))
            .ok_or(EXPECTED)?;
        let rest = &text[scheme.len()..];
        let (user, place) = match rest.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, rest),
        };
        // A URL ends its host at any of these: an "@" after one of them would
        // be no separator, and the password a part of the host.
        if user.is_some_and(|user| user.contains(['/', '?', '#', '@', '[', ']', '\\'])) {
            return Err(
                "in user and password write / ? # @ [ ] \\ % as %2F %3F %23 %40 %5B %5D %5C \
                        %25, or use redis-password-file",
            );
        }
        let (address, database) = if scheme == SENTINEL {
            let (sentinels, master) = place.split_once('/').ok_or(EXPECTED)?;
            let (name, database) = master.split_once('/').unwrap_or((master, "0"));
            let fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            if name.is_empty() || !name.chars().all(fine) {
                return Err(EXPECTED);
            }
            (sentinels, database)
        } else {
            place.split_once('/').ok_or(EXPECTED)?
        };
        let addresses = match scheme {
            SENTINEL => address.split(',').collect(),
            _ => vec![address],
        };
        for address in addresses {
            address.parse::<AgentAddress>().map_err(|_| EXPECTED)?;
        }
        if database.is_empty() || !database.bytes().all(|b| b.is_ascii_digit()) {
            return Err(EXPECTED);
        }
        Ok(Self {
            text: text.into(),
            scheme,
            place: place.to_owned(),
            has_password: user.is_some_and(|user| user.contains(':')),
        })
    }
}

/// Without user and password.
impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.scheme, self.place)
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisUrl({self})")
    }
}

impl PartialEq for RedisUrl {
    fn eq(&self, other: &Self) -> bool {
        self.text.expose_secret() == other.text.expose_secret()
    }
}

impl Eq for RedisUrl {}

/// What the settings say of the store; `fault` is told each setting that is
/// wrong, and why. The deadlines are the caller's.
pub(super) fn read(
    settings: &Settings,
    mut fault: impl FnMut(&'static str, &'static str),
) -> StoreConfig {
    let base = StoreConfig::default();
    let place = match settings.store.as_ref().map(|text| text.0.expose_secret()) {
        None | Some(EMBEDDED) => StorePlace::Embedded,
        Some(url) => match RedisUrl::parse(url) {
            Ok(url) => StorePlace::Redis(url),
            Err(why) => {
                fault("store", why);
                base.place
            }
        },
    };
    let redis_prefix = settings.redis_prefix.clone().unwrap_or(base.redis_prefix);
    let fine = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    if !(1..=LONGEST_PREFIX).contains(&redis_prefix.len()) || !redis_prefix.chars().all(fine) {
        fault(
            "redis-prefix",
            "expected 1 to 64 letters, digits, hyphens, underscores, dots and colons",
        );
    }
    let redis_password_file = settings.redis_password_file.clone();
    let redis_ca_file = settings.redis_ca_file.clone();
    match (&place, &redis_ca_file) {
        (StorePlace::Redis(url), Some(_)) if url.scheme != TLS => {
            fault("redis-ca-file", "only for a store of rediss://");
        }
        _ => {}
    }
    match (&place, &redis_password_file) {
        (StorePlace::Redis(url), Some(_)) if url.has_password => fault(
            "redis-password-file",
            "the URL in store has a password, too; give it in one place",
        ),
        _ => {}
    }
    StoreConfig {
        place,
        redis_prefix,
        redis_password_file,
        redis_ca_file,
        redis_replicas: base.redis_replicas,
        redis_replicas_deadline: base.redis_replicas_deadline,
        redis_connect_deadline: base.redis_connect_deadline,
        redis_answer_deadline: base.redis_answer_deadline,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_host_port_and_database() {
        for fine in [
            "redis://127.0.0.1:6379/0",
            "redis://redis.example.com:6379/15",
            "redis://[::1]:6379/0",
            "redis://anna@h:1/0",
            "redis://:pa%2Fss@h:1/0",
            "rediss://h:1/0",
            "redis-sentinel://h:1/m",
            "redis-sentinel://u:p@h:1,[::1]:2,i:3/my-master/4",
        ] {
            assert!(RedisUrl::parse(fine).is_ok(), "{fine}");
        }
        for wrong in [
            "",
            "redis",
            "http://h:1/0",
            "rediss-sentinel://h:1/m",
            "redis-sentinel://h:1",
            "redis-sentinel://h:1/",
            "redis-sentinel://h:1,/m",
            "redis-sentinel://h/m",
            "redis-sentinel://h:1/m/",
            "redis-sentinel://h:1/m?x=y",
            "redis://h:1,i:2/0",
            "redis://h",
            "redis://h:1",
            "redis://h:1/",
            "redis://h/0",
            "redis://h:1/x",
            "redis://h:1/0/1",
            "redis://u:a/b@h:1/0",
            "redis://u:a@b@h:1/0",
            "redis://h:1/0?x=y",
        ] {
            assert!(RedisUrl::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let url = RedisUrl::parse("redis://anna:hunter2@h:1/0").unwrap();
        let text: StoreText = "redis://anna:hunter2@h:1/0".parse().unwrap();
        for shown in [format!("{url} {url:?}"), format!("{text:?}")] {
            assert!(!shown.contains("hunter2"), "{shown}");
        }
        assert_eq!(url.to_string(), "redis://h:1/0");
    }
}
