//! The kinds of value that a setting can have, and how each is written.
//!
//! Owns: reading one value from text (a flag, a variable) or from TOML, with
//! one and the same message for both. Must not know: which setting it is for.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, Visitor};

use crate::gateway::auth::StaleMode;
use crate::net::address::AgentAddress;

/// What is wrong with a value, and what would be right; the value itself is
/// named by whoever knows the setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}")]
pub struct ValueError {
    expected: &'static str,
}

/// An address to listen on: an IP address and a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenAddress(pub SocketAddr);

impl ListenAddress {
    const EXPECTED: &str =
        "an IP address and a port, for example 127.0.0.1:7443, 0.0.0.0:7443 or [::]:7443";
}

impl FromStr for ListenAddress {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        text.parse().map(Self).map_err(|_| ValueError {
            expected: Self::EXPECTED,
        })
    }
}

/// A span of time, written as humantime does: `5s`, `500ms`, `1m 30s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period(pub Duration);

impl Period {
    const EXPECTED: &str = "a span of time with its unit, for example 5s, 500ms or 2m";
}

impl FromStr for Period {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        humantime::parse_duration(text)
            .map(Self)
            .map_err(|_| ValueError {
                expected: Self::EXPECTED,
            })
    }
}

/// A number of things or of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count(pub u64);

impl Count {
    const EXPECTED: &str = "a whole number, for example 4096";
}

impl FromStr for Count {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        text.parse().map(Self).map_err(|_| ValueError {
            expected: Self::EXPECTED,
        })
    }
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people; in colour on a terminal.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    const EXPECTED: &str = "text or json";
}

impl FromStr for LogFormat {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(ValueError {
                expected: Self::EXPECTED,
            }),
        }
    }
}

/// What is done while the store is not heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode(pub StaleMode);

impl Mode {
    const EXPECTED: &str = "strict or best_effort";
}

impl FromStr for Mode {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "strict" => Ok(Self(StaleMode::Strict)),
            "best_effort" => Ok(Self(StaleMode::BestEffort)),
            _ => Err(ValueError {
                expected: Self::EXPECTED,
            }),
        }
    }
}

/// TOML has strings and whole numbers; everything here is written as a string,
/// and a count as a number too.
macro_rules! read_from_toml {
    ($($kind:ident),*) => {$(
        impl<'de> Deserialize<'de> for $kind {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                struct Reader;
                impl Visitor<'_> for Reader {
                    type Value = $kind;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($kind::EXPECTED)
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$kind, E> {
                        text.parse().map_err(|_| E::invalid_value(
                            de::Unexpected::Str(text), &self,
                        ))
                    }
                }
                from.deserialize_str(Reader)
            }
        }
    )*};
}

read_from_toml!(ListenAddress, Period, AgentAddress, LogFormat, Mode);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Count;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(Count::EXPECTED)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Count, E> {
                u64::try_from(number)
                    .map(Count)
                    .map_err(|_| E::invalid_value(de::Unexpected::Signed(number), &self))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Count, E> {
                Ok(Count(number))
            }
        }
        from.deserialize_u64(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_needs_its_unit() {
        assert_eq!("500ms".parse(), Ok(Period(Duration::from_millis(500))));
        assert_eq!("1m 30s".parse(), Ok(Period(Duration::from_secs(90))));
        for wrong in ["5", "", "-5s", "5 parsecs", "99999999999999999999y"] {
            assert!(wrong.parse::<Period>().is_err(), "{wrong}");
        }
    }
}
