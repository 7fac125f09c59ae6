use bytes::Bytes;
use chrono::{DateTime, Utc};
use pflow_backend::probe::VERSION;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{FormatError, Kind, VersionId, check_tag, decode, encode_line, encode_pretty};
use crate::document::ContentHash;

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
    /// Places where this store was found to be safe, the newest last. None on a disk and in memory, which
    /// have no place of a server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub probed: Vec<Probed>,
    /// Of everything above but the settings, which people edit; see [`Config::checksum_now`].
    #[serde(default)]
    checksum: Option<ContentHash>,
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

/// The gate: names of capabilities beyond the format. Whoever does not know one of them stays out instead of
/// doing damage.
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
        let format = Kind::STORE.tag();
        Self { format, store_id, created, features, settings, probed, checksum: None, extra }
    }

    pub(crate) fn encode(&self) -> Result<Bytes, FormatError> {
        encode_pretty(&Self { checksum: Some(self.checksum_now()?), ..self.clone() }).map(Bytes::from)
    }

    /// The hash of what a person does not edit, as one line of JSON:
    /// `[format, store id, created, [feature…], [feature…], [[place, probe, at]…]]`. It is made of the values
    /// and not of the text, so that the text may be set as people like it. Fields of a later program are that
    /// program's to protect.
    fn checksum_now(&self) -> Result<ContentHash, FormatError> {
        let probed: Vec<_> = self.probed.iter().map(|it| (&it.place, it.probe, it.at)).collect();
        let Features { read, write, .. } = &self.features;
        let line = encode_line(&(&self.format, &self.store_id, self.created, read, write, probed))?;
        Ok(ContentHash::of(line.strip_suffix(b"\n").unwrap_or(&line)))
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
        let config: Self = decode(Kind::STORE, bytes)?;
        match config.checksum {
            None => Err(FormatError::NoChecksum),
            Some(checksum) if checksum == config.checksum_now()? => Ok(Self { checksum: None, ..config }),
            Some(_) => Err(FormatError::Checksum),
        }
    }
}

/// A config made of what could be read of a damaged one.
#[derive(Debug)]
pub(crate) struct Salvaged {
    pub(crate) config: Config,
    /// The fields that were made anew, each with what became of it.
    pub(crate) rebuilt: Vec<String>,
}

impl Config {
    /// Makes a config of what can be read in `bytes`, and what is left of `new`, a config for a new store.
    ///
    /// What was read may be wrong all the same where the checksum did not fit; that is said. Probes are
    /// dropped: whoever writes first where one is needed probes again.
    ///
    /// # Errors
    /// The text names a newer format: a config of this program would open the store to programs that do not
    /// know it.
    pub(crate) fn salvage(bytes: &[u8], new: Self) -> Result<Salvaged, FormatError> {
        let text = String::from_utf8_lossy(bytes);
        let text = text.trim_start_matches('\u{feff}');
        let fields: Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
        let mut rebuilt = Vec::new();
        let string = |key: &str| match fields.get(key) {
            Some(value) => value.as_str().map(str::to_owned),
            None => string_after(text, key),
        };
        // Any other format than a newer one is what was damaged.
        let told = string("format").map(|format| check_tag(Kind::STORE, format));
        if let Some(Err(newer)) = told
            && newer.is_newer()
        {
            return Err(newer);
        }
        let mut config = new;
        match string("store_id").filter(|id| VersionId::parse(id.as_str()).is_some()) {
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

/// The string that stands behind `"key":` in a text that need not be JSON.
fn string_after(text: &str, key: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("\"{key}\""))?;
    let rest = rest.trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?;
    rest.split_once('"').map(|(value, _)| value.to_owned())
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
    fn what_can_be_read_of_a_damaged_config_is_kept() {
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
