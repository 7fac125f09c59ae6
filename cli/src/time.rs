//! Parses and prints durations and times in the forms that people use.

use std::{str::FromStr, time::Duration};

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use humantime::{format_duration, parse_duration};

/// The shortest lease. A shorter one would end before it could be renewed.
const SHORTEST: Duration = Duration::from_secs(1);

/// The longest lease. The end of a lease is written in the form of RFC 3339, whose years have four digits, so
/// there must be a limit.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// How long a lease lasts: `90s`, `1h30m`, `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ttl(pub(super) Duration);

/// How long to wait for something, perhaps not at all: `0s`, `30s`, `1h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timeout(pub(super) Duration);

/// A moment in the past: RFC 3339, a date, or how long ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Since {
    At(DateTime<Utc>),
    Ago(Duration),
}

impl FromStr for Ttl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match limited(text)? {
            duration if duration < SHORTEST => Err("it must last at least 1s".to_owned()),
            duration => Ok(Self(duration)),
        }
    }
}

impl FromStr for Timeout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        limited(text).map(Self)
    }
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let day = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0);
        if let Ok(duration) = parse_duration(text) {
            Ok(Self::Ago(duration))
        } else if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
            Ok(Self::At(moment.to_utc()))
        } else if let Some(midnight) = day() {
            Ok(Self::At(midnight.and_utc()))
        } else {
            Err("write a time such as 2024-01-15T10:30:00Z, a date such as 2024-01-15 (UTC), or how long ago, such as 2h or 7d"
                .to_owned())
        }
    }
}

impl Since {
    /// Returns the time. A time before the beginning of the calendar becomes that beginning.
    pub(super) fn moment(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::At(moment) => moment,
            Self::Ago(duration) => chrono::Duration::from_std(duration)
                .ok()
                .and_then(|duration| now.checked_sub_signed(duration))
                .unwrap_or(DateTime::<Utc>::MIN_UTC),
        }
    }
}

/// Parses a duration, at most as long as the longest lease.
fn limited(text: &str) -> Result<Duration, String> {
    const SUCH_AS: &str = "write a duration such as 90s, 30m, 1h30m or 7d";
    // Months and years differ in length, and `M` would be a month where a person means minutes.
    let mut units = text.split(|it: char| !it.is_ascii_alphabetic()).filter(|unit| !unit.is_empty());
    if let Some(unit) = units.find(|unit| unit.starts_with(['M', 'y', 'Y']) || unit.starts_with("mo")) {
        return Err(format!("{unit:?} is no unit here; {SUCH_AS}"));
    }
    let duration = parse_duration(text).map_err(|error| format!("{error}; {SUCH_AS}"))?;
    if duration > LONGEST {
        return Err("it must not last longer than 366d".to_owned());
    }
    Ok(duration)
}

/// Formats a duration without units that are too small to matter: no minutes beside days, no seconds beside
/// hours.
pub(super) fn human(duration: chrono::Duration) -> String {
    let seconds = duration.num_seconds().unsigned_abs();
    let unit = match seconds {
        86_400.. => 3600,
        3600.. => 60,
        _ => 1,
    };
    // Days are counted here, because humantime goes on to months and years, which differ in length.
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let rest = Duration::from_secs(rest - rest % unit);
    let days = match days {
        0 => return format_duration(rest).to_string(),
        1 => "1day".to_owned(),
        more => format!("{more}days"),
    };
    if rest.is_zero() { days } else { format!("{days} {}", format_duration(rest)) }
}

/// Formats a time to the second.
pub(super) fn moment(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units_and_limits() {
        let lease = |text: &str| text.parse::<Ttl>().map(|Ttl(duration)| duration.as_secs());
        for (text, seconds) in [("90s", 90), ("1h30m", 5400), ("1h 30m", 5400), ("2w1d", 1_296_000)] {
            assert_eq!(lease(text), Ok(seconds), "{text}");
        }
        assert_eq!("366d".parse(), Ok(Ttl(LONGEST)));
        for (text, words) in [
            ("", "empty"),
            ("5", "such as 90s"),
            ("h", "such as 90s"),
            ("-1h", "such as 90s"),
            ("1x", "such as 90s"),
            ("99999999999999999999s", "such as 90s"),
            ("0s", "at least 1s"),
            ("999ms", "at least 1s"),
            ("366d1s", "366d"),
            ("1M", "\"M\" is no unit"),
            ("1month", "no unit"),
            ("1y", "no unit"),
        ] {
            let refused = lease(text).unwrap_err();
            assert!(refused.contains(words), "{text:?}: {refused}");
        }
        for (text, millis) in [("0s", 0), ("200ms", 200), ("1m30s", 90_000)] {
            assert_eq!(text.parse(), Ok(Timeout(Duration::from_millis(millis))));
        }
        assert!("366d1s".parse::<Timeout>().is_err());
    }

    #[test]
    fn the_past_is_a_moment_a_day_or_how_long_ago() {
        let now = DateTime::from_timestamp(1_705_314_600, 0).unwrap();
        let moment = |text: &str| text.parse::<Since>().unwrap().moment(now).to_rfc3339();
        assert_eq!(moment("2024-01-15T11:30:00+02:00"), "2024-01-15T09:30:00+00:00");
        assert_eq!(moment("2024-01-14"), "2024-01-14T00:00:00+00:00");
        assert_eq!(moment("2h"), "2024-01-15T08:30:00+00:00");
        assert_eq!("9999999999w".parse::<Since>().unwrap().moment(now), DateTime::<Utc>::MIN_UTC);
        assert!("yesterday".parse::<Since>().is_err());
    }

    #[test]
    fn small_units_are_left_out_beside_large_ones() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (3665, "1h 1m"),
            (-90_000, "1day 1h"),
            (86_405, "1day"),
            (200_000, "2days 7h"),
            (60 * 86_400 - 1, "59days 23h"),
            (366 * 86_400, "366days"),
        ] {
            assert_eq!(human(chrono::Duration::seconds(seconds)), text);
        }
    }
}
