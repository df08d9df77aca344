//! The rules for a key's name and life. Every interface (gRPC, REST, console, CLI)
//! obeys these, because every interface ends here.

use time::util::is_leap_year;
use time::{Date, Month, OffsetDateTime};

use super::timestamp::Timestamp;

/// The namespace of every key for now.
pub const DEFAULT_NAMESPACE: &str = "default";

/// Longest name, in characters (NGINX One's contract).
const MAX_NAME_CHARS: usize = 128;

/// A rule that a request breaks, in words for the person who made it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// The name has no characters or too many.
    #[error("name: must have 1 to 128 characters, this one has {chars}")]
    NameLength {
        /// Its length in characters.
        chars: usize,
    },
    /// The name begins or ends with white space, which nobody sees.
    #[error("name: {given:?} begins or ends with white space; leave it out")]
    NamePadded {
        /// What was asked for.
        given: String,
    },
    /// The expiry is now or earlier.
    #[error("expires_at: {given} is in the past (it is {now}); give a time in the future")]
    ExpiryPast {
        /// What was asked for.
        given: Timestamp,
        now: Timestamp,
    },
    /// The expiry is more than a year ahead.
    #[error(
        "expires_at: {given} is too far ahead; a key lives one year at most, \
         so give a date up to {latest}"
    )]
    ExpiryTooFar {
        /// What was asked for.
        given: Timestamp,
        /// The last date that is allowed.
        latest: Date,
    },
}

/// Checks the name of a key or a token: 1 to 128 characters, no white space at an
/// end.
///
/// # Errors
/// [`RuleError::NameLength`], [`RuleError::NamePadded`].
pub fn check_name(name: &str) -> Result<(), RuleError> {
    let chars = name.chars().count();
    if !(1..=MAX_NAME_CHARS).contains(&chars) {
        return Err(RuleError::NameLength { chars });
    }
    if name.trim() != name {
        let given = name.to_owned();
        return Err(RuleError::NamePadded { given });
    }
    Ok(())
}

/// The default expiry, and the longest in round terms: one calendar year after
/// `now`, 29 February becoming 28 February.
pub fn latest_expiry(now: Timestamp) -> Timestamp {
    let now = now.to_utc();
    Timestamp::from_utc(now.replace_date(a_year_after(now)))
}

/// Checks that `expires_at` lies in the future and that its UTC date is at most
/// one day past today's date a year on. Judged by date, with that day of slack,
/// so that a date picker's end of day and a clock two seconds ahead pass.
///
/// # Errors
/// [`RuleError::ExpiryPast`], [`RuleError::ExpiryTooFar`].
pub fn check_expiry(expires_at: Timestamp, now: Timestamp) -> Result<(), RuleError> {
    check_future(expires_at, now)?;
    let a_year_on = a_year_after(now.to_utc());
    let latest = a_year_on.next_day().unwrap_or(a_year_on);
    if expires_at.to_utc().date() > latest {
        return Err(RuleError::ExpiryTooFar {
            given: expires_at,
            latest,
        });
    }
    Ok(())
}

/// Checks that `expires_at` lies in the future: all that an admin token's expiry
/// has to obey.
///
/// # Errors
/// [`RuleError::ExpiryPast`].
pub fn check_future(expires_at: Timestamp, now: Timestamp) -> Result<(), RuleError> {
    if expires_at > now {
        Ok(())
    } else {
        Err(RuleError::ExpiryPast {
            given: expires_at,
            now,
        })
    }
}

fn a_year_after(moment: OffsetDateTime) -> Date {
    let (year, month, day) = moment.date().to_calendar_date();
    let leap_day_lost = month == Month::February && day == 29 && !is_leap_year(year + 1);
    let day = if leap_day_lost { 28 } else { day };
    Date::from_calendar_date(year + 1, month, day).unwrap_or(Date::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn a_year_is_a_calendar_year() {
        for (now, latest) in [
            ("2026-11-23T10:00:00Z", "2027-11-23T10:00:00Z"),
            ("2028-02-29T10:00:00Z", "2029-02-28T10:00:00Z"),
            ("2027-02-28T10:00:00Z", "2028-02-28T10:00:00Z"),
            ("2027-03-01T00:00:00Z", "2028-03-01T00:00:00Z"),
            ("2026-12-31T23:59:59.999Z", "2027-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(latest_expiry(at(now)), at(latest));
            assert_eq!(check_expiry(at(latest), at(now)), Ok(()));
        }
    }

    #[test]
    fn the_longest_life_is_judged_by_date() {
        let now = at("2026-11-23T10:00:00Z");
        for fine in ["2026-11-23T10:00:00.001Z", "2027-11-24T23:59:59.999Z"] {
            assert_eq!(check_expiry(at(fine), now), Ok(()));
        }
        assert!(matches!(
            check_expiry(at("2027-11-25T00:00:00Z"), now),
            Err(RuleError::ExpiryTooFar { .. })
        ));
        let leap = at("2028-02-29T10:00:00Z");
        assert_eq!(check_expiry(at("2029-03-01T23:59:59Z"), leap), Ok(()));
        assert!(check_expiry(at("2029-03-02T00:00:00Z"), leap).is_err());
    }

    #[test]
    fn the_past_and_this_very_moment_are_refused() {
        let now = at("2026-11-23T10:00:00Z");
        for past in ["2026-11-23T10:00:00Z", "1970-01-01T00:00:00Z"] {
            let refused = check_expiry(at(past), now).unwrap_err();
            assert!(matches!(refused, RuleError::ExpiryPast { .. }));
        }
    }

    #[test]
    fn the_end_of_the_calendar_does_not_panic() {
        let end = at("9999-12-31T23:59:59.999Z");
        assert_eq!(latest_expiry(end), end);
        assert!(check_expiry(end, end).is_err());
    }

    #[test]
    fn names_are_counted_in_characters() {
        assert_eq!(check_name(&"é".repeat(128)), Ok(()));
        assert_eq!(check_name("x"), Ok(()));
        assert_eq!(
            check_name(&"é".repeat(129)),
            Err(RuleError::NameLength { chars: 129 })
        );
        assert_eq!(check_name(""), Err(RuleError::NameLength { chars: 0 }));
    }

    #[test]
    fn white_space_at_an_end_of_a_name_is_refused() {
        for padded in ["db ", " db", "db\n", "\u{a0}db", " "] {
            let refused = check_name(padded).unwrap_err();
            assert!(
                matches!(refused, RuleError::NamePadded { .. }),
                "{padded:?}"
            );
        }
        assert_eq!(check_name("two words"), Ok(()));
    }
}
