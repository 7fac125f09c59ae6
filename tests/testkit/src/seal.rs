//! Computes the checksums of stored documents, for tests that change their content.

use bytes::Bytes;
use pflow_store::document::ContentHash;
use serde_json::{Map, Value, json};

/// Returns `bytes` with a valid checksum, if they are a document under `key` that has one, and else
/// unchanged. A line with a valid checksum is not rewritten: another order of its fields would change the
/// hash that other objects refer to.
pub fn resealed(key: &str, bytes: Bytes) -> Bytes {
    // A version is a line followed by its content.
    if key.starts_with("versions/")
        && let Some(end) = bytes.iter().position(|byte| *byte == b'\n')
    {
        let line = resealed_document(key, bytes.slice(..end));
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        return [line, b"\n", bytes.slice(end + 1..).as_ref()].concat().into();
    }
    resealed_document(key, bytes)
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
