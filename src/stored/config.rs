use bytes::Bytes;
use chrono::{DateTime, Utc};
use pflow_backend::probe::VERSION;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{FormatError, Kind, decode, encode_pretty};

/// The features that this program understands. None yet: a store of the first format needs none.
const KNOWN: [&str; 0] = [];

/// How many places are remembered: the names under which one bucket is reached from here and there.
const MOST_PLACES: usize = 8;

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
    /// Places where this store was found to be safe, the newest last. None on a disk and in memory, which have no place of a server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub probed: Vec<Probed>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

/// A place that was probed and found to keep what a store stands on.
///
/// It holds for that place alone: a copy of the store elsewhere is probed there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probed {
    /// The place, as [`StorageBackend::place`](pflow_backend::StorageBackend::place) named it.
    pub place: String,
    /// Which probe it was, [`VERSION`] of its time. An older one than ours is made again.
    pub probe: u32,
    /// When, by the clock of whoever did.
    pub at: DateTime<Utc>,
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
        let (features, settings, probed, extra) = Default::default();
        Self { format: Kind::STORE.tag(), store_id, created, features, settings, probed, extra }
    }

    pub(crate) fn encode(&self) -> Result<Bytes, FormatError> {
        encode_pretty(self).map(Bytes::from)
    }

    /// Whether the place was found safe by a probe that looks at no less than ours.
    pub(crate) fn is_probed(&self, place: &str) -> bool {
        self.probed.iter().any(|probed| probed.place == place && probed.probe >= VERSION)
    }

    /// Notes that the place is safe, in place of what was noted of it before.
    pub(crate) fn remember_probe(&mut self, place: &str, at: DateTime<Utc>) {
        self.forget_probe(place);
        let extra = Map::default();
        self.probed.push(Probed { place: place.to_owned(), probe: VERSION, at, extra });
        // A store that is reached by ever new names would grow its config for ever.
        let old = self.probed.len().saturating_sub(MOST_PLACES);
        self.probed.drain(..old);
    }

    /// Strikes out what was noted of the place.
    pub(crate) fn forget_probe(&mut self, place: &str) {
        self.probed.retain(|probed| probed.place != place);
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
    fn a_probe_holds_for_its_place_until_a_better_one_comes() {
        let mut config = Config::new("s".to_owned(), DateTime::UNIX_EPOCH);
        let fields: Value = serde_json::from_slice(&config.encode().unwrap()).unwrap();
        assert!(fields.get("probed").is_none(), "a disk's config says nothing of it");
        for number in 0..20 {
            config.remember_probe(&format!("s3://{number}"), DateTime::UNIX_EPOCH);
        }
        let mut config = Config::decode(&config.encode().unwrap()).unwrap();
        assert_eq!(config.probed.len(), MOST_PLACES);
        assert!(config.is_probed("s3://19") && config.is_probed("s3://12") && !config.is_probed("s3://11"));
        config.probed.iter_mut().for_each(|probed| probed.probe = VERSION - 1);
        assert!(!config.is_probed("s3://19"), "an old probe looked at less");
        config.remember_probe("s3://19", DateTime::UNIX_EPOCH);
        assert!(config.is_probed("s3://19") && config.probed.len() == MOST_PLACES);
        config.forget_probe("s3://19");
        assert!(!config.is_probed("s3://19"));
    }

    #[test]
    fn the_config_of_another_program_is_not_ours() {
        for text in ["{}", r#"{"version": "1.0"}"#, "[]", ""] {
            assert!(Config::decode(text.as_bytes()).is_err(), "{text:?}");
        }
    }
}
