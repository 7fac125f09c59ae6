//! Reads JSON in one pass, checks what must hold everywhere, and hands the rest to the checks.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

use super::check::Check;
use super::error::{DocumentError, Reason};
use super::outline::{Data, Level, Role, Value};
use super::place::Place;
use super::syntax;

/// How serde_json hands over a number when its feature `arbitrary_precision` is on, which any crate in an
/// embedder's build may cause: as a map of this one key. Without the feature this is a key like any other
/// that nobody uses.
const NUMBER_TOKEN: &str = "$serde_json::private::Number";

/// Reads `text` and returns its root; nodes, edges and tags have gone to `check` on the way.
///
/// # Errors
///
/// `Syntax` or `TooDeep`. Duplicate keys are among the defects that `check` holds.
pub(super) fn read<'de>(
    text: &'de str,
    max_depth: usize,
    check: &mut Check<'de>,
) -> Result<Value<'de>, DocumentError> {
    let mut json = serde_json::Deserializer::from_str(text);
    // The depth is counted here, so that the refusal names the place.
    json.disable_recursion_limit();
    let mut pass = Pass { check, max_depth, values: 0, too_deep: None };
    let reader = Reader { pass: &mut pass, place: &Place::Root, role: Role::Level(Level::Top), depth: 1 };
    let root = reader.deserialize(&mut json).and_then(|root| json.end().map(|()| root));
    match (pass.too_deep, root) {
        (Some(place), _) => Err(DocumentError::TooDeep { place, limit: max_depth }),
        (None, Ok(root)) => Ok(root),
        (None, Err(error)) => Err(syntax::explain(text, &error)),
    }
}

/// What the readers of all values share.
struct Pass<'c, 'de> {
    check: &'c mut Check<'de>,
    max_depth: usize,
    /// Values begun so far.
    values: u64,
    /// Set where reading was broken off.
    too_deep: Option<String>,
}

/// Reads one value and all within it.
struct Reader<'r, 'c, 'de> {
    pass: &'r mut Pass<'c, 'de>,
    place: &'r Place<'r>,
    role: Role,
    /// The level of the value if it is an array or object.
    depth: usize,
}

impl<'de> Reader<'_, '_, 'de> {
    fn value(self, data: Data<'de>) -> Value<'de> {
        Value { ordinal: self.pass.values, data }
    }

    fn number<E>(self, number: impl Into<Number>) -> Result<Value<'de>, E> {
        Ok(self.value(Data::Number(number.into())))
    }

    fn enter<E: serde::de::Error>(&mut self) -> Result<(), E> {
        if self.depth <= self.pass.max_depth {
            return Ok(());
        }
        self.pass.too_deep = Some(self.place.to_string());
        Err(E::custom("too deep"))
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_, '_, 'de> {
    type Value = Value<'de>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        self.pass.values += 1;
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_, '_, 'de> {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(self.value(Data::Null))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(self.value(Data::Bool))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        self.number(number)
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        self.number(number)
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Self::Value, E> {
        self.number(Number::from_f64(number).ok_or_else(|| E::custom("number out of range"))?)
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        let text = if self.role == Role::Other { "" } else { text };
        Ok(self.value(Data::Text(Cow::Borrowed(text))))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        let text = if self.role == Role::Other { String::new() } else { text.to_owned() };
        Ok(self.value(Data::Text(Cow::Owned(text))))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<Self::Value, A::Error> {
        self.enter()?;
        let ordinal = self.pass.values;
        let role = self.role.of_element();
        for index in 0.. {
            let place = self.place.index(index);
            let reader = Reader { pass: self.pass, place: &place, role, depth: self.depth + 1 };
            let Some(value) = elements.next_element_seed(reader)? else { break };
            self.pass.check.element(role, index, &value);
        }
        Ok(Value { ordinal, data: Data::Array })
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut fields: A) -> Result<Self::Value, A::Error> {
        let mut next = fields.next_key_seed(Key)?;
        if next.as_deref() == Some(NUMBER_TOKEN) {
            let digits: String = fields.next_value()?;
            let number: Number = digits.parse().map_err(A::Error::custom)?;
            // Refused without the feature, so refused with it: every build accepts the same documents.
            let Some(_) = number.as_f64() else { return Err(A::Error::custom("number out of range")) };
            return self.number(number);
        }
        self.enter()?;
        let ordinal = self.pass.values;
        let mut seen = HashSet::new();
        let mut kept = Vec::new();
        while let Some(key) = next {
            let place = self.place.key(&key);
            let fresh = seen.insert(key.clone());
            if !fresh {
                // The ordinal that the value is about to get.
                self.pass.check.defects.report(self.pass.values + 1, &place, Reason::DuplicateKey);
            }
            // A repeated value is not looked into: what it says besides is another document.
            let role = if fresh { self.role.of_field(&key) } else { Role::Other };
            let reader = Reader { pass: self.pass, place: &place, role, depth: self.depth + 1 };
            let value = fields.next_value_seed(reader)?;
            if role != Role::Other {
                kept.push((key, value));
            }
            next = fields.next_key_seed(Key)?;
        }
        Ok(Value { ordinal, data: Data::Object(kept) })
    }
}

/// Reads a key, borrowed from the document unless it has escapes.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}
