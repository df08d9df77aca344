//! The URL of a Redis, or of the sentinels that watch one.
//!
//! Invariant: the password is in no message and in no `Debug`.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

const PLAIN: &str = "redis://";
const TLS: &str = "rediss://";
const SENTINEL: &str = "redis-sentinel://";
const EXPECTED: &str = "expected embedded, redis[s]://[USER[:PASSWORD]@]HOST:PORT[/DB] or \
    redis-sentinel://[USER[:PASSWORD]@]HOST:PORT[,HOST:PORT…]/MASTER[/DB]";

/// `redis://[USER[:PASSWORD]@]HOST:PORT[/DB]`, with `rediss` for TLS, or
/// `redis-sentinel://[USER[:PASSWORD]@]HOST:PORT[,HOST:PORT…]/MASTER[/DB]`;
/// well-formed. Without a number it is database 0, as with every Redis client.
#[derive(Clone)]
pub struct RedisUrl {
    scheme: &'static str,
    /// `USER[:PASSWORD]@`, or empty.
    login: SecretString,
    /// The server, or the sentinels.
    addresses: Vec<String>,
    /// With sentinels: the name of the master that they watch.
    master: Option<String>,
    database: String,
}

impl RedisUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong with it, without quoting it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let scheme = [PLAIN, TLS, SENTINEL]
            .into_iter()
            .find(|scheme| text.starts_with(scheme))
            .ok_or(EXPECTED)?;
        let rest = &text[scheme.len()..];
        let (login, place) = match rest.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, rest),
        };
        // A URL ends its host at any of these: an "@" after one of them would
        // be no separator, and the password a part of the host.
        if login.is_some_and(|login| login.contains(['/', '?', '#', '@', '[', ']', '\\'])) {
            return Err(
                "in user and password write / ? # @ [ ] \\ % as %2F %3F %23 %40 %5B %5D %5C \
                        %25, or use redis-password-file",
            );
        }
        let (addresses, rest) = place.split_once('/').unwrap_or((place, ""));
        let (master, database) = match scheme {
            SENTINEL => {
                let (master, database) = rest.split_once('/').unwrap_or((rest, ""));
                let fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
                if master.is_empty() || !master.chars().all(fine) {
                    return Err(EXPECTED);
                }
                (Some(master.to_owned()), database)
            }
            _ => (None, rest),
        };
        let addresses: Vec<String> = match scheme {
            SENTINEL => addresses.split(',').map(ToOwned::to_owned).collect(),
            _ => vec![addresses.to_owned()],
        };
        if !addresses.iter().all(|address| is_address(address)) {
            return Err(EXPECTED);
        }
        if !database.bytes().all(|b| b.is_ascii_digit()) {
            return Err(EXPECTED);
        }
        let database = if database.is_empty() { "0" } else { database };
        Ok(Self {
            scheme,
            login: login
                .map_or_else(String::new, |login| format!("{login}@"))
                .into(),
            addresses,
            master,
            database: database.to_owned(),
        })
    }

    /// The URL of the server at `address`, with login and database.
    pub(super) fn of(&self, address: &str) -> SecretString {
        let scheme = match self.scheme {
            SENTINEL => PLAIN,
            scheme => scheme,
        };
        let login = self.login.expose_secret();
        format!("{scheme}{login}{address}/{}", self.database).into()
    }

    /// `HOST:PORT` of the server, or of each sentinel.
    pub(super) fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// The name of the master that the sentinels watch; `None`: it is the server's
    /// own URL.
    pub fn master(&self) -> Option<&str> {
        self.master.as_deref()
    }

    /// The connection is over TLS.
    pub fn is_tls(&self) -> bool {
        self.scheme == TLS
    }

    /// It has a password in it.
    pub fn has_password(&self) -> bool {
        self.login.expose_secret().contains(':')
    }
}

/// `HOST:PORT`, as an agent's address is written.
fn is_address(text: &str) -> bool {
    text.parse::<crate::net::address::AgentAddress>().is_ok()
}

/// Without user and password, and with the number of the database in any case: who
/// left it out sees which one it is.
impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.scheme, self.addresses.join(","))?;
        if let Some(master) = &self.master {
            write!(f, "/{master}")?;
        }
        write!(f, "/{}", self.database)
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisUrl({self})")
    }
}

impl PartialEq for RedisUrl {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
            && self.login.expose_secret() == other.login.expose_secret()
    }
}

impl Eq for RedisUrl {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_host_port_and_maybe_a_database() {
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
            "redis-sentinel://h:1/m?x=y",
            "redis-sentinel://h:1/m//",
            "redis://h:1,i:2/0",
            "redis://h",
            "redis://",
            "redis:///0",
            "redis://h:1//",
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
    fn without_a_number_it_is_database_0_as_with_every_redis_client() {
        for (text, shown) in [
            ("redis://127.0.0.1:6379", "redis://127.0.0.1:6379/0"),
            ("redis://u:p@[::1]:1/", "redis://[::1]:1/0"),
            ("rediss://h:1", "rediss://h:1/0"),
            ("rediss://h:1/", "rediss://h:1/0"),
            ("redis-sentinel://h:1,i:2/m", "redis-sentinel://h:1,i:2/m/0"),
            ("redis-sentinel://h:1/m/", "redis-sentinel://h:1/m/0"),
        ] {
            let url = RedisUrl::parse(text).expect(text);
            assert_eq!(url.to_string(), shown);
            let of = url.of("j:3");
            assert!(of.expose_secret().ends_with("j:3/0"), "{text}");
        }
        let spelled_out = RedisUrl::parse("redis://h:1/0").unwrap();
        assert_eq!(RedisUrl::parse("redis://h:1").unwrap(), spelled_out);
    }

    #[test]
    fn a_password_is_not_shown() {
        let url = RedisUrl::parse("redis://anna:hunter2@h:1/0").unwrap();
        assert!(!format!("{url} {url:?}").contains("hunter2"));
        assert_eq!(url.to_string(), "redis://h:1/0");
    }

    #[test]
    fn a_master_is_reached_with_the_login_of_the_url() {
        let url = RedisUrl::parse("redis-sentinel://u:p@h:1,i:2/main/4").unwrap();
        assert_eq!(url.addresses(), ["h:1", "i:2"]);
        assert_eq!(url.master(), Some("main"));
        assert_eq!(url.of("j:3").expose_secret(), "redis://u:p@j:3/4");
        let url = RedisUrl::parse("rediss://h:1/0").unwrap();
        assert_eq!(url.of("h:1").expose_secret(), "rediss://h:1/0");
    }
}
