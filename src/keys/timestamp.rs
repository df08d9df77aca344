//! A point in time, in milliseconds since the Unix epoch, UTC.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The last time that RFC 3339 can write: 9999-12-31T23:59:59.999Z.
const MAX_MILLIS: i64 = 253_402_300_799_999;

/// A point in time: milliseconds since the Unix epoch, between the years 1970
/// and 9999. Prints as RFC 3339 in UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timestamp(i64);

/// Why a text or a number is not a [`Timestamp`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimestampError {
    /// The text is not RFC 3339.
    #[error("{0:?} is not a time: write it as RFC 3339, for example 2027-01-31T00:00:00Z")]
    NotRfc3339(String),
    /// The time lies before 1970 or after 9999.
    #[error("the time lies outside the years 1970 to 9999")]
    OutOfRange,
}

impl Timestamp {
    /// From milliseconds since the Unix epoch; those outside 1970 to 9999 are
    /// moved to the nearer end.
    pub fn from_millis(millis: i64) -> Self {
        Self(millis.clamp(0, MAX_MILLIS))
    }

    /// From seconds and nanoseconds since the Unix epoch.
    ///
    /// # Errors
    /// [`TimestampError::OutOfRange`] outside the years 1970 to 9999.
    pub fn from_unix(seconds: i64, nanos: i32) -> Result<Self, TimestampError> {
        let millis = seconds
            .checked_mul(1000)
            .and_then(|ms| ms.checked_add(i64::from(nanos / 1_000_000)))
            .ok_or(TimestampError::OutOfRange)?;
        if (0..=MAX_MILLIS).contains(&millis) {
            Ok(Self(millis))
        } else {
            Err(TimestampError::OutOfRange)
        }
    }

    /// Reads RFC 3339, for example `2027-01-31T00:00:00Z`.
    ///
    /// # Errors
    /// When the text is not RFC 3339 or the year lies outside 1970 to 9999.
    pub fn parse_rfc3339(text: &str) -> Result<Self, TimestampError> {
        let parsed = OffsetDateTime::parse(text.trim(), &Rfc3339)
            .map_err(|_| TimestampError::NotRfc3339(text.chars().take(64).collect()))?;
        Self::from_unix(
            parsed.unix_timestamp(),
            i32::try_from(parsed.nanosecond()).map_err(|_| TimestampError::OutOfRange)?,
        )
    }

    /// Milliseconds since the Unix epoch.
    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// Later by `span`, at most the end of the year 9999.
    #[must_use]
    pub fn saturating_add(self, span: Duration) -> Self {
        let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.0.saturating_add(millis))
    }

    /// Earlier by `span`, at the earliest 1970.
    #[must_use]
    pub fn saturating_sub(self, span: Duration) -> Self {
        let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.0.saturating_sub(millis))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub fn saturating_since(self, earlier: Self) -> Duration {
        let millis = u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0);
        Duration::from_millis(millis)
    }

    /// The same time as a calendar date and time in UTC.
    pub(crate) fn to_utc(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    /// The time of a calendar date and time, its milliseconds kept.
    pub(crate) fn from_utc(moment: OffsetDateTime) -> Self {
        let millis = moment.unix_timestamp_nanos() / 1_000_000;
        Self::from_millis(i64::try_from(millis).unwrap_or(MAX_MILLIS))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let utc = self.to_utc();
        let (h, m, s) = utc.time().as_hms();
        write!(f, "{}T{h:02}:{m:02}:{s:02}", utc.date())?;
        if utc.millisecond() != 0 {
            write!(f, ".{:03}", utc.millisecond())?;
        }
        f.write_str("Z")
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_what_it_reads() {
        for text in [
            "2026-11-23T00:00:00Z",
            "1999-12-31T23:59:59.120Z",
            "1970-01-01T00:00:00Z",
        ] {
            assert_eq!(Timestamp::parse_rfc3339(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn offsets_become_utc() {
        let t = Timestamp::parse_rfc3339("2026-11-23T01:30:00+02:00").unwrap();
        assert_eq!(t.to_string(), "2026-11-22T23:30:00Z");
    }

    #[test]
    fn refuses_what_is_no_time() {
        for text in ["", "tomorrow", "2026-11-23", "2026-02-30T00:00:00Z"] {
            assert!(matches!(
                Timestamp::parse_rfc3339(text),
                Err(TimestampError::NotRfc3339(_))
            ));
        }
        assert_eq!(
            Timestamp::parse_rfc3339("1969-12-31T23:59:59Z"),
            Err(TimestampError::OutOfRange)
        );
        assert_eq!(
            Timestamp::from_unix(i64::MAX, 0),
            Err(TimestampError::OutOfRange)
        );
    }

    #[test]
    fn arithmetic_stays_in_range() {
        let end = Timestamp::from_millis(i64::MAX);
        assert_eq!(end.to_string(), "9999-12-31T23:59:59.999Z");
        assert_eq!(end.saturating_add(Duration::MAX), end);
        let start = Timestamp::from_millis(i64::MIN);
        assert_eq!(start.saturating_since(end), Duration::ZERO);
    }
}
