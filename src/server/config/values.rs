//! The kinds of value that a setting can have, and how each is written.
//!
//! Owns: reading one value from text (a flag, a variable) or from TOML, with
//! one and the same message for both. Must not know: which setting it is for.

use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, Visitor};

use crate::gateway::auth::StaleMode;
use crate::net::address::AgentAddress;

/// What is wrong with a value, and what would be right; the value itself is
/// named by the caller, which knows the setting.
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

/// What is done without contact to the store.
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

/// A kind of value, and the type of its place in the configuration.
pub(super) trait Setting<T> {
    /// Puts the value in its place.
    fn put(self, place: &mut T);
    /// The value of a place, as it is written; `None`: there is none.
    fn shown(place: &T) -> Option<String>;
}

impl Setting<Duration> for Period {
    fn put(self, place: &mut Duration) {
        *place = self.0;
    }

    fn shown(place: &Duration) -> Option<String> {
        Some(place.written())
    }
}

macro_rules! counts {
    ($($type:ty),*) => {$(
        impl Setting<$type> for Count {
            fn put(self, place: &mut $type) {
                // A number that does not fit was out of range, and was reported.
                *place = self.0.try_into().unwrap_or(*place);
            }

            fn shown(place: &$type) -> Option<String> {
                Some(place.to_string())
            }
        }
    )*};
}

counts!(u32, u64, usize);

impl Setting<Option<u32>> for Count {
    fn put(self, place: &mut Option<u32>) {
        *place = self.0.try_into().ok();
    }

    fn shown(place: &Option<u32>) -> Option<String> {
        place.map(|number| number.to_string())
    }
}

impl Setting<SocketAddr> for ListenAddress {
    fn put(self, place: &mut SocketAddr) {
        *place = self.0;
    }

    fn shown(place: &SocketAddr) -> Option<String> {
        Some(place.to_string())
    }
}

impl Setting<StaleMode> for Mode {
    fn put(self, place: &mut StaleMode) {
        *place = self.0;
    }

    fn shown(place: &StaleMode) -> Option<String> {
        let word = match place {
            StaleMode::Strict => "strict",
            StaleMode::BestEffort => "best_effort",
        };
        Some(word.to_owned())
    }
}

impl Setting<Self> for LogFormat {
    fn put(self, place: &mut Self) {
        *place = self;
    }

    fn shown(place: &Self) -> Option<String> {
        let word = match place {
            Self::Text => "text",
            Self::Json => "json",
        };
        Some(word.to_owned())
    }
}

impl Setting<Self> for PathBuf {
    fn put(self, place: &mut Self) {
        *place = self;
    }

    fn shown(place: &Self) -> Option<String> {
        Some(place.display().to_string())
    }
}

impl Setting<Self> for String {
    fn put(self, place: &mut Self) {
        *place = self;
    }

    fn shown(place: &Self) -> Option<String> {
        Some(place.clone())
    }
}

macro_rules! optional {
    ($($type:ty),*) => {$(
        impl Setting<Option<$type>> for $type {
            fn put(self, place: &mut Option<$type>) {
                *place = Some(self);
            }

            fn shown(_: &Option<$type>) -> Option<String> {
                None
            }
        }
    )*};
}

optional!(PathBuf, AgentAddress);

/// What a range can be of, as it is written.
pub(super) trait Written {
    fn written(&self) -> String;
}

impl Written for u64 {
    fn written(&self) -> String {
        self.to_string()
    }
}

impl Written for Duration {
    fn written(&self) -> String {
        humantime::format_duration(*self).to_string()
    }
}

/// `low to high`.
pub(super) fn span(range: &RangeInclusive<impl Written>) -> String {
    format!("{} to {}", range.start().written(), range.end().written())
}

/// Whether a value is in its range; if not, what it should be.
pub(super) fn check_range<T: PartialOrd + Written>(
    value: T,
    range: &RangeInclusive<T>,
) -> Result<(), String> {
    if range.contains(&value) {
        return Ok(());
    }
    let value = value.written();
    Err(format!("{value} is out of range: expected {}", span(range)))
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
