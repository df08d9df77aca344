//! Points in time as the command line reads and shows them.

use std::time::{Duration, SystemTime};

use crate::keys::Timestamp;

/// This host's time. The gateway decides by its own.
pub(super) fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Reads a span such as `90d`.
pub(super) fn parse_span(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| "expected a span of time with its unit, for example 90d, 12h or 1y".to_owned())
}

/// From the wire; `None` when it is left out or outside the calendar.
pub(super) fn from_wire(wire: Option<&prost_types::Timestamp>) -> Option<Timestamp> {
    Timestamp::try_from(*wire?).ok()
}

/// `in 89 days`, `3 hours ago`, `now`; `-` when there is no time.
pub(super) fn relative(time: Option<Timestamp>, now: Timestamp) -> String {
    let Some(time) = time else {
        return "-".to_owned();
    };
    let ahead = time.saturating_since(now);
    let span = ahead.max(now.saturating_since(time));
    let seconds = span.as_secs();
    let (count, unit) = match seconds {
        0 => return "now".to_owned(),
        1..60 => (seconds, "second"),
        // Rounded: a key made for 90 days a second ago expires in 90 days.
        60..3_570 => ((seconds + 30) / 60, "minute"),
        3_570..84_600 => ((seconds + 1_800) / 3_600, "hour"),
        84_600.. => ((seconds + 43_200) / 86_400, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    if ahead.is_zero() {
        format!("{count} {unit}{plural} ago")
    } else {
        format!("in {count} {unit}{plural}")
    }
}

/// RFC 3339, with how far away that is; `-` when there is no time.
pub(super) fn absolute(time: Option<Timestamp>, now: Timestamp) -> String {
    match time {
        Some(moment) => format!("{moment} ({})", relative(time, now)),
        None => "-".to_owned(),
    }
}

/// A wire time as RFC 3339.
pub(in crate::cli) fn rfc3339(wire: Option<&prost_types::Timestamp>) -> Option<String> {
    from_wire(wire).map(|time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_their_largest_unit() {
        let now = Timestamp::from_millis(1_000_000_000_000);
        let at = |seconds: i64| Some(Timestamp::from_millis(1_000_000_000_000 + seconds * 1000));
        for (seconds, told) in [
            (0, "now"),
            (1, "in 1 second"),
            (59, "in 59 seconds"),
            (119, "in 2 minutes"),
            (90 * 86_400 - 1, "in 90 days"),
            (7_200, "in 2 hours"),
            (89 * 86_400 + 5, "in 89 days"),
            (-1, "1 second ago"),
            (-3 * 3_600, "3 hours ago"),
            (-86_400, "1 day ago"),
        ] {
            assert_eq!(relative(at(seconds), now), told);
        }
        assert_eq!(relative(None, now), "-");
        assert_eq!(absolute(at(86_400), now), "2001-09-10T01:46:40Z (in 1 day)");
    }

    #[test]
    fn the_wire_keeps_milliseconds() {
        let time = Timestamp::from_millis(1_234_567);
        assert_eq!(from_wire(Some(&time.into())), Some(time));
        assert_eq!(from_wire(None), None);
    }

    #[test]
    fn spans_need_a_unit() {
        assert_eq!(parse_span("90d"), Ok(Duration::from_secs(90 * 86_400)));
        assert!(parse_span("90").unwrap_err().contains("90d"));
    }
}
