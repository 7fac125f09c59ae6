use pflow_store::document::ContentHash;
use serde_json::Value;

use super::Site;

/// Every version that the operation history names, the newest segment first, as `id@generation-version_id`. Checks that each segment
/// is the one that its successor, or the root, names.
pub(crate) async fn history(site: &Site) -> Vec<String> {
    let mut named = Vec::new();
    let mut next = site.json("ops/checkpoint").await["last_segment"].clone();
    while let Some(key) = next["key"].as_str() {
        let bytes = site.get(key).await.unwrap_or_else(|| panic!("no {key}"));
        assert_eq!(next["hash"], ContentHash::of(&bytes).to_string(), "{key}");
        let mut lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let header: Value = serde_json::from_slice(lines.next().unwrap()).unwrap();
        for line in lines {
            let line: Value = serde_json::from_slice(line).unwrap();
            if let Some(gained) = line.get("gained") {
                let text = |field: &str| gained[field].as_str().unwrap().to_owned();
                named.push(format!("{}@{}-{}", text("id"), gained["generation"], text("version_id")));
            }
        }
        next = header["previous"].clone();
    }
    named
}

/// Every version that is there, in the same form, sorted.
pub(crate) async fn versions(site: &Site) -> Vec<String> {
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
