//! One damaged object affects only itself, and data of a newer program is not treated as damage.

use futures::StreamExt;
use pflow_store::{ErrorKind, Expect, Query, Remedy, Store, health::Severity};
use pflow_testkit::{Kind, Site, damaged, every_backend, generations, history, id, listing, plan, save};
use serde_json::Value;

every_backend!(
    lost_head_is_damage,
    versions_below_a_broken_chain_are_not_garbage,
    lost_old_version_stops_nothing,
    invalid_names_are_corrupt_and_no_panic,
    index_of_a_newer_program_is_not_changed,
    index_is_not_rebuilt_without_a_newer_workflow,
    damaged_head_keeps_its_entry_in_a_rebuilt_index,
    closed_gate_prevents_every_write,
    unknown_fields_of_a_version_are_not_inherited,
);

/// Saves 40 generations of `a`, none of them folded.
async fn long_chain(site: &Site) -> Store {
    let store = site.store_with(site.builder().fold_after(1000)).await;
    for generation in 0..40 {
        store.save(save("a", &generation.to_string(), Expect::Generation(generation))).await.unwrap();
    }
    store
}

async fn lost_old_version_stops_nothing(site: Site) {
    let store = long_chain(&site).await;
    let lost = site.keys("versions/a/000000000005-").await.remove(0);
    site.remove(&lost).await;
    site.put("workflows/a/workflow.json", plan("unknown to all versions")).await;

    let loaded = store.load(&id("a")).await;
    if site.raw.capabilities().plain_files {
        assert_eq!(loaded.unwrap_err().kind(), ErrorKind::Conflict, "it cannot be told from an edit");
        let adopted = store.save(save("a", "unknown to all versions", Expect::Generation(40))).await.unwrap();
        assert_eq!(adopted.generation, 41);
    } else {
        assert_eq!(loaded.unwrap().content, plan("39"));
    }
    store.save(save("b", "1", Expect::Absent)).await.unwrap();
    assert_eq!(store.reindex().await.unwrap(), 2);
    assert_eq!(generations(&site.other_store(2).await).await.len(), 2);
    assert_eq!(damaged(&store.verify().await.unwrap()), [lost.as_str()]);
}

async fn lost_head_is_damage(site: Site) {
    let store = site.store().await;
    for generation in 0..3 {
        store.save(save("a", &generation.to_string(), Expect::Generation(generation))).await.unwrap();
    }
    for name in ["metadata.json", "workflow.json"] {
        site.remove(&format!("workflows/a/{name}")).await;
    }
    // The index knows the workflow. Without it, the second and third generation prove that there was a head.
    for index_is_lost in [false, true] {
        if index_is_lost {
            for key in site.keys("ops/").await {
                site.remove(&key).await;
            }
        }
        let report = site.other_store(2).await.verify().await.unwrap();
        let damage: Vec<_> = report.findings.iter().filter(|it| it.severity == Severity::Damage).collect();
        assert_eq!(damage.len(), 1, "one finding for the head, none for its versions: {report:#?}");
        assert_eq!(damage[0].key, "workflows/a/metadata.json");
        assert_eq!(damage[0].remedy, Some(Remedy::RepairHeads));
        assert_eq!(report.hurt, [id("a")], "without the index: {index_is_lost}");
    }
}

async fn versions_below_a_broken_chain_are_not_garbage(site: Site) {
    let store = site.store().await;
    for generation in 0..4 {
        store.save(save("a", &generation.to_string(), Expect::Generation(generation))).await.unwrap();
    }
    let lost = [3, 1].map(|generation| format!("versions/a/{generation:012}-"));
    let mut keys = Vec::new();
    for prefix in lost {
        keys.push(site.only_key(&prefix).await);
        site.remove(keys.last().unwrap()).await;
    }
    keys.sort();
    let report = store.verify().await.unwrap();
    assert_eq!(damaged(&report), keys);
    // Only the third generation named the second.
    assert_eq!((report.findings.len(), report.versions), (2, 1), "{report:#?}");
}

async fn invalid_names_are_corrupt_and_no_panic(site: Site) {
    let store = site.store().await;
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    let whole = site.json("workflows/a/metadata.json").await;
    for (field, value) in [
        ("version_id", Value::from("a b")),
        ("version_id", "../../../../../../../../etc/x".into()),
        ("generation", u64::MAX.into()),
        ("generation", 0.into()),
        ("generation", (-1).into()),
    ] {
        let mut head = whole.clone();
        head["current"]["record"][field] = value;
        site.put("workflows/a/metadata.json", head.to_string()).await;
        for result in [
            store.load(&id("a")).await.map(drop),
            store.save(save("a", "2", Expect::Any)).await.map(drop),
            store.show(&id("a")).await.map(drop),
        ] {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::Corrupt, "{field}");
        }
        assert!(damaged(&store.verify().await.unwrap()).contains(&"workflows/a/metadata.json"), "{field}");
        assert_eq!(generations(&store).await, ["a@1"], "as it was known");
    }
}

async fn index_of_a_newer_program_is_not_changed(site: Site) {
    let store = site.store().await;
    for _ in store.save_all([save("a", "1", Expect::Absent)]).collect::<Vec<_>>().await {}
    let root = site.json("ops/checkpoint").await;
    let mut newer = root.clone();
    let segment = "ops/segments/01hm6aqh20fqaswn6q70mqyxxe";
    let bytes = "{\"format\":\"pflow-index-segment/2\",\"shape\":\"unheard of\"}\n";
    let hash = pflow_store::document::ContentHash::of(bytes.as_bytes()).to_string();
    newer["segments"] =
        serde_json::json!([{ "key": segment, "hash": hash, "size": bytes.len(), "entries": 1 }]);
    site.put(segment, bytes).await;
    site.put("ops/checkpoint", newer.to_string()).await;
    let newer = site.json("ops/checkpoint").await;

    let other = site.other_store(2).await;
    for result in [
        listing(&other, Query::new()).await.map(drop),
        other.reindex().await.map(drop),
        other.verify().await.map(drop),
    ] {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Incompatible);
    }
    other.save(save("b", "1", Expect::Absent)).await.unwrap();
    assert_eq!(site.json("ops/checkpoint").await, newer);
}

async fn index_is_not_rebuilt_without_a_newer_workflow(site: Site) {
    let store = site.store().await;
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    store.save(save("b", "1", Expect::Absent)).await.unwrap();
    site.put("workflows/a/metadata.json", r#"{"format":"pflow-head/2","checksum":""}"#).await;
    let before = site.get("ops/checkpoint").await;
    assert_eq!(store.reindex().await.unwrap_err().kind(), ErrorKind::Incompatible);
    assert_eq!(site.get("ops/checkpoint").await, before);
}

async fn damaged_head_keeps_its_entry_in_a_rebuilt_index(site: Site) {
    let store = site.store().await;
    for _ in store.save_all([save("a", "1", Expect::Absent)]).collect::<Vec<_>>().await {}
    store.save(save("b", "1", Expect::Absent)).await.unwrap();
    let head = site.get("workflows/a/metadata.json").await.unwrap();
    site.put("workflows/a/metadata.json", head.slice(..head.len() / 2)).await;
    let other = site.other_store(2).await;
    assert_eq!(other.reindex().await.unwrap(), 2);
    assert_eq!(generations(&other).await, ["a@1", "b@1"]);
    site.put("workflows/a/metadata.json", head).await;
    assert_eq!(damaged(&other.verify().await.unwrap()), [""; 0], "it is known again at once");
}

async fn closed_gate_prevents_every_write(site: Site) {
    let store = site.store().await;
    let saves = ["a", "b"].map(|name| save(name, "1", Expect::Absent));
    for _ in store.save_all(saves).collect::<Vec<_>>().await {}
    for name in ["a", "b"] {
        store.save(save(name, "2", Expect::Any)).await.unwrap();
    }
    // A missing copy and a lagging one, which loads would refresh, and records, which a batch would fold.
    // With plain files and atomic batches no copy lags: there the older content is a person's edit, which is
    // not overwritten.
    site.remove("workflows/a/workflow.json").await;
    let capabilities = site.raw.capabilities();
    let lags = !(capabilities.plain_files && capabilities.atomic_batch);
    if lags {
        site.put("workflows/b/workflow.json", plan("1")).await;
    } else {
        site.remove("workflows/b/workflow.json").await;
    }
    let open = site.get("config.json").await.unwrap();
    let mut config = site.json("config.json").await;
    config["features"]["write"] = serde_json::json!(["shards"]);
    site.put("config.json", config.to_string()).await;
    let before = site.dump().await;

    let late = site.other_store(2).await;
    for name in ["a", "b"] {
        assert_eq!(late.load(&id(name)).await.unwrap().content, plan("2"));
    }
    for result in late.save_all([save("a", "3", Expect::Any)]).collect::<Vec<_>>().await {
        assert_eq!(result.1.unwrap_err().kind(), ErrorKind::Incompatible);
    }
    assert_eq!(late.reindex().await.unwrap_err().kind(), ErrorKind::Incompatible);
    assert_eq!(site.dump().await, before);

    // Proves that the gate was the reason: the same loads write once it is open.
    site.put_raw("config.json", open).await;
    let store = site.other_store(3).await;
    for name in ["a", "b"] {
        store.load(&id(name)).await.unwrap();
        assert_eq!(site.get(&format!("workflows/{name}/workflow.json")).await.unwrap(), plan("2"));
    }
}

async fn unknown_fields_of_a_version_are_not_inherited(site: Site) {
    let store = site.store().await;
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    let mut head = site.json("workflows/a/metadata.json").await;
    head["of_the_register"] = 1.into();
    head["current"]["of_the_version"] = 2.into();
    head["current"]["record"]["content_encoding"] = "zstd".into();
    site.put("workflows/a/metadata.json", head.to_string()).await;

    let lease =
        store.acquire(&id("a"), pflow_store::LeaseRequest::new("t", std::time::Duration::from_secs(9))).await;
    let locked = site.json("workflows/a/metadata.json").await;
    assert_eq!(
        (&locked["of_the_register"], &locked["current"]),
        (&head["of_the_register"], &head["current"])
    );

    store.save(save("a", "2", Expect::Any).lease(lease.unwrap().lease.id)).await.unwrap();
    let saved = site.json("workflows/a/metadata.json").await;
    assert_eq!(saved["of_the_register"], 1);
    assert_eq!(
        (saved["current"].get("of_the_version"), saved["current"]["record"].get("content_encoding")),
        (None, None)
    );
}

#[tokio::test]
async fn link_instead_of_an_object_stops_nothing_else() {
    let site = Site::new(Kind::Disk).await;
    let folder = site.folder().unwrap().to_owned();
    let store = site.store().await;
    let saves = ["a", "b", "c"].map(|name| save(name, "1", Expect::Absent));
    for _ in store.save_all(saves).collect::<Vec<_>>().await {}
    store.save(save("a", "2", Expect::Any)).await.unwrap();
    store.close().await.unwrap();
    for linked in ["workflows/a/metadata.json", "index.json"] {
        let aside = folder.join(linked).with_extension("aside");
        std::fs::rename(folder.join(linked), &aside).unwrap();
        std::os::unix::fs::symlink(&aside, folder.join(linked)).unwrap();
    }
    let other = site.other_store(2).await;
    assert_eq!(generations(&other).await, ["a@1", "b@1", "c@1"]);
    assert!(damaged(&other.verify().await.unwrap()).contains(&"workflows/a/metadata.json"));
    assert_eq!(other.status().await.unwrap().unreadable[0].id, id("a"));
    assert_eq!(other.reindex().await.unwrap(), 3);
    assert_eq!(other.load(&id("b")).await.unwrap().content, plan("1"));
}

#[tokio::test]
async fn history_continues_after_the_index_was_lost() {
    for lost in ["ops/checkpoint", "ops/base/"] {
        let site = Site::new(Kind::Memory).await;
        let store = site.store().await;
        for name in ["a", "b"] {
            for _ in store.save_all([save(name, "1", Expect::Absent)]).collect::<Vec<_>>().await {}
        }
        let before = history(&site).await;
        assert_eq!(before.len(), 2);
        let sequence = site.json("ops/checkpoint").await["sequence"].as_u64().unwrap();
        site.remove(&site.keys(lost).await.remove(0)).await;

        let other = site.other_store(2).await;
        other.reindex().await.unwrap();
        assert_eq!(history(&site).await, before, "{lost}");
        assert!(site.json("ops/checkpoint").await["sequence"].as_u64().unwrap() > sequence);
        for _ in other.save_all([save("c", "1", Expect::Absent)]).collect::<Vec<_>>().await {}
        assert_eq!(history(&site).await.len(), 3);
        assert_eq!(damaged(&other.verify().await.unwrap()), [""; 0]);
    }
}
