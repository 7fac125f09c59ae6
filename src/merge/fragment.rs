//! A value within a document.

use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::{cursor::Cursor, text};

/// How many characters of a value are shown.
const SHOWN_CHARS: usize = 160;

/// A JSON value within a document: its text without white space, numbers with all their digits and strings
/// spelled as they were.
///
/// Shown, it is cut to a length fit for a message, and what a terminal might obey is escaped. Serialized, it
/// is [`to_value`](Self::to_value), a number no more exact than serde_json is built for.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Fragment(Box<str>);

impl Fragment {
    /// The value that stands in a document as `text`.
    pub(super) fn of(text: &str) -> Self {
        Self(text::compact(text).into())
    }

    /// The value that serde_json writes for a string, or for a list of strings.
    pub(super) fn written(value: &Value) -> Self {
        Self(value.to_string().into())
    }

    /// The whole value as JSON text.
    pub fn as_json(&self) -> &str {
        &self.0
    }

    /// The value in serde_json's form. A number that this form has no room for, such as `1e400`, is a string
    /// of its digits.
    pub fn to_value(&self) -> Value {
        value_of(&mut Cursor::new(&self.0))
    }
}

impl Serialize for Fragment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_value().serialize(serializer)
    }
}

/// Reads the next value. A document has been checked by now, its depth too.
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
        let value = fragment.to_value();
        assert_eq!(value["\u{e9}\""], serde_json::json!([]));
    }

    #[test]
    fn a_number_that_no_form_holds_is_given_as_its_digits() {
        let value = Fragment::of(r#"{"a":[1e400,-2,null,true,"\u00e9"],"b":{}}"#).to_value();
        assert_eq!(value["a"][0].as_f64(), None);
        assert_eq!(value["a"][1], -2);
        assert_eq!(value["a"][4], "é");
        assert!(value["a"][2].is_null() && value["a"][3] == true && value["b"].is_object());
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
