//! Computes the checksums of stored documents, for tests that change their content.

use bytes::Bytes;
use pflow_store::document::ContentHash;
use serde_json::{Map, Value, json};

/// Returns `bytes` with a valid checksum, if they are a document under `key` that has one, and else
/// unchanged. A line with a valid checksum is not rewritten: another order of its fields would change the
/// hash that other objects refer to.
pub fn resealed(key: &str, bytes: Bytes) -> Bytes {
    if key.starts_with("versions/") {
        return resealed_version(&bytes).unwrap_or(bytes);
    }
    resealed_document(key, bytes)
}

/// A version object in its parts.
#[derive(Debug, Clone)]
pub struct VersionParts {
    /// The fields of the envelope without its checksum.
    pub envelope: Map<String, Value>,
    /// The record as it is stored.
    pub record: Vec<u8>,
    /// The content behind it.
    pub content: Bytes,
}

impl VersionParts {
    /// Takes a version object apart, whatever its checksums say; none if it does not have two lines of which
    /// the first is JSON.
    pub fn of(object: &Bytes) -> Option<Self> {
        let mut lines = object.splitn(3, |byte| *byte == b'\n');
        let (envelope, record, content) = (lines.next()?, lines.next()?, lines.next()?);
        let mut envelope: Map<String, Value> = serde_json::from_slice(envelope).ok()?;
        envelope.remove("crc32c");
        Some(Self { envelope, record: record.to_vec(), content: object.slice_ref(content) })
    }

    /// Returns the fields of the record.
    pub fn fields(&self) -> Value {
        serde_json::from_slice(&self.record).unwrap()
    }

    /// The hash by which other records name this version.
    pub fn record_hash(&self) -> ContentHash {
        ContentHash::of(&self.record)
    }

    /// The object with an envelope that fits its record.
    pub fn object(mut self) -> Bytes {
        self.envelope.insert("record_bytes".to_owned(), self.record.len().into());
        self.envelope.insert("record_hash".to_owned(), self.record_hash().to_string().into());
        let line = Value::Object(self.envelope).to_string();
        let line = line.strip_suffix('}').unwrap().to_owned()
            + &format!(",\"crc32c\":\"{:08x}\"}}\n", crc32c(line.as_bytes()));
        [line.as_bytes(), &self.record, b"\n", &self.content].concat().into()
    }
}

/// A version object of this record with this content, or without a content for a deletion.
pub fn version_object(record: &Value, content: Option<&str>) -> VersionParts {
    let (place, bytes) = (if content.is_some() { "inline" } else { "none" }, content.unwrap_or_default());
    let envelope = json!({ "format": "pflow-version/1", "content": place, "content_bytes": bytes.len() });
    let Value::Object(envelope) = envelope else { unreachable!() };
    let content = Bytes::copy_from_slice(bytes.as_bytes());
    VersionParts { envelope, record: record.to_string().into_bytes(), content }
}

fn resealed_version(object: &Bytes) -> Option<Bytes> {
    let parts = VersionParts::of(object)?;
    // The order of the fields may be another one.
    let is_right = parts.envelope.get("record_hash").and_then(Value::as_str)
        == Some(parts.record_hash().to_string().as_str());
    (!is_right).then(|| parts.object())
}

/// The CRC-32C, by its definition.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for bit in bytes.iter().flat_map(|byte| (0..8).map(move |at| byte >> at & 1)) {
        let odd = (crc ^ u32::from(bit)) & 1 == 1;
        crc = crc >> 1 ^ if odd { 0x82F6_3B78 } else { 0 };
    }
    !crc
}

fn resealed_document(key: &str, bytes: Bytes) -> Bytes {
    let Ok(mut fields) = serde_json::from_slice::<Map<String, Value>>(&bytes) else { return bytes };
    if key == "config.json" {
        if fields.contains_key("checksum") {
            fields.insert("checksum".to_owned(), config_checksum(&fields).to_string().into());
        }
        return Value::Object(fields).to_string().into();
    }
    match fields.remove("checksum") {
        Some(Value::String(checksum)) if fits(&bytes, &checksum) => return bytes,
        Some(_) => {}
        None => return bytes,
    }
    sealed_line(&Value::Object(fields)).into()
}

/// Whether the line ends with this checksum, and the checksum fits the fields before it.
fn fits(line: &[u8], checksum: &str) -> bool {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let fields = line.strip_suffix(format!(",\"checksum\":\"{checksum}\"}}").as_bytes());
    fields.is_some_and(|fields| ContentHash::of(&[fields, b"}"].concat()).to_string() == checksum)
}

/// Returns one line of JSON that ends with its checksum.
pub fn sealed_line(fields: &Value) -> String {
    let line = fields.to_string();
    let checksum = ContentHash::of(line.as_bytes());
    format!("{},\"checksum\":\"{checksum}\"}}\n", line.strip_suffix('}').unwrap_or(&line))
}

/// Returns the checksum of a `config.json` with these fields.
pub fn config_checksum(fields: &Map<String, Value>) -> ContentHash {
    let field = |key: &str| fields.get(key).cloned().unwrap_or_default();
    let (features, probed) = (field("features"), field("probed"));
    let probed: Vec<Value> = probed
        .as_array()
        .into_iter()
        .flatten()
        .map(|probed| json!([probed["place"], probed["probe"], probed["at"]]))
        .collect();
    let covered = json!([
        field("format"),
        field("store_id"),
        field("created"),
        features["read"],
        features["write"],
        probed
    ]);
    ContentHash::of(covered.to_string().as_bytes())
}
