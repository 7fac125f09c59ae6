use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// What a stored JSON document is: its `format` reads `<name>/<version>`.
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

    const fn first(name: &'static str) -> Self {
        Self { name, version: 1 }
    }

    pub(crate) fn tag(self) -> String {
        format!("{}/{}", self.name, self.version)
    }
}

/// Why stored bytes are not what they should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// Not JSON, or cut off.
    #[error("not JSON, where a document of the form {expected} was expected")]
    NotJson {
        /// The `format` that was expected.
        expected: String,
        /// Where and why.
        source: serde_json::Error,
    },
    /// Not of the form that this kind of document has.
    #[error("not a document of the form {expected}")]
    Malformed {
        /// The `format` that was expected.
        expected: String,
        /// Where and why.
        source: serde_json::Error,
    },
    /// JSON, but of another kind, or without a `format`.
    #[error("the format is {found:?}, expected {expected:?}")]
    OtherKind {
        /// The `format` that was expected.
        expected: String,
        /// The one that stands there.
        found: String,
    },
    /// A later program wrote it.
    #[error("the format is {found}, this program knows up to {known}: use a newer pflow-store")]
    TooNew {
        /// The `format` that stands there.
        found: String,
        /// The newest that is known here.
        known: String,
    },
    /// The content is in a format that a later program added.
    #[error("the media type is {found}, this program knows {known}: use a newer pflow-store")]
    UnknownMediaType {
        /// The one that stands there.
        found: String,
        /// Those that are known here.
        known: String,
    },
    /// The fields contradict each other, or what they should describe.
    #[error("{0}")]
    Contradiction(String),
}

impl FormatError {
    /// Whether a newer program wrote this. It is no damage, and must not be taken for lost.
    pub fn is_newer(&self) -> bool {
        matches!(self, Self::TooNew { .. } | Self::UnknownMediaType { .. })
    }
}

#[derive(Deserialize)]
struct Tag {
    #[serde(default)]
    format: String,
}

/// Checks the `format` before anything else is looked at: a newer document may have any other fields.
pub(crate) fn decode<T: DeserializeOwned>(kind: Kind, bytes: &[u8]) -> Result<T, FormatError> {
    let malformed = |source| FormatError::Malformed { expected: kind.tag(), source };
    let not_json = |source| FormatError::NotJson { expected: kind.tag(), source };
    let Tag { format } = serde_json::from_slice(bytes).map_err(not_json)?;
    let version = format.strip_prefix(kind.name).and_then(|rest| rest.strip_prefix('/'));
    let plain = |digits: &&str| digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    match version.filter(plain).and_then(|digits| digits.parse::<u32>().ok()) {
        Some(version) if version > kind.version => {
            Err(FormatError::TooNew { found: format, known: kind.tag() })
        }
        Some(_) => serde_json::from_slice(bytes).map_err(malformed),
        None => Err(FormatError::OtherKind { expected: kind.tag(), found: format }),
    }
}

/// One line, with its end.
pub(crate) fn encode_line(value: &impl Serialize) -> Result<Vec<u8>, FormatError> {
    let mut line = serde_json::to_vec(value).map_err(unwritable)?;
    line.push(b'\n');
    Ok(line)
}

/// For what people read and edit.
pub(crate) fn encode_pretty(value: &impl Serialize) -> Result<Vec<u8>, FormatError> {
    encode_pretty_into(Vec::new(), value)
}

/// The same behind what is there, in the room that there is.
pub(crate) fn encode_pretty_into(mut text: Vec<u8>, value: &impl Serialize) -> Result<Vec<u8>, FormatError> {
    serde_json::to_writer_pretty(&mut text, value).map_err(unwritable)?;
    text.push(b'\n');
    Ok(text)
}

fn unwritable(source: serde_json::Error) -> FormatError {
    FormatError::Malformed { expected: "JSON".to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> FormatError {
        decode::<serde_json::Value>(Kind::HEAD, text.as_bytes()).unwrap_err()
    }

    #[test]
    fn the_format_is_judged_first() {
        assert!(decode::<serde_json::Value>(Kind::HEAD, br#"{"format":"pflow-head/1","x":1}"#).is_ok());
        assert!(matches!(refusal(r#"{"format":"pflow-head/2"}"#), FormatError::TooNew { .. }));
        assert!(matches!(refusal(r#"{"format":"pflow-header/1"}"#), FormatError::OtherKind { .. }));
        assert!(matches!(refusal(r#"{"format":"pflow-head/x"}"#), FormatError::OtherKind { .. }));
        assert!(matches!(refusal("{}"), FormatError::OtherKind { .. }));
        assert!(matches!(refusal(r#"{"format":"pflow-head/01"}"#), FormatError::OtherKind { .. }));
        assert!(matches!(refusal(r#"{"format":"pflow-head/+1"}"#), FormatError::OtherKind { .. }));
        assert!(matches!(refusal(r#"{"format":"#), FormatError::NotJson { .. }));
        assert!(matches!(refusal("[]"), FormatError::OtherKind { .. }));
    }
}
