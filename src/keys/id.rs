//! Ids, and the digest of a secret.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

pub(super) const BASE62: &[u8; 62] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

pub(super) const ID_LEN: usize = 16;

/// The public part of a credential: 16 Base62 characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id([u8; ID_LEN]);

/// A text that is not the id it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an id: expected {expected} and then 16 letters or digits")]
pub struct ParseIdError {
    /// The prefix of such an id.
    pub expected: &'static str,
}

impl Id {
    /// From the characters of an id; `None` unless they are 16 Base62 ones.
    pub fn parse(text: &str) -> Option<Self> {
        Self::from_bytes(text.as_bytes())
    }

    /// From the bytes of an id; `None` unless they are 16 Base62 characters.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let id: [u8; ID_LEN] = bytes.try_into().ok()?;
        id.iter().all(u8::is_ascii_alphanumeric).then_some(Self(id))
    }

    /// A new one, from the operating system's random numbers.
    ///
    /// # Errors
    /// When the operating system has none to give.
    pub fn random() -> Result<Self, getrandom::Error> {
        random_base62().map(Self)
    }

    /// The 16 ASCII characters.
    pub fn as_bytes(&self) -> &[u8; ID_LEN] {
        &self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.0).unwrap_or_default())
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// SHA-256 of a credential's secret. Compares in constant time; does not print.
#[derive(Clone, Copy)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of no secret: what an absent key is compared with, so that it
    /// costs the same work as a wrong secret.
    pub const DUMMY: Self = Self([0; 32]);

    /// From the 32 bytes that a store kept.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes, for a store to keep.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(super) fn of(secret: &[u8]) -> Self {
        Self(Sha256::digest(secret).into())
    }
}

impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Digest {}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(..)")
    }
}

/// `N` characters, each of the 62 equally likely: bytes past the largest
/// multiple of 62 are thrown away.
pub(super) fn random_base62<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    const FAIR: u8 = 62 * 4;
    let mut out = [0; N];
    let mut filled = 0;
    while filled < N {
        let mut pool = [0; 64];
        getrandom::fill(&mut pool)?;
        for byte in pool.into_iter().filter(|b| *b < FAIR).take(N - filled) {
            out[filled] = BASE62[usize::from(byte % 62)];
            filled += 1;
        }
    }
    Ok(out)
}

/// A data plane key's public id; prints as `key_<16 Base62 characters>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub Id);

/// An admin token's public id; prints as `tok_<16 Base62 characters>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(pub Id);

macro_rules! prefixed_id {
    ($name:ident, $prefix:literal) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let id = text
                    .strip_prefix($prefix)
                    .ok_or(ParseIdError { expected: $prefix })?;
                Id::parse(id)
                    .map(Self)
                    .ok_or(ParseIdError { expected: $prefix })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?
                    .parse()
                    .map_err(serde::de::Error::custom)
            }
        }
    };
}

prefixed_id!(KeyId, "key_");
prefixed_id!(TokenId, "tok_");
