//! A lost or damaged index costs only time.

use futures::StreamExt;
use pflow_store::{ChangeRequest, Expect, Query, Remedy, Store, health::Finding};
use pflow_testkit::{Site, damaged, every_backend, generations, id, listing, notices, save};

every_backend!(
    lists_are_correct_whatever_part_of_the_index_is_lost,
    wrong_index_is_reported_and_repaired,
    broken_history_is_reported,
    damaged_index_of_an_empty_store_is_reported,
    export_has_the_schema_of_the_seed_and_a_backup,
);

const WANTED: [&str; 4] = ["a@3", "b@1", "c@2", "late@1"];

/// Returns a store with a base, segments, deleted workflows and pending records.
async fn populate(site: &Site) -> Store {
    let store = site.store_with(site.builder().fold_after(2)).await;
    for name in ["a", "b", "gone"] {
        store.save(save(name, "1", Expect::Absent)).await.unwrap();
    }
    store.reindex().await.unwrap();
    store.delete(ChangeRequest::new(id("gone"), Expect::Any)).await.unwrap();
    for (name, text) in [("a", "2"), ("c", "1"), ("c", "2"), ("a", "3"), ("late", "1")] {
        store.save(save(name, text, Expect::Any)).await.unwrap();
    }
    let root = site.json("ops/checkpoint").await;
    assert!(root["base"].is_object() && root["segments"].as_array().unwrap().len() > 1, "{root}");
    store
}

async fn lists_are_correct_whatever_part_of_the_index_is_lost(site: Site) {
    let store = populate(&site).await;
    let whole = site.dump().await;
    let root = site.json("ops/checkpoint").await;
    let part = |part: &serde_json::Value| part["key"].as_str().unwrap().to_owned();
    let (base, segment) = (part(&root["base"]), part(&root["segments"][0]));
    let cut = |key: &str| whole[key].slice(..whole[key].len() - 3);
    let losses = [
        ("ops/checkpoint", None),
        ("ops/checkpoint", Some("garbage".into())),
        ("ops/checkpoint", Some("{\"format\":\"pflow-index/1\"}".into())),
        (&base, None),
        (&base, Some(cut(&base))),
        (&segment, None),
        (&segment, Some(cut(&segment))),
        (&segment, Some("".into())),
    ];
    for (key, bytes) in losses {
        site.roll_back("ops/", &whole).await;
        match &bytes {
            Some(bytes) => site.put(key, bytes.clone()).await,
            None => site.remove(key).await,
        }
        let fresh = site.other_store(2).await;
        for reader in [&fresh, &store] {
            assert_eq!(generations(reader).await, WANTED, "{key} {bytes:?}");
        }
        let deleted = listing(&fresh, Query::new().deleted(true)).await.unwrap().workflows;
        assert_eq!(deleted[0].id, id("gone"));
        assert!(fresh.status().await.unwrap().index.lost, "{key} {bytes:?}");
        let report = fresh.verify().await.unwrap();
        let lost = report.findings.iter().find(|finding| finding.key == "ops/checkpoint").unwrap();
        assert!(lost.reason.contains("the index is lost") && lost.remedy == Some(Remedy::Reindex));
        let missing = bytes.is_none();
        let expected: &[&str] = if missing { &[] } else { &["ops/checkpoint"] };
        let damage = damaged(&report);
        let damage: Vec<_> = damage.into_iter().filter(|key| !key.starts_with("ops/segments/")).collect();
        assert_eq!(damage, expected, "{key}: {report:#?}");

        assert_eq!(fresh.reindex().await.unwrap(), 4);
        for reader in [&fresh, &store, &site.other_store(3).await] {
            assert_eq!(generations(reader).await, WANTED, "{key} {bytes:?}");
            assert!(!reader.status().await.unwrap().index.lost);
        }
        // History that only a lost segment had stays lost, and is reported.
        let report = fresh.verify().await.unwrap();
        let about_history = |finding: &&Finding| !finding.key.starts_with("ops/segments/");
        assert_eq!(report.findings.iter().filter(about_history).count(), 0, "{key} {bytes:?}: {report:#?}");
    }
    // Without a reindex, the next fold repairs it too.
    site.remove("ops/checkpoint").await;
    for _ in store.save_all([save("late", "2", Expect::Any)]).collect::<Vec<_>>().await {}
    assert!(!site.other_store(3).await.status().await.unwrap().index.lost);
}

async fn damaged_index_of_an_empty_store_is_reported(site: Site) {
    let store = site.store().await;
    assert_eq!(notices(&store.verify().await.unwrap()), [""; 0], "a new store has no index");
    store.reindex().await.unwrap();
    let whole = String::from_utf8(site.get("ops/checkpoint").await.unwrap().to_vec()).unwrap();
    site.put_raw("ops/checkpoint", whole.replace("\"sequence\":1", "\"sequence\":2")).await;
    assert_eq!(damaged(&site.other_store(2).await.verify().await.unwrap()), ["ops/checkpoint"]);
    assert_eq!(store.reindex().await.unwrap(), 0);
    assert!(site.other_store(3).await.verify().await.unwrap().is_sound());
}

async fn wrong_index_is_reported_and_repaired(site: Site) {
    use pflow_store::document::ContentHash;
    populate(&site).await.reindex().await.unwrap();
    // A base that is valid in itself, but lists a workflow that does not exist and lacks one that does.
    let root = site.json("ops/checkpoint").await;
    let base = root["base"]["key"].as_str().unwrap();
    let text = String::from_utf8(site.get(base).await.unwrap().to_vec()).unwrap();
    let wrong = text.replace("\"id\":\"a\"", "\"id\":\"ghost\"");
    assert_ne!(text, wrong);
    site.put(base, wrong.clone()).await;
    let mut root = root.clone();
    root["base"]["hash"] = ContentHash::of(wrong.as_bytes()).to_string().into();
    site.put("ops/checkpoint", root.to_string()).await;

    let store = site.other_store(2).await;
    assert_eq!(generations(&store).await, ["b@1", "c@2", "ghost@3", "late@1"]);
    let report = store.verify().await.unwrap();
    assert_eq!(damaged(&report), ["ops/checkpoint", "workflows/ghost/metadata.json"]);
    assert_eq!(store.reindex().await.unwrap(), 4);
    assert_eq!(generations(&store).await, WANTED);
    assert_eq!(notices(&store.verify().await.unwrap()), [""; 0]);
}

async fn broken_history_is_reported(site: Site) {
    let store = populate(&site).await;
    store.reindex().await.unwrap();
    // With the base, the segments are not needed for listing, but they are the history.
    let segments = site.keys("ops/segments/").await;
    site.put(&segments[1], "other").await;
    let report = store.verify().await.unwrap();
    assert_eq!(damaged(&report), [segments[1].as_str()]);
    assert!(report.findings[0].reason.contains("hash"), "{report:?}");
    site.remove(&segments[1]).await;
    let report = store.verify().await.unwrap();
    assert!(report.findings[0].reason.contains("missing"), "{report:?}");
    assert_eq!(generations(&site.other_store(2).await).await, WANTED);
}

async fn export_has_the_schema_of_the_seed_and_a_backup(site: Site) {
    let store = site.store_with(site.builder().fold_after(4)).await;
    let named = save("w000", "1", Expect::Absent).name("Process").description("ETL").tags(["etl", "llm"]);
    store.save(named).await.unwrap();
    store.save(save("w001", "1", Expect::Absent)).await.unwrap();
    store.save(save("gone", "1", Expect::Absent)).await.unwrap();
    store.delete(ChangeRequest::new(id("gone"), Expect::Any)).await.unwrap();
    assert_eq!(site.get("index.json").await, None, "an export goes with a base alone");
    store.reindex().await.unwrap();
    let index = site.json("index.json").await;
    let hash = store.show(&id("w000")).await.unwrap().current.unwrap().record.hash;
    let entry = |name: &str, description: &str, tags: &[&str], id: &str| {
        serde_json::json!({
            "name": name, "description": description, "created": "2024-01-15T10:30:00Z",
            "modified": "2024-01-15T10:30:00Z", "nodes": ["echo"], "tags": tags, "hash": hash,
            "version": null, "path": format!(".pflow/workflows/{id}/workflow.json"),
        })
    };
    let wanted = serde_json::json!({
        "w000": entry("Process", "ETL", &["etl", "llm"], "w000"), "w001": entry("w001", "", &[], "w001"),
    });
    assert_eq!(index, wanted);
    assert_eq!(site.get("index.bak").await, None);

    // Writers write a base, and the export with it, when the segments outweigh the current base, with at
    // least 64 entries.
    let mut bases = Vec::new();
    for n in 2..200 {
        let before = site.get("index.json").await;
        store.save(save(&format!("w{n:03}"), "1", Expect::Absent)).await.unwrap();
        let after = site.get("index.json").await;
        if after != before {
            bases.push(n);
            assert_eq!(site.get("index.bak").await, before, "the one before");
            assert_eq!(site.json("index.json").await.as_object().unwrap().len(), n + 1);
            let base = site.only_key("ops/base/").await;
            assert_eq!(site.json("ops/checkpoint").await["base"]["key"], base.as_str());
        }
    }
    assert_eq!(bases, [65, 133], "each base doubles the one before, at least about so");
}
