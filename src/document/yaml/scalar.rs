//! What a plain scalar is in YAML 1.1, and the values of the explicit tags.

use super::{MAX_DIGITS, YamlValue};

/// The tag that a plain scalar resolves to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ScalarKind {
    Null,
    Bool,
    Int,
    Float,
    Timestamp,
    Text,
    /// `<<`, which is only a key.
    Merge,
    /// `=`, which PyYAML takes as a key only.
    Default,
}

/// Resolves a plain scalar.
pub(super) fn kind(text: &str) -> ScalarKind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => ScalarKind::Null,
        "<<" => ScalarKind::Merge,
        "=" => ScalarKind::Default,
        _ if boolean(text).is_some() => ScalarKind::Bool,
        _ => match text.as_bytes().first() {
            Some(b'0'..=b'9' | b'+' | b'-' | b'.') if is_float(text) => ScalarKind::Float,
            Some(b'0'..=b'9' | b'+' | b'-') if is_integer(text) => ScalarKind::Int,
            Some(b'0'..=b'9') if is_timestamp(text) => ScalarKind::Timestamp,
            _ => ScalarKind::Text,
        },
    }
}

/// Reads a scalar as `kind`.
pub(super) fn value(kind: ScalarKind, text: String) -> Result<YamlValue, String> {
    match kind {
        ScalarKind::Null => Ok(YamlValue::Null),
        ScalarKind::Text => Ok(YamlValue::Text(text)),
        ScalarKind::Bool => {
            let lower = text.to_lowercase();
            boolean(&lower).map(YamlValue::Bool).ok_or_else(|| not("a boolean"))
        }
        ScalarKind::Int => integer(&text).map(YamlValue::Int),
        ScalarKind::Float => scalar_float(&text).map(YamlValue::Float),
        ScalarKind::Timestamp => timestamp(&text).map(YamlValue::Timestamp),
        ScalarKind::Merge | ScalarKind::Default => Err(not("a value")),
    }
}

fn not(what: &str) -> String {
    format!("the value is not {what}")
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Some(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

fn unsigned(text: &str) -> &str {
    text.strip_prefix(['-', '+']).unwrap_or(text)
}

fn all(text: &str, allowed: fn(u8) -> bool) -> bool {
    text.bytes().all(allowed)
}

fn some(text: &str, allowed: fn(u8) -> bool) -> bool {
    !text.is_empty() && all(text, allowed)
}

fn digit(byte: u8) -> bool {
    byte.is_ascii_digit()
}

fn digit_or_gap(byte: u8) -> bool {
    byte.is_ascii_digit() || byte == b'_'
}

/// `[0-9][0-9_]*`
fn digits_with_gaps(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_digit()) && all(text, digit_or_gap)
}

/// `[0-5]?[0-9]`
fn sixty(text: &str) -> bool {
    match text.as_bytes() {
        [one] => digit(*one),
        [ten, one] => (b'0'..=b'5').contains(ten) && digit(*one),
        _ => false,
    }
}

fn is_integer(text: &str) -> bool {
    let text = unsigned(text);
    if let Some(binary) = text.strip_prefix("0b") {
        return some(binary, |byte| matches!(byte, b'0' | b'1' | b'_'));
    }
    if let Some(hexadecimal) = text.strip_prefix("0x") {
        return some(hexadecimal, |byte| byte.is_ascii_hexdigit() || byte == b'_');
    }
    if let Some(octal) = text.strip_prefix('0') {
        return all(octal, |byte| matches!(byte, b'0'..=b'7' | b'_'));
    }
    let mut parts = text.split(':');
    parts.next().is_some_and(digits_with_gaps) && parts.all(sixty)
}

fn is_float(text: &str) -> bool {
    let whole = unsigned(text);
    if matches!(whole, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let Some((before, after)) = whole.split_once('.') else { return false };
    let (fraction, exponent) = match after.find(['e', 'E']) {
        Some(at) => (after.get(..at).unwrap_or_default(), after.get(at + 1..)),
        None => (after, None),
    };
    let exponent_fits =
        exponent.is_none_or(|exponent| exponent.starts_with(['-', '+']) && some(unsigned(exponent), digit));
    if !all(fraction, digit_or_gap) || !exponent_fits {
        return false;
    }
    if before.is_empty() {
        // No sign here.
        return text.starts_with('.') && digits_with_gaps(fraction);
    }
    if before.contains(':') {
        let mut parts = before.split(':');
        return exponent.is_none() && parts.next().is_some_and(digits_with_gaps) && parts.all(sixty);
    }
    digits_with_gaps(before)
}

/// Returns the canonical digits of a decimal integer with an optional sign, or nothing if it is none or too
/// long.
pub(in crate::document) fn decimal_integer(text: &str) -> Option<String> {
    let digits = unsigned(text);
    if !some(digits, digit) || digits.len() > MAX_DIGITS {
        return None;
    }
    Some(canonical(text.starts_with('-'), digits))
}

fn canonical(negative: bool, digits: &str) -> String {
    match digits.trim_start_matches('0') {
        "" => "0".to_owned(),
        digits if negative => format!("-{digits}"),
        digits => digits.to_owned(),
    }
}

/// As PyYAML reads it, which does not ask whether the scalar would resolve to an integer.
fn integer(text: &str) -> Result<String, String> {
    let text = text.replace('_', "");
    let negative = text.starts_with('-');
    let digits = unsigned(&text);
    if digits.len() > MAX_DIGITS {
        return Err(format!("the number has more than {MAX_DIGITS} digits"));
    }
    let read = if let Some(binary) = digits.strip_prefix("0b") {
        convert(binary, 2)
    } else if let Some(hexadecimal) = digits.strip_prefix("0x") {
        convert(hexadecimal, 16)
    } else if digits.starts_with('0') {
        convert(digits, 8)
    } else if digits.contains(':') {
        sexagesimal(digits)
    } else {
        some(digits, digit).then(|| digits.to_owned())
    };
    read.map(|digits| canonical(negative, &digits)).ok_or_else(|| not("an integer"))
}

/// Converts digits of a base to decimal ones.
fn convert(text: &str, base: u32) -> Option<String> {
    if text.is_empty() {
        return None;
    }
    let mut number = Decimal::default();
    for digit in text.chars() {
        number.multiply_and_add(base, digit.to_digit(base)?);
    }
    Some(number.digits())
}

fn sexagesimal(text: &str) -> Option<String> {
    let mut number = Decimal::default();
    for (nth, part) in text.split(':').enumerate() {
        if !some(part, digit) {
            return None;
        }
        if nth == 0 {
            for digit in part.chars() {
                number.multiply_and_add(10, digit.to_digit(10)?);
            }
        } else {
            number.multiply_and_add(60, part.parse().ok().filter(|part| *part < 1_000_000_000)?);
        }
    }
    Some(number.digits())
}

/// A number of any length, in groups of nine decimal digits, the lowest first.
#[derive(Default)]
struct Decimal(Vec<u32>);

impl Decimal {
    const GROUP: u64 = 1_000_000_000;

    fn multiply_and_add(&mut self, factor: u32, summand: u32) {
        let mut carry = u64::from(summand);
        for group in &mut self.0 {
            let value = u64::from(*group) * u64::from(factor) + carry;
            *group = u32::try_from(value % Self::GROUP).unwrap_or_default();
            carry = value / Self::GROUP;
        }
        if carry > 0 {
            self.0.push(u32::try_from(carry).unwrap_or_default());
        }
    }

    fn digits(&self) -> String {
        self.0.iter().rev().map(|group| format!("{group:09}")).collect()
    }
}

/// Reads `[digits].[digits]` with an optional sign and exponent.
pub(in crate::document) fn float(text: &str) -> Option<f64> {
    let whole = unsigned(text);
    let plain =
        whole.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'));
    if !plain { None } else { text.parse().ok() }
}

fn scalar_float(text: &str) -> Result<f64, String> {
    let text = text.replace('_', "").to_lowercase();
    let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
    let whole = unsigned(&text);
    let read = match whole {
        ".inf" | "inf" | "infinity" => Some(f64::INFINITY),
        ".nan" | "nan" => Some(f64::NAN),
        _ if whole.contains(':') => {
            whole.split(':').try_fold(0.0, |sum, part| float(part).map(|part| sum * 60.0 + part))
        }
        _ => float(whole),
    };
    read.map(|value| sign * value).ok_or_else(|| not("a number"))
}

fn is_timestamp(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_date = |bytes: &[u8]| match bytes {
        [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] => {
            [y1, y2, y3, y4, m1, m2, d1, d2].iter().all(|byte| digit(**byte))
        }
        _ => false,
    };
    is_date(bytes) || Time::read(text).is_some_and(|time| time.clock.is_some())
}

/// The parts of a date with an optional time, as written.
struct Time<'t> {
    date: [u32; 3],
    clock: Option<Clock<'t>>,
}

struct Clock<'t> {
    hour: u32,
    minute: u32,
    second: u32,
    fraction: &'t str,
    zone: Option<Zone>,
}

enum Zone {
    Utc,
    Offset { negative: bool, hours: u32, minutes: u32 },
}

/// Takes `min` to `max` digits from the front of `rest`.
fn take(rest: &mut &str, min: usize, max: usize) -> Option<u32> {
    let count = rest.bytes().take(max).take_while(u8::is_ascii_digit).count();
    if count < min {
        return None;
    }
    let (digits, after) = rest.split_at_checked(count)?;
    *rest = after;
    digits.parse().ok()
}

fn skip(rest: &mut &str, prefix: &str) -> Option<()> {
    *rest = rest.strip_prefix(prefix)?;
    Some(())
}

impl<'t> Time<'t> {
    fn read(text: &'t str) -> Option<Time<'t>> {
        let mut rest = text;
        let year = take(&mut rest, 4, 4)?;
        skip(&mut rest, "-")?;
        let month = take(&mut rest, 1, 2)?;
        skip(&mut rest, "-")?;
        let day = take(&mut rest, 1, 2)?;
        let clock = if rest.is_empty() { None } else { Some(Clock::read(rest)?) };
        Some(Time { date: [year, month, day], clock })
    }
}

impl<'t> Clock<'t> {
    fn read(mut rest: &'t str) -> Option<Clock<'t>> {
        rest = match rest.strip_prefix(['T', 't']) {
            Some(rest) => rest,
            None => {
                Some(rest.trim_start_matches([' ', '\t'])).filter(|trimmed| trimmed.len() < rest.len())?
            }
        };
        let hour = take(&mut rest, 1, 2)?;
        skip(&mut rest, ":")?;
        let minute = take(&mut rest, 2, 2)?;
        skip(&mut rest, ":")?;
        let second = take(&mut rest, 2, 2)?;
        let mut fraction = "";
        if let Some(after) = rest.strip_prefix('.') {
            let count = after.bytes().take_while(u8::is_ascii_digit).count();
            (fraction, rest) = after.split_at_checked(count)?;
        }
        let zone = match rest {
            "" => None,
            rest => Some(Zone::read(rest.trim_start_matches([' ', '\t']))?),
        };
        Some(Clock { hour, minute, second, fraction, zone })
    }
}

impl Zone {
    fn read(text: &str) -> Option<Zone> {
        if text == "Z" {
            return Some(Zone::Utc);
        }
        let negative = text.starts_with('-');
        let mut rest = text.strip_prefix(['-', '+'])?;
        let hours = take(&mut rest, 1, 2)?;
        let minutes = if rest.is_empty() {
            0
        } else {
            skip(&mut rest, ":")?;
            take(&mut rest, 2, 2)?
        };
        rest.is_empty().then_some(Zone::Offset { negative, hours, minutes })
    }
}

/// Returns the ISO 8601 form that Python's `isoformat` gives.
fn timestamp(text: &str) -> Result<String, String> {
    let wrong = || not("a date or time");
    let time = Time::read(text).ok_or_else(wrong)?;
    let [year, month, day] = time.date;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    if year == 0 || day == 0 || day > days {
        return Err(wrong());
    }
    let mut written = format!("{year:04}-{month:02}-{day:02}");
    let Some(clock) = time.clock else { return Ok(written) };
    if clock.hour > 23 || clock.minute > 59 || clock.second > 59 {
        return Err(wrong());
    }
    written += &format!("T{:02}:{:02}:{:02}", clock.hour, clock.minute, clock.second);
    let fraction = clock.fraction.get(..6).unwrap_or(clock.fraction);
    if fraction.bytes().any(|byte| byte != b'0') {
        written += &format!(".{fraction:0<6}");
    }
    match clock.zone {
        None => {}
        Some(Zone::Utc) => written += "+00:00",
        Some(Zone::Offset { negative, hours, minutes }) => {
            let total = hours * 60 + minutes;
            if total >= 24 * 60 {
                return Err(wrong());
            }
            let sign = if negative && total > 0 { '-' } else { '+' };
            written += &format!("{sign}{:02}:{:02}", total / 60, total % 60);
        }
    }
    Ok(written)
}
