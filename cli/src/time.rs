//! Durations and moments, as people write and read them.

use std::{str::FromStr, time::Duration};

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};

/// The units, the largest first, in seconds.
const UNITS: [(&str, u64); 5] = [("w", 604_800), ("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)];

/// The longest lease. Its end is written as RFC 3339 has it, whose years have four digits, and nobody means
/// more.
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
        match duration(text) {
            Some(duration) if duration.is_zero() => Err("it must last longer than nothing".to_owned()),
            Some(duration) if duration > LONGEST => Err("it must not last longer than 366d".to_owned()),
            Some(duration) => Ok(Self(duration)),
            None => Err("write a duration such as 90s, 30m, 1h30m or 7d".to_owned()),
        }
    }
}

impl FromStr for Timeout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match duration(text) {
            Some(Duration::ZERO) => Ok(Self(Duration::ZERO)),
            _ => text.parse().map(|Ttl(limit)| Self(limit)),
        }
    }
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let day = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0);
        if let Some(duration) = duration(text) {
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
    /// The moment. Before the calendar's beginning is its beginning.
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

/// Numbers with units, one after the other; none if it is anything else or too long to count.
fn duration(text: &str) -> Option<Duration> {
    let (mut rest, mut seconds) = (text, 0_u64);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, behind) = rest.split_at_checked(digits)?;
        let (unit, size) = UNITS.iter().find(|(unit, _)| behind.starts_with(unit))?;
        seconds = seconds.checked_add(number.parse::<u64>().ok()?.checked_mul(*size)?)?;
        rest = behind.strip_prefix(unit)?;
    }
    (!text.is_empty()).then_some(Duration::from_secs(seconds))
}

/// The two largest units, as in `1h 5m`; days are the largest.
pub(super) fn human(duration: chrono::Duration) -> String {
    let mut rest = duration.num_seconds().unsigned_abs();
    let mut shown = Vec::new();
    for (unit, size) in UNITS.iter().skip(1) {
        let count = rest / size;
        rest %= size;
        if count > 0 || !shown.is_empty() {
            shown.push((count, unit));
        }
    }
    let two = shown.iter().take(2).filter(|(count, _)| *count > 0);
    let text: Vec<String> = two.map(|(count, unit)| format!("{count}{unit}")).collect();
    if text.is_empty() { "0s".to_owned() } else { text.join(" ") }
}

/// To the second.
pub(super) fn moment(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        for (text, seconds) in [("90s", 90), ("1h30m", 5400), ("2w1d", 1_296_000), ("0s", 0)] {
            assert_eq!(duration(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in
            ["", "5", "h", "1.5h", "-1h", "1y", "1h ", "99999999999999999999s", "99999999999999999w", "1é"]
        {
            assert_eq!(duration(text), None, "{text}");
        }
        assert_eq!("366d".parse(), Ok(Ttl(LONGEST)));
        assert_eq!("0s".parse(), Ok(Timeout(Duration::ZERO)));
        assert_eq!("1m30s".parse(), Ok(Timeout(Duration::from_secs(90))));
        for text in ["0", "", "366d1s"] {
            assert!(text.parse::<Timeout>().is_err(), "{text}");
        }
        for text in ["0s", "366d1s"] {
            assert!(text.parse::<Ttl>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_past_is_a_moment_a_day_or_how_long_ago() {
        let now = DateTime::from_timestamp(1_705_314_600, 0).unwrap();
        let moment = |text: &str| text.parse::<Since>().unwrap().moment(now).to_rfc3339();
        assert_eq!(moment("2024-01-15T11:30:00+02:00"), "2024-01-15T09:30:00+00:00");
        assert_eq!(moment("2024-01-14"), "2024-01-14T00:00:00+00:00");
        assert_eq!(moment("2h"), "2024-01-15T08:30:00+00:00");
        assert_eq!("9999999999999w".parse::<Since>().unwrap().moment(now), DateTime::<Utc>::MIN_UTC);
        assert!("yesterday".parse::<Since>().is_err());
    }

    #[test]
    fn two_units_are_shown() {
        for (seconds, text) in [(0, "0s"), (59, "59s"), (3665, "1h 1m"), (-90_000, "1d 1h"), (86_405, "1d")] {
            assert_eq!(human(chrono::Duration::seconds(seconds)), text);
        }
    }
}
