//! The tree of a YAML document.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};

/// A value of a YAML document.
#[derive(Debug, Clone, PartialEq)]
pub enum YamlValue {
    /// Null.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer: decimal digits without leading zeros, after a `-` if it is negative.
    Int(String),
    /// A floating point number.
    Float(f64),
    /// A text.
    Text(String),
    /// A date or a time, in ISO 8601 form.
    Timestamp(String),
    /// A list.
    List(Vec<YamlValue>),
    /// A map.
    Map(YamlMap),
}

impl YamlValue {
    /// Returns the text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            YamlValue::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the value as JSON. Integers beyond 64 bits, numbers that are not finite, and timestamps become
    /// text. Keys that are no text become their JSON text.
    pub fn to_json(&self) -> Value {
        match self {
            YamlValue::Null => Value::Null,
            YamlValue::Bool(value) => Value::Bool(*value),
            YamlValue::Int(digits) => integer_to_json(digits),
            YamlValue::Float(value) => Number::from_f64(*value)
                .map_or_else(|| Value::String(not_finite(*value).to_owned()), Value::Number),
            YamlValue::Text(text) | YamlValue::Timestamp(text) => Value::String(text.clone()),
            YamlValue::List(values) => values.iter().map(YamlValue::to_json).collect(),
            YamlValue::Map(map) => Value::Object(map.to_json()),
        }
    }

    /// The number of values in the tree times 64, plus the bytes of its texts; and its depth.
    pub(super) fn weight(&self) -> usize {
        let within = match self {
            YamlValue::Null | YamlValue::Bool(_) | YamlValue::Float(_) => 0,
            YamlValue::Int(text) | YamlValue::Text(text) | YamlValue::Timestamp(text) => text.len(),
            YamlValue::List(values) => values.iter().map(YamlValue::weight).sum(),
            YamlValue::Map(map) => map.iter().map(|(key, value)| key.weight() + value.weight()).sum(),
        };
        64 + within
    }

    pub(super) fn depth(&self) -> usize {
        let within = match self {
            YamlValue::List(values) => values.iter().map(YamlValue::depth).max(),
            YamlValue::Map(map) => map.iter().map(|(_, value)| value.depth()).max(),
            _ => None,
        };
        1 + within.unwrap_or(0)
    }

    /// Rewrites all texts, keys included.
    pub(in crate::document) fn map_texts(self, rewrite: &dyn Fn(String) -> String) -> YamlValue {
        match self {
            YamlValue::Text(text) => YamlValue::Text(rewrite(text)),
            YamlValue::List(values) => {
                YamlValue::List(values.into_iter().map(|value| value.map_texts(rewrite)).collect())
            }
            YamlValue::Map(map) => YamlValue::Map(
                map.into_entries()
                    .map(|(key, value)| (key.map_texts(rewrite), value.map_texts(rewrite)))
                    .collect(),
            ),
            other => other,
        }
    }
}

fn integer_to_json(digits: &str) -> Value {
    match (digits.parse::<i64>(), digits.parse::<u64>()) {
        (Ok(value), _) => Value::Number(value.into()),
        (_, Ok(value)) => Value::Number(value.into()),
        _ => Value::String(digits.to_owned()),
    }
}

/// The name of a number that is not finite, as Python writes it.
pub(super) fn not_finite(value: f64) -> &'static str {
    match value {
        value if value.is_nan() => "nan",
        value if value < 0.0 => "-inf",
        _ => "inf",
    }
}

/// A map of a YAML document. Its entries are in the order in which their keys first occur.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct YamlMap {
    entries: Vec<(YamlValue, YamlValue)>,
    /// The index of each key's entry, by [`key_form`]; empty while the map is [`SMALL`].
    index: BTreeMap<String, usize>,
}

/// Up to this number of entries a map is searched without an index.
const SMALL: usize = 8;

impl YamlMap {
    /// Returns the value of a text key.
    pub fn get(&self, key: &str) -> Option<&YamlValue> {
        if self.entries.len() <= SMALL {
            return self.iter().find(|(name, _)| name.as_text() == Some(key)).map(|(_, value)| value);
        }
        let at = self.index.get(&text_key_form(key))?;
        self.entries.get(*at).map(|(_, value)| value)
    }

    /// Returns whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns the entries in order.
    pub fn iter(&self) -> impl Iterator<Item = (&YamlValue, &YamlValue)> {
        self.entries.iter().map(|(key, value)| (key, value))
    }

    /// Returns the map as a JSON object, see [`YamlValue::to_json`].
    pub fn to_json(&self) -> Map<String, Value> {
        self.iter().map(|(key, value)| (json_key(key), value.to_json())).collect()
    }

    /// Inserts an entry. An equal key keeps its place and its form, and gets the new value.
    pub(in crate::document) fn insert(&mut self, key: YamlValue, value: YamlValue) {
        let at = if self.entries.len() <= SMALL {
            self.entries.iter().position(|(other, _)| are_equal(other, &key))
        } else {
            self.index.get(&key_form(&key)).copied()
        };
        if let Some((_, old)) = at.and_then(|at| self.entries.get_mut(at)) {
            *old = value;
            return;
        }
        self.entries.push((key, value));
        if self.entries.len() > SMALL {
            let first = self.index.len();
            let new = self.entries.iter().enumerate().skip(first);
            self.index.extend(new.map(|(at, (key, _))| (key_form(key), at)));
        }
    }

    pub(in crate::document) fn into_entries(self) -> impl Iterator<Item = (YamlValue, YamlValue)> {
        self.entries.into_iter()
    }
}

impl FromIterator<(YamlValue, YamlValue)> for YamlMap {
    fn from_iter<I: IntoIterator<Item = (YamlValue, YamlValue)>>(entries: I) -> YamlMap {
        let mut map = YamlMap::default();
        for (key, value) in entries {
            map.insert(key, value);
        }
        map
    }
}

fn json_key(key: &YamlValue) -> String {
    match key.to_json() {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn text_key_form(text: &str) -> String {
    format!("t{text}")
}

fn are_equal(one: &YamlValue, other: &YamlValue) -> bool {
    match (one, other) {
        (YamlValue::Text(one), YamlValue::Text(other)) => one == other,
        (YamlValue::Text(_), _) | (_, YamlValue::Text(_)) => false,
        _ => key_form(one) == key_form(other),
    }
}

/// A text that is equal for keys that are equal in Python: `1`, `1.0` and `true` are.
fn key_form(key: &YamlValue) -> String {
    match key {
        YamlValue::Null => "n".to_owned(),
        YamlValue::Bool(value) => format!("i{}", u8::from(*value)),
        YamlValue::Int(digits) => format!("i{digits}"),
        YamlValue::Float(value) if value.fract() == 0.0 && value.abs() < 1e300 => {
            format!("i{:.0}", value + 0.0)
        }
        YamlValue::Float(value) => format!("f{value:?}"),
        YamlValue::Text(text) => text_key_form(text),
        YamlValue::Timestamp(text) => format!("d{text}"),
        // The composer refuses these as keys.
        YamlValue::List(_) | YamlValue::Map(_) => "c".to_owned(),
    }
}
