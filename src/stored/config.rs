use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{FormatError, Kind, decode, encode_pretty};

/// The features that this program understands. None yet: a store of the first format needs none.
const KNOWN: [&str; 0] = [];

/// `config.json`: what makes a folder or a bucket prefix a store of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    format: String,
    /// Names this store for ever; copies that were made on purpose get one of their own.
    pub store_id: String,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// What a program must understand to work here.
    pub features: Features,
    /// Options that go with the store.
    pub settings: Map<String, Value>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

/// The gate: names of capabilities beyond the format. Whoever does not know one of them stays out instead of doing damage.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Features {
    /// What a reader must know.
    pub read: Vec<String>,
    /// What a writer must know as well.
    pub write: Vec<String>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

impl Config {
    pub(crate) fn new(store_id: String, created: DateTime<Utc>) -> Self {
        let (features, settings, extra) = Default::default();
        Self { format: Kind::STORE.tag(), store_id, created, features, settings, extra }
    }

    pub(crate) fn encode(&self) -> Result<Bytes, FormatError> {
        encode_pretty(self).map(Bytes::from)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        decode(Kind::STORE, bytes)
    }
}

impl Features {
    /// The features that a reader would need and this program does not know.
    pub(crate) fn unknown_to_readers(&self) -> Vec<String> {
        unknown(self.read.iter())
    }

    /// The features that a writer, who reads as well, would need and this program does not know.
    pub(crate) fn unknown_to_writers(&self) -> Vec<String> {
        unknown(self.read.iter().chain(&self.write))
    }
}

fn unknown<'a>(needed: impl Iterator<Item = &'a String>) -> Vec<String> {
    needed.filter(|name| !KNOWN.contains(&name.as_str())).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_names_what_is_not_known() {
        let text = r#"{"format":"pflow-store/1","store_id":"s","created":"2024-01-15T10:30:00Z","settings":{},
            "features":{"read":["encryption"],"write":["shards"],"later":1},"also_later":2}"#;
        let config = Config::decode(text.as_bytes()).unwrap();
        assert_eq!(config.features.unknown_to_readers(), ["encryption"]);
        assert_eq!(config.features.unknown_to_writers(), ["encryption", "shards"]);
        let again: Value = serde_json::from_slice(&config.encode().unwrap()).unwrap();
        assert_eq!(again, serde_json::from_str::<Value>(text).unwrap(), "unknown fields survive");
    }

    #[test]
    fn the_config_of_another_program_is_not_ours() {
        for text in ["{}", r#"{"version": "1.0"}"#, "[]", ""] {
            assert!(Config::decode(text.as_bytes()).is_err(), "{text:?}");
        }
    }
}
