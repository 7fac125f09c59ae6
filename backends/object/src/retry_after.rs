use std::time::Duration;

/// How long to wait according to `Retry-After` (RFC 9110, section 10.2.3): a number of seconds, or until a
/// time by the server's own clock, which is in `date`.
pub(crate) fn after(told: &str, date: Option<&str>) -> Option<Duration> {
    if let Ok(seconds) = told.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let time = |text| chrono::DateTime::parse_from_rfc2822(text).ok();
    (time(told)? - time(date?)?).to_std().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_time_of_the_server() {
        let date = Some("Sun, 29 Nov 2026 10:00:00 GMT");
        for (told, date, seconds) in [
            ("7", None, Some(7)),
            ("Sun, 29 Nov 2026 10:00:30 GMT", date, Some(30)),
            ("Sun, 29 Nov 2026 09:59:00 GMT", date, None),
            ("Sun, 29 Nov 2026 10:00:30 GMT", None, None),
            ("soon", date, None),
        ] {
            assert_eq!(after(told, date), seconds.map(Duration::from_secs), "{told}");
        }
    }
}
