use futures::TryStreamExt;
use pflow_store::{
    Store,
    backend::{Key, Prefix, StorageBackend},
    document::ContentHash,
};
use serde_json::Value;

use super::{Site, VersionParts, id};

/// Returns every version that the operation history names, newest segment first, as
/// `id@generation-version_id`.
pub async fn history(site: &Site) -> Vec<String> {
    let text = |line: &Value, field: &str| line[field].as_str().unwrap().to_owned();
    let lines = history_lines(site).await;
    let name =
        |line: &Value| format!("{}@{}-{}", text(line, "id"), line["generation"], text(line, "version_id"));
    lines.iter().map(name).collect()
}

/// Returns the lines of the operation history for versions, newest segment first. Checks that each segment has
/// the hash that its successor, or the root, names.
pub async fn history_lines(site: &Site) -> Vec<Value> {
    let mut found = Vec::new();
    let mut next = site.json("ops/checkpoint").await["last_segment"].clone();
    while let Some(key) = next["key"].as_str() {
        let bytes = site.get(key).await.unwrap_or_else(|| panic!("no {key}"));
        assert_eq!(next["hash"], ContentHash::of(&bytes).to_string(), "{key}");
        let mut lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let header: Value = serde_json::from_slice(lines.next().unwrap()).unwrap();
        for line in lines {
            let mut line: Value = serde_json::from_slice(line).unwrap();
            found.extend(line.get_mut("gained").map(Value::take));
        }
        next = header["previous"].clone();
    }
    found
}

/// Returns every stored version in the same form, sorted.
pub async fn versions(site: &Site) -> Vec<String> {
    let keys = site.keys("versions/").await;
    let form = |key: String| {
        let (id, version) = key.strip_prefix("versions/").unwrap().split_once('/').unwrap();
        let (generation, version_id) = version.split_once('-').unwrap();
        format!("{id}@{}-{version_id}", generation.parse::<u64>().unwrap())
    };
    let mut versions: Vec<_> = keys.into_iter().map(form).collect();
    versions.sort();
    versions
}

/// Returns the texts of a workflow's generations, oldest first. Reads the versions themselves, from the one
/// that the head names back along the parents.
pub async fn chain(store: &Store, workflow: &str) -> Vec<String> {
    let mut texts = Vec::new();
    let Ok(head) = store.show(&id(workflow)).await else { return texts };
    let record = head.current.unwrap().record;
    let mut next = Some((record.generation, record.version_id.to_string()));
    while let Some((generation, version_id)) = next {
        let key = Key::parse(format!("versions/{workflow}/{generation:012}-{version_id}")).unwrap();
        let object = store.backend().get(&key).await.unwrap().unwrap_or_else(|| panic!("{key} is not there"));
        let version = VersionParts::of(&object.bytes).unwrap();
        texts.push(String::from_utf8(version.content.to_vec()).unwrap());
        let told = version.fields();
        next = told["parents"]
            .get(0)
            .map(|it| (it["generation"].as_u64().unwrap(), it["version_id"].as_str().unwrap().to_owned()));
    }
    texts.reverse();
    texts
}

/// Returns the objects among the parts of the index, including the claim of a fold, that nothing refers to.
pub async fn unnamed_parts(backend: &dyn StorageBackend) -> Vec<String> {
    let read = async |key: &str| backend.get(&Key::parse(key).unwrap()).await.unwrap().unwrap().bytes;
    let root: Value = serde_json::from_slice(&read("ops/checkpoint").await).unwrap();
    let mut named: Vec<String> = root["base"]["key"].as_str().into_iter().map(str::to_owned).collect();
    let mut next = root["last_segment"].clone();
    while let Some(key) = next["key"].as_str() {
        let bytes = read(key).await;
        named.push(key.to_owned());
        let header = bytes.split(|byte| *byte == b'\n').next().unwrap();
        next = serde_json::from_slice::<Value>(header).unwrap()["previous"].clone();
    }
    let all: Vec<_> = backend.list(&Prefix::parse("ops").unwrap(), None).try_collect().await.unwrap();
    let keys = all.into_iter().map(|listed| listed.key.to_string());
    let is_part =
        |key: &String| ["ops/base/", "ops/segments/", "ops/fold"].iter().any(|it| key.starts_with(it));
    keys.filter(|key| is_part(key) && !named.contains(key)).collect()
}
