//! A value within a document.

use std::fmt;

use serde::{Serialize, Serializer};

use super::text;

/// How many characters of a value are shown.
const SHOWN_CHARS: usize = 160;

/// A JSON value within a document: its text without white space, numbers with all their digits and strings spelled as they were.
///
/// Shown, it is cut to a length fit for a message, and what a terminal might obey is escaped. Serialized, it is the value itself, a
/// number no more exact than serde_json is built for.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Fragment(Box<str>);

impl Fragment {
    /// The value that stands in a document as `text`.
    pub(super) fn of(text: &str) -> Self {
        Self(text::compact(text).into())
    }

    /// The value that serde_json writes for a string, or for a list of strings.
    pub(super) fn written(value: &serde_json::Value) -> Self {
        Self(value.to_string().into())
    }

    /// The whole value as JSON text.
    pub fn as_json(&self) -> &str {
        &self.0
    }

    /// The value in serde_json's form.
    ///
    /// # Errors
    ///
    /// None is known: a document with a value that serde_json cannot read is refused.
    pub fn to_value(&self) -> serde_json::Result<serde_json::Value> {
        let mut json = serde_json::Deserializer::from_str(&self.0);
        // A document has its own limit.
        json.disable_recursion_limit();
        serde::Deserialize::deserialize(&mut json)
    }
}

impl Serialize for Fragment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_value().map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

impl fmt::Display for Fragment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut chars = self.0.chars();
        for c in chars.by_ref().take(SHOWN_CHARS) {
            // Rust's own idea of what cannot be printed, which covers C1 and the marks that turn text around.
            if c == '"' || c == '\\' || c == '\'' {
                write!(f, "{c}")?
            } else {
                write!(f, "{}", c.escape_debug())?
            }
        }
        if chars.next().is_some() { f.write_str("…") } else { Ok(()) }
    }
}

impl fmt::Debug for Fragment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fragment({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_keeps_its_digits_and_its_spelling() {
        let fragment = Fragment::of("{ \"a b\" :\n 100000000000000000001 , \"\\u00e9\\\"\": [ ] }");
        assert_eq!(fragment.as_json(), r#"{"a b":100000000000000000001,"\u00e9\"":[]}"#);
        let value = fragment.to_value().unwrap();
        assert_eq!(value["\u{e9}\""], serde_json::json!([]));
    }

    #[test]
    fn what_is_shown_is_short_and_harmless() {
        assert_eq!(Fragment::of("\"it's \u{9b}2J \u{202e}\"").to_string(), r#""it's \u{9b}2J \u{202e}""#);
        assert_eq!(
            Fragment::of(&format!("\"{}\"", "x".repeat(10_000))).to_string().chars().count(),
            SHOWN_CHARS + 1
        );
    }
}
