use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    FormatError,
    seal::{SHA256, seal, unseal},
};
use crate::document::why_not_json;

/// The kind of a stored JSON document: its `format` reads `<name>/<version>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) version: u32,
}

impl Kind {
    pub(crate) const STORE: Self = Self::first("pflow-store");
    pub(crate) const HEAD: Self = Self::first("pflow-head");
    pub(crate) const VERSION: Self = Self::first("pflow-version");
    pub(crate) const INDEX_ROOT: Self = Self::first("pflow-index");
    pub(crate) const INDEX_BASE: Self = Self::first("pflow-index-base");
    pub(crate) const INDEX_SEGMENT: Self = Self::first("pflow-index-segment");
    pub(crate) const INSTANCE: Self = Self::first("pflow-instance");
    pub(crate) const FOLD_CLAIM: Self = Self::first("pflow-fold");

    const fn first(name: &'static str) -> Self {
        Self { name, version: 1 }
    }

    pub(crate) fn tag(self) -> String {
        format!("{}/{}", self.name, self.version)
    }
}

#[derive(Deserialize)]
struct Tag {
    #[serde(default)]
    format: String,
}

/// Checks the `format` before any other field: a newer document may have different fields.
pub(crate) fn decode<T: DeserializeOwned>(kind: Kind, bytes: &[u8]) -> Result<T, FormatError> {
    check_format(kind, bytes)?;
    parse(kind, bytes)
}

/// The same for a line that ends with a checksum, which is checked before any field is used.
pub(crate) fn decode_sealed<T: DeserializeOwned>(kind: Kind, line: &[u8]) -> Result<T, FormatError> {
    match unseal(&SHA256, line) {
        Ok(unsealed) => {
            check_format(kind, &unsealed)?;
            parse(kind, &unsealed)
        }
        // IMPORTANT: a damaged line is not taken for one of a newer program, whatever its format says. Every
        // later format of these lines has the checksum.
        Err(damaged) => match check_format(kind, line) {
            Err(other) if !other.is_newer() => Err(other),
            _ => Err(damaged),
        },
    }
}

pub(super) fn check_format(kind: Kind, bytes: &[u8]) -> Result<(), FormatError> {
    let format = match serde_json::from_slice(bytes) {
        Ok(Tag { format }) => format,
        Err(error) => match why_not_json(bytes) {
            Some(reason) => return Err(FormatError::NotJson { expected: kind.tag(), reason }),
            // The `format` is not a string, or occurs twice.
            None if error.is_data() => String::new(),
            None => return Err(malformed(kind, &error)),
        },
    };
    check_tag(kind, format)
}

/// Checks a `format`.
pub(crate) fn check_tag(kind: Kind, format: String) -> Result<(), FormatError> {
    let version = format.strip_prefix(kind.name).and_then(|rest| rest.strip_prefix('/'));
    let plain = |digits: &&str| digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    match version.filter(plain).and_then(|digits| digits.parse::<u32>().ok()) {
        Some(version) if version > kind.version => {
            Err(FormatError::TooNew { found: format, known: kind.tag() })
        }
        Some(_) => Ok(()),
        None => Err(FormatError::OtherKind { expected: kind.tag(), found: format }),
    }
}

/// Parses bytes whose format was checked.
pub(crate) fn parse<T: DeserializeOwned>(kind: Kind, bytes: &[u8]) -> Result<T, FormatError> {
    serde_json::from_slice(bytes).map_err(|error| malformed(kind, &error))
}

/// Rewords the error of serde, which would name types of this program.
fn malformed(kind: Kind, error: &serde_json::Error) -> FormatError {
    let message = error.to_string();
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
    let what = if let Some(field) = message.strip_prefix("missing field ") {
        format!("the field {field} is missing")
    } else if let Some(field) = message.strip_prefix("duplicate field ") {
        format!("the field {field} occurs twice")
    } else if ["invalid type", "invalid value", "invalid length"].iter().any(|it| message.starts_with(it)) {
        "a value has not the type that it should have".to_owned()
    } else if message.starts_with("unknown variant") {
        "a word is not one of those that may stand there".to_owned()
    } else if OF_CHRONO.iter().any(|it| message.starts_with(it)) {
        "a time is not of the form of RFC 3339".to_owned()
    } else if error.is_data() {
        // A type of this project refused the value.
        message.to_owned()
    } else {
        "a number is too large for this program".to_owned()
    };
    // A missing field has no position.
    let place = match (error.line(), error.column()) {
        (0, _) => String::new(),
        (line, column) => format!("line {line}, column {column}: "),
    };
    FormatError::Malformed { expected: kind.tag(), reason: format!("{place}{what}") }
}

/// The beginnings of chrono's error messages for a time.
const OF_CHRONO: [&str; 6] = [
    "input contains invalid",
    "input is not enough",
    "input is out of range",
    "no possible date",
    "premature end of input",
    "trailing input",
];

/// Encodes one line, with its line feed.
pub(crate) fn encode_line(value: &impl Serialize) -> Result<Vec<u8>, FormatError> {
    let mut line = serde_json::to_vec(value).map_err(unwritable)?;
    line.push(b'\n');
    Ok(line)
}

/// Encodes one line that ends with a checksum, with its line feed.
pub(crate) fn encode_sealed_line(value: &impl Serialize) -> Result<Vec<u8>, FormatError> {
    let mut line = seal(&SHA256, serde_json::to_vec(value).map_err(unwritable)?);
    line.push(b'\n');
    Ok(line)
}

/// Encodes JSON that people read and edit.
pub(crate) fn encode_pretty(value: &impl Serialize) -> Result<Vec<u8>, FormatError> {
    encode_pretty_into(Vec::new(), value)
}

/// The same, appended to `text`.
pub(crate) fn encode_pretty_into(mut text: Vec<u8>, value: &impl Serialize) -> Result<Vec<u8>, FormatError> {
    serde_json::to_writer_pretty(&mut text, value).map_err(unwritable)?;
    text.push(b'\n');
    Ok(text)
}

/// Unreachable in practice: every value that is encoded here can be expressed in JSON.
fn unwritable(_: serde_json::Error) -> FormatError {
    FormatError::Malformed { expected: "JSON".to_owned(), reason: "it cannot be written".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> FormatError {
        decode::<serde_json::Value>(Kind::HEAD, text.as_bytes()).unwrap_err()
    }

    #[test]
    fn format_is_checked_first() {
        assert!(decode::<serde_json::Value>(Kind::HEAD, br#"{"format":"pflow-head/1","x":1}"#).is_ok());
        assert!(matches!(refusal(r#"{"format":"pflow-head/2"}"#), FormatError::TooNew { .. }));
        assert!(matches!(refusal(r#"{"format":"pflow-header/1"}"#), FormatError::OtherKind { .. }));
        assert!(matches!(refusal(r#"{"format":"pflow-head/x"}"#), FormatError::OtherKind { .. }));
        assert!(matches!(refusal("{}"), FormatError::OtherKind { .. }));
        assert!(matches!(refusal(r#"{"format":"pflow-head/01"}"#), FormatError::OtherKind { .. }));
        assert!(matches!(refusal(r#"{"format":"pflow-head/+1"}"#), FormatError::OtherKind { .. }));
        assert!(matches!(refusal(r#"{"format":"#), FormatError::NotJson { .. }));
        assert!(matches!(refusal("[]"), FormatError::OtherKind { .. }));
        assert!(matches!(refusal(r#"{"format":7}"#), FormatError::OtherKind { .. }));
    }

    #[test]
    fn parse_errors_are_reworded_and_name_the_position() {
        #[derive(Debug, Deserialize)]
        #[allow(dead_code, reason = "read for its refusals alone")]
        struct Fields {
            n: u32,
            at: chrono::DateTime<chrono::Utc>,
            kind: crate::document::MediaType,
        }
        for (text, expected) in [
            ("{\"format\":", "line 1, column 11: the document is truncated, it ends in the middle"),
            ("\u{feff}{}", "the document begins with a UTF-8 byte order mark; save it as UTF-8 without one"),
            ("\0\0", "line 1, column 1: the document is 2 zero bytes"),
            (r#"{"format":"pflow-head/1"}"#, "line 1, column 25: the field `n` is missing"),
            (
                r#"{"format":"pflow-head/1","n":"x"}"#,
                "column 32: a value has not the type that it should have",
            ),
            (r#"{"format":"pflow-head/1","n":1,"n":2}"#, "the field `n` occurs twice"),
            (r#"{"format":"pflow-head/1","n":1,"at":"x"}"#, "a time is not of the form of RFC 3339"),
            (r#"{"format":"pflow-head/1","n":1e400}"#, "a number is too large for this program"),
        ] {
            let refused = decode::<Fields>(Kind::HEAD, text.as_bytes()).unwrap_err().to_string();
            assert!(refused.contains(expected), "{text}: {refused}");
        }
    }
}
