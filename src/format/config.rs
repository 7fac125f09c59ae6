use bytes::Bytes;
use chrono::{DateTime, Utc};
use pflow_backend::probe::VERSION;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{FormatError, Kind, VersionId, check_tag, decode, encode_line, encode_pretty};
use crate::document::ContentHash;

/// The features that this program knows. None yet: a store of the first format needs none.
const KNOWN: [&str; 0] = [];

/// How many places are remembered, since one bucket may be reached under several names.
const MOST_PLACES: usize = 8;

/// `config.json`: marks a folder or a bucket prefix as a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    format: String,
    /// The permanent id of this store. A deliberate copy gets an id of its own.
    pub store_id: String,
    /// When the store was created.
    pub created: DateTime<Utc>,
    /// The features that a program must know to use this store.
    pub features: Features,
    /// Options that belong to the store.
    pub settings: Map<String, Value>,
    /// Places where this store was probed and found safe, the newest last. Empty on a disk and in memory,
    /// which have no server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub probed: Vec<Probed>,
    /// Different after each change, so that an old state never comes back with the same bytes. None until the
    /// first change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) nonce: Option<String>,
    /// The checksum of everything above except the nonce and the settings, which people edit; see [`Config::checksum_now`].
    #[serde(default)]
    checksum: Option<ContentHash>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

/// A place that was probed and keeps the guarantees that a store relies on.
///
/// It is valid for that place only: a copy of the store elsewhere is probed there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Probed {
    /// The place, as [`StorageBackend::endpoint`](pflow_backend::StorageBackend::endpoint) names it.
    pub place: String,
    /// The number of the probe, [`VERSION`] at that time. An older probe than the present one is repeated.
    pub probe: u32,
    /// When, by the clock of the process that probed.
    pub at: DateTime<Utc>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

/// The gate: names of capabilities beyond the format. A program that does not know one of them must not use
/// the store, instead of damaging it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
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
        let format = Kind::STORE.tag();
        Self { format, store_id, created, features, settings, probed, nonce: None, checksum: None, extra }
    }

    pub(crate) fn encode(&self) -> Result<Bytes, FormatError> {
        encode_pretty(&Self { checksum: Some(self.checksum_now()?), ..self.clone() }).map(Bytes::from)
    }

    /// The hash of the fields that people do not edit, as one line of JSON: `[format, store id, created,
    /// [feature…], [feature…], [[place, probe, at]…]]`. It covers the values and not the text, so that the
    /// text may be formatted freely. Fields that a later program added are not covered; that program must
    /// protect them.
    fn checksum_now(&self) -> Result<ContentHash, FormatError> {
        let probed: Vec<_> = self.probed.iter().map(|it| (&it.place, it.probe, it.at)).collect();
        let Features { read, write, .. } = &self.features;
        let line = encode_line(&(&self.format, &self.store_id, self.created, read, write, probed))?;
        Ok(ContentHash::of(line.strip_suffix(b"\n").unwrap_or(&line)))
    }

    /// Whether the place was found safe by a probe that tests at least as much as the present one.
    pub(crate) fn is_probed(&self, place: &str) -> bool {
        self.probed.iter().any(|probed| probed.place == place && probed.probe >= VERSION)
    }

    /// Records that the place is safe, and replaces its earlier record.
    pub(crate) fn remember_probe(&mut self, place: &str, at: DateTime<Utc>) {
        self.forget_probe(place);
        let extra = Map::default();
        self.probed.push(Probed { place: place.to_owned(), probe: VERSION, at, extra });
        // Bounds the list: a store that is reached under ever new names would otherwise grow its config
        // without limit.
        let old = self.probed.len().saturating_sub(MOST_PLACES);
        self.probed.drain(..old);
    }

    /// Removes the record of the place.
    pub(crate) fn forget_probe(&mut self, place: &str) {
        self.probed.retain(|probed| probed.place != place);
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let config: Self = decode(Kind::STORE, bytes)?;
        match config.checksum {
            None => Err(FormatError::NoChecksum),
            Some(checksum) if checksum == config.checksum_now()? => Ok(Self { checksum: None, ..config }),
            Some(_) => Err(FormatError::Checksum),
        }
    }
}

/// A config that was rebuilt from a damaged one.
#[derive(Debug)]
pub(crate) struct Salvaged {
    pub(crate) config: Config,
    /// The fields that were rebuilt, each with what happened to it.
    pub(crate) rebuilt: Vec<String>,
}

impl Config {
    /// Builds a config from what can be read in `bytes`, and takes the rest from `new`, a config for a new
    /// store.
    ///
    /// If only the checksum did not match, the values that were read may still be wrong; the result says so.
    /// Records of probes are dropped: the next writer that needs one probes again.
    ///
    /// # Errors
    /// The text names a newer format: a config of this program would open the store to programs that do not
    /// know that format.
    pub(crate) fn salvage(bytes: &[u8], new: Self) -> Result<Salvaged, FormatError> {
        let text = String::from_utf8_lossy(bytes);
        let text = text.trim_start_matches('\u{feff}');
        let fields: Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
        let mut rebuilt = Vec::new();
        let string = |key: &str| match fields.get(key) {
            Some(value) => value.as_str().map(str::to_owned),
            None => string_after(text, key),
        };
        // Any format other than a newer one counts as damage.
        let told = string("format").map(|format| check_tag(Kind::STORE, format));
        if let Some(Err(newer)) = told
            && newer.is_newer()
        {
            return Err(newer);
        }
        let mut config = new;
        match string("store_id").filter(|id| VersionId::parse(id.as_str()).is_ok()) {
            Some(store_id) => config.store_id = store_id,
            None => rebuilt.push(format!("store_id: not readable, a new one: {}", config.store_id)),
        }
        match string("created").and_then(|at| DateTime::parse_from_rfc3339(&at).ok()) {
            Some(created) => config.created = created.to_utc(),
            None => rebuilt.push("created: not readable, set to now".to_owned()),
        }
        match fields.get("features").and_then(|features| serde_json::from_value(features.clone()).ok()) {
            Some(features) => config.features = features,
            None => rebuilt.push(
                "features: not readable, set to none; if a newer pflow-store wrote here, use that one"
                    .to_owned(),
            ),
        }
        match fields.get("settings").and_then(Value::as_object) {
            Some(settings) => config.settings = settings.clone(),
            None => rebuilt.push("settings: not readable, set to none".to_owned()),
        }
        let known = ["format", "store_id", "created", "features", "settings", "probed", "checksum"];
        config.extra = fields.into_iter().filter(|(key, _)| !known.contains(&key.as_str())).collect();
        if rebuilt.is_empty() {
            rebuilt.push(
                "checksum: it did not fit; check store_id, created and features in config.json".to_owned(),
            );
        }
        Ok(Salvaged { config, rebuilt })
    }
}

/// Returns the string that follows `"key":` in a text that need not be valid JSON.
fn string_after(text: &str, key: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("\"{key}\""))?;
    let rest = rest.trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?;
    rest.split_once('"').map(|(value, _)| value.to_owned())
}

impl Features {
    /// The features that a reader needs and this program does not know.
    pub(crate) fn unknown_to_readers(&self) -> Vec<String> {
        unknown(self.read.iter())
    }

    /// The features that a writer, which also reads, needs and this program does not know.
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
    fn gate_names_unknown_features_and_keeps_unknown_fields() {
        let text = r#"{"format":"pflow-store/1","store_id":"s","created":"2024-01-15T10:30:00Z","settings":{},
            "features":{"read":["encryption"],"write":["shards"],"later":1},"also_later":2,
            "checksum":"CHECKSUM"}"#;
        let covered = r#"["pflow-store/1","s","2024-01-15T10:30:00Z",["encryption"],["shards"],[]]"#;
        let text = &text.replace("CHECKSUM", &ContentHash::of(covered.as_bytes()).to_string());
        let config = Config::decode(text.as_bytes()).unwrap();
        assert_eq!(config.features.unknown_to_readers(), ["encryption"]);
        assert_eq!(config.features.unknown_to_writers(), ["encryption", "shards"]);
        let again: Value = serde_json::from_slice(&config.encode().unwrap()).unwrap();
        assert_eq!(again, serde_json::from_str::<Value>(text).unwrap(), "unknown fields survive");
    }

    #[test]
    fn salvage_keeps_the_readable_part_of_a_damaged_config() {
        let (now, other) = (DateTime::UNIX_EPOCH, "1".repeat(26));
        let mut config = Config::new("0".repeat(26), now + chrono::Duration::days(9));
        config.settings.insert("on_conflict".to_owned(), "merge".into());
        let text = String::from_utf8(config.encode().unwrap().to_vec()).unwrap();
        let salvage = |text: &str| Config::salvage(text.as_bytes(), Config::new(other.clone(), now)).unwrap();
        let marked = salvage(&format!("\u{feff}{text}"));
        assert_eq!(marked.config, config, "{:?}", marked.rebuilt);
        let cut = salvage(text.split_once("features").unwrap().0);
        assert_eq!((&cut.config.store_id, cut.config.created), (&config.store_id, config.created));
        assert_eq!(cut.rebuilt.len(), 2, "{:?}", cut.rebuilt);
        let zeros = salvage("\0\0\0");
        assert_eq!((&zeros.config.store_id, zeros.rebuilt.len()), (&other, 4));
    }

    #[test]
    fn a_damaged_config_of_a_newer_program_is_not_replaced() {
        let new = || Config::new("0".repeat(26), DateTime::UNIX_EPOCH);
        let text = String::from_utf8(new().encode().unwrap().to_vec()).unwrap();
        let newer = text.replace("pflow-store/1", "pflow-store/2");
        for damaged in [newer.as_str(), newer.split_once("features").unwrap().0] {
            let refused = Config::salvage(damaged.as_bytes(), new());
            assert!(matches!(refused, Err(FormatError::TooNew { .. })), "{refused:?}");
        }
        assert!(Config::salvage(text.replace("pflow-store/1", "pflow-").as_bytes(), new()).is_ok());
    }

    #[test]
    fn probe_record_holds_for_its_place_until_replaced() {
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
    fn config_of_another_program_is_refused() {
        for text in ["{}", r#"{"version": "1.0"}"#, "[]", ""] {
            assert!(Config::decode(text.as_bytes()).is_err(), "{text:?}");
        }
    }
}
