//! Faults of Redis, and which of them pass by themselves.

use redis::{ErrorKind, RedisError};

use super::schema::FORMAT;
use crate::store::error::StoreError;

/// The oldest server that will do: 7.0 is what the tests run against. Scripts
/// of older ones are not replicated by their effects alone.
pub(super) const MINIMUM: (u32, u32) = (7, 0);
/// Why the store was not opened.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RedisOpenError {
    /// The URL is not one.
    #[error("store: not a Redis URL ({0}); give redis://HOST:PORT")]
    Url(String),
    /// The CA file is of no use.
    #[error("redis-ca-file: no CA certificates in PEM: {0}")]
    Ca(String),
    /// The login was refused.
    #[error("store: Redis refused the login ({0}); check its user, its password and its rights")]
    Login(String),
    /// Its certificate is from no CA that is trusted, or for another name.
    #[error("store: Redis's certificate is refused ({0}); give its CA as --redis-ca-file")]
    Certificate(String),
    /// The server is too old.
    #[error("store: Redis is version {found}; muster needs {}.{} or newer", MINIMUM.0, MINIMUM.1)]
    TooOld {
        /// The version that it says.
        found: String,
    },
    /// It may throw keys away.
    #[error("store: {0}")]
    Evicts(String),
    /// Something else lies under the prefix.
    #[error("store: {what} in Redis is not muster's ({why}); choose another --redis-prefix or DB")]
    NotOurs {
        /// Under which name.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// A newer muster wrote it.
    #[error("store: its format is {found}, this muster reads {FORMAT}; run a newer muster")]
    Newer {
        /// Its format.
        found: String,
    },
    /// `muster store copy` was interrupted, or is at work.
    #[error(
        "store: a copy that was begun at {begun} is not complete; wait for it, or begin it anew \
         with muster store copy --again"
    )]
    Copying {
        /// When.
        begun: String,
    },
    /// There is something where a copy should go.
    #[error(
        "store: there is something under this prefix already ({found}); copy to a Redis, a DB or \
         a --redis-prefix without it"
    )]
    Taken {
        /// A name of it.
        found: String,
    },
    /// It can't be asked now: may pass.
    #[error(transparent)]
    Unavailable(#[from] StoreError),
    /// There are no random numbers for an id.
    #[error("no random numbers from the operating system: {0}")]
    NoRandomness(String),
}

/// What Redis refuses writes with, and what helps.
const REFUSALS: [(&str, &str); 5] = [
    (
        "OOM",
        "Redis is out of memory: raise its maxmemory, or free memory; its maxmemory-policy must \
         stay noeviction",
    ),
    (
        "MISCONF",
        "Redis can't save to its disk: free space there, see its log",
    ),
    (
        "READONLY",
        "this Redis is a replica: give its master as --store, or redis-sentinel://",
    ),
    ("LOADING", "Redis is loading its data: wait for it"),
    (
        "NOREPLICAS",
        "fewer replicas than min-replicas-to-write are well: mend them",
    ),
];
/// Those that do not pass in a failover or after a restart.
const LASTING: [&str; 2] = ["OOM", "MISCONF"];

/// An answer that says no says that nothing was written: the script looks before
/// it writes, and Redis refuses none of its later writes.
pub(super) fn failed(error: RedisError) -> StoreError {
    let text = format!("Redis: {error}");
    match error.kind() {
        ErrorKind::Server(_) | ErrorKind::Extension => refused(text),
        _ => StoreError::Failed(text),
    }
}

/// What Redis said when it refused a write.
pub(super) fn refused(text: String) -> StoreError {
    known_refusal(&text).unwrap_or(StoreError::NotWritten(text))
}

/// The error of a text that says that Redis refuses all writes.
pub(super) fn known_refusal(text: &str) -> Option<StoreError> {
    let mut words = text.split(|c: char| !c.is_ascii_alphabetic());
    let known = |word| REFUSALS.iter().find(|(known, _)| *known == word);
    let (word, cure) = words.find_map(known)?;
    let told = format!("{cure} ({text})");
    Some(match LASTING.contains(word) {
        true => StoreError::NoWrites(told),
        false => StoreError::NotWritten(told),
    })
}

/// A refused login does not pass by itself, nor does a wrong certificate.
pub(super) fn login(error: StoreError) -> RedisOpenError {
    let text = error.to_string();
    let refused = [
        "NOAUTH",
        "WRONGPASS",
        "NOPERM",
        "AuthenticationFailed",
        "authentication failed",
    ];
    if refused.iter().any(|word| text.contains(word)) {
        RedisOpenError::Login(text)
    } else if text.contains("invalid peer certificate") {
        RedisOpenError::Certificate(text)
    } else {
        RedisOpenError::Unavailable(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_login_is_told_from_an_outage() {
        let error = |text: &str| failed(RedisError::from((redis::ErrorKind::Io, "", text.into())));
        assert!(matches!(
            login(error("WRONGPASS invalid username-password pair")),
            RedisOpenError::Login(_)
        ));
        assert!(matches!(
            login(error("Connection refused")),
            RedisOpenError::Unavailable(_)
        ));
    }
}
