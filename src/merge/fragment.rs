//! A value in a document.

use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::json::{Cursor, text};

/// How many characters of a value are shown.
const SHOWN_CHARS: usize = 160;

/// A JSON value in a document: its text without white space, with all digits of numbers and the original
/// spelling of strings.
///
/// Displayed, it is cut to a length that fits into a message, with control characters of terminals escaped.
/// Serialized, it is [`to_value`](Self::to_value), in which a number is only as exact as the build of
/// serde_json allows.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Fragment(Box<str>);

impl Fragment {
    /// The value written as `text` in a document.
    pub(super) fn of(text: &str) -> Self {
        Self(text::compact(text).into())
    }

    /// The value of a string, or of a list of strings, as written by serde_json.
    pub(super) fn written(value: &Value) -> Self {
        Self(value.to_string().into())
    }

    /// The whole value as JSON text.
    pub fn as_json(&self) -> &str {
        &self.0
    }

    /// The value as a serde_json value. A number that serde_json cannot represent, such as `1e400`, becomes a
    /// string of its digits.
    pub fn to_value(&self) -> Value {
        value_of(&mut Cursor::new(&self.0))
    }
}

impl Serialize for Fragment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_value().serialize(serializer)
    }
}

/// Reads the next value. The document has been checked before, including its depth.
fn value_of(cursor: &mut Cursor<'_>) -> Value {
    match cursor.peek() {
        Some(b'{') => {
            let mut members = Map::new();
            cursor.eat(b'{');
            while cursor.peek().is_some_and(|next| next != b'}') {
                let key = text::unquoted(cursor.key()).into_owned();
                members.insert(key, value_of(cursor));
                if !cursor.eat(b',') {
                    break;
                }
            }
            cursor.eat(b'}');
            Value::Object(members)
        }
        Some(b'[') => {
            let mut elements = Vec::new();
            cursor.eat(b'[');
            while cursor.peek().is_some_and(|next| next != b']') {
                elements.push(value_of(cursor));
                if !cursor.eat(b',') {
                    break;
                }
            }
            cursor.eat(b']');
            Value::Array(elements)
        }
        Some(b'"') => Value::String(text::unquoted(cursor.value()).into_owned()),
        _ => match cursor.value() {
            "null" => Value::Null,
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            number => number.parse().map_or_else(|_| Value::String(number.to_owned()), Value::Number),
        },
    }
}

impl fmt::Display for Fragment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut chars = self.0.chars();
        for c in chars.by_ref().take(SHOWN_CHARS) {
            // Rust's definition of unprintable characters, which includes C1 controls and text direction
            // marks.
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
    fn fragment_keeps_digits_and_spelling() {
        let fragment = Fragment::of("{ \"a b\" :\n 100000000000000000001 , \"\\u00e9\\\"\": [ ] }");
        assert_eq!(fragment.as_json(), r#"{"a b":100000000000000000001,"\u00e9\"":[]}"#);
        let value = fragment.to_value();
        assert_eq!(value["\u{e9}\""], serde_json::json!([]));
    }

    #[test]
    fn unrepresentable_number_becomes_its_digits() {
        let value = Fragment::of(r#"{"a":[1e400,-2,null,true,"\u00e9"],"b":{}}"#).to_value();
        assert_eq!(value["a"][0].as_f64(), None);
        assert_eq!(value["a"][1], -2);
        assert_eq!(value["a"][4], "é");
        assert!(value["a"][2].is_null() && value["a"][3] == true && value["b"].is_object());
    }

    #[test]
    fn displayed_fragment_is_short_and_escaped() {
        assert_eq!(Fragment::of("\"it's \u{9b}2J \u{202e}\"").to_string(), r#""it's \u{9b}2J \u{202e}""#);
        assert_eq!(
            Fragment::of(&format!("\"{}\"", "x".repeat(10_000))).to_string().chars().count(),
            SHOWN_CHARS + 1
        );
    }
}
