//! Heads and versions as bytes, for states that no method of the store can create yet.

use bytes::Bytes;
use pflow_store::document::ContentHash;
use serde_json::{Value, json};

use pflow_testkit::{VersionParts, plan, version_object};

/// A version that was never saved by the store.
pub(crate) struct RawVersion {
    pub(crate) key: String,
    pub(crate) pending: String,
    pub(crate) bytes: Bytes,
    pub(crate) reference: Value,
    record: Value,
}

fn json_of(bytes: &Bytes) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

fn key_of(named: &Value) -> String {
    let generation = named["generation"].as_u64().unwrap();
    format!("versions/a/{generation:012}-{}", named["version_id"].as_str().unwrap())
}

/// The generation of a head; 0 if it has no version.
pub(crate) fn generation(head: &Bytes) -> u64 {
    json_of(head)["current"]["record"]["generation"].as_u64().unwrap_or(0)
}

/// The generation that the key of a version says.
pub(crate) fn generation_of(key: &str) -> u64 {
    key.strip_prefix("versions/a/").unwrap().get(..12).unwrap().parse().unwrap()
}

pub(crate) fn fence(head: &Bytes) -> Option<u64> {
    json_of(head)["fence"].as_u64()
}

/// The key of a head's version.
pub(crate) fn current_key(head: &Bytes) -> String {
    key_of(&json_of(head)["current"]["record"])
}

/// How other records name a head's version.
pub(crate) fn current(head: &Bytes) -> Value {
    let current = &json_of(head)["current"];
    let record = &current["record"];
    json!({
        "generation": record["generation"],
        "version_id": record["version_id"],
        "record_hash": current["record_hash"],
    })
}

/// The first parent of a head's version.
pub(crate) fn parent(head: &Bytes) -> Option<Value> {
    json_of(head)["current"]["record"]["parents"].get(0).cloned()
}

/// The keys of the parents of a version.
pub(crate) fn parent_keys(version: &Bytes) -> Vec<String> {
    let told = VersionParts::of(version).unwrap().fields();
    told["parents"].as_array().unwrap().iter().map(key_of).collect()
}

/// The depth of the current version.
pub(crate) fn depth(head: &Bytes) -> u64 {
    json_of(head)["current"]["record"]["depth"].as_u64().unwrap()
}

/// How many merges lead to the current version.
pub(crate) fn merges(head: &Bytes) -> u64 {
    json_of(head)["current"]["record"]["merges"].as_u64().unwrap_or(0)
}

/// How many merges lead to the first parent of the current version.
pub(crate) fn merges_below(head: &Bytes) -> u64 {
    let parents = json_of(head)["current"]["record"]["parents"].as_array().unwrap().len();
    merges(head) - u64::from(parents > 1)
}

/// A version of this depth and this number of merges with this text and these parents; `head` gives everything
/// else. `number` makes it
/// another one than at other steps. Its jump is to its parent.
pub(crate) fn version(
    head: &Bytes,
    text: &str,
    number: usize,
    parents: &[Value],
    (depth, merges): (u64, u64),
) -> RawVersion {
    let content = plan(text);
    let generation = parents.iter().map(|it| it["generation"].as_u64().unwrap()).max().unwrap_or(0) + 1;
    let hash = ContentHash::of(format!("{text} {number} {generation}").as_bytes()).to_string();
    let version_id: String = hash.trim_start_matches("sha256:").chars().take(26).collect();
    let mut record = json_of(head)["current"]["record"].clone();
    record["generation"] = generation.into();
    record["version_id"] = version_id.clone().into();
    record["parents"] = parents.to_vec().into();
    record["depth"] = depth.into();
    record.as_object_mut().unwrap().remove("merges");
    if merges > 0 {
        record["merges"] = merges.into();
    }
    record["jump"] = parents.first().cloned().unwrap_or_default();
    if let Some(jump) = record["jump"].as_object_mut() {
        jump.insert("depth".to_owned(), (depth - 1).into());
    }
    record["operation"] = "save".into();
    record["message"] = Value::Null;
    record["hash"] = ContentHash::of(content.as_bytes()).to_string().into();
    record["size"] = content.len().into();
    let object = version_object(&record, Some(&content));
    let record_hash = object.record_hash().to_string();
    RawVersion {
        key: format!("versions/a/{generation:012}-{version_id}"),
        pending: format!("ops/pending/a.{generation:012}.{version_id}.{version_id}.1"),
        bytes: object.object(),
        reference: json!({ "generation": generation, "version_id": version_id, "record_hash": record_hash }),
        record,
    }
}

/// One line of JSON, ending with a checksum if the head does.
fn sealed_like(head: &Bytes, mut value: Value) -> String {
    value.as_object_mut().unwrap().remove("checksum");
    let line = value.to_string();
    if json_of(head).get("checksum").is_none() {
        return line;
    }
    let checksum = ContentHash::of(line.as_bytes());
    format!("{},\"checksum\":\"{checksum}\"}}", line.strip_suffix('}').unwrap())
}

/// The head with `version` on top.
pub(crate) fn head_with(head: &Bytes, version: &RawVersion) -> Bytes {
    let mut next = json_of(head);
    let before = &next["current"];
    let record = &before["record"];
    let mut jumps: Vec<Value> =
        record["jump"].is_object().then(|| record["jump"].clone()).into_iter().collect();
    jumps.extend(before["jumps"].as_array().unwrap().iter().cloned());
    next["current"] = json!({
        "record": version.record,
        "record_hash": version.reference["record_hash"],
        "jumps": jumps,
    });
    next["revision"] = (next["revision"].as_u64().unwrap() + 1).into();
    next["nonce"] = version.reference["record_hash"].clone();
    format!("{}\n", sealed_like(head, next)).into()
}
