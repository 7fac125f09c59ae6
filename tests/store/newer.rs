//! Data that a newer program wrote is kept and reported, and never treated as damaged or lost.

use pflow_store::{ChangeRequest, Error, ErrorKind, Expect, LeaseRequest, Query, health::Severity};
use pflow_testkit::{
    Site, VersionParts, damaged, every_backend, generations, id, listed, listing, notices, resealed, save,
    version_object,
};
use serde_json::Value;
use std::{sync::Arc, time::Duration};

every_backend!(
    workflow_of_an_unknown_media_type_is_kept_and_listed,
    old_version_of_an_unknown_media_type_is_refused,
    head_of_a_newer_program_is_reported_and_hides_nothing,
    damaged_head_is_reported_in_every_listing,
    content_in_an_object_of_its_own_is_read,
    pruned_version_is_kept_and_told_apart_from_damage,
);

const HEAD: &str = "workflows/a/metadata.json";
const MARKDOWN: &str = "text/markdown; variant=pflow";

#[track_caller]
fn is_newer<T: std::fmt::Debug>(result: Result<T, Error>) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Incompatible, "{error}");
    assert!(error.to_string().contains("use a newer pflow-store"), "{error}");
}

/// Changes the media type of the current version of `a`, as a newer program would have written it.
async fn write_as_markdown(site: &Site) {
    let mut head = site.json(HEAD).await;
    let current = &mut head["current"];
    let generation = current["record"]["generation"].as_u64().unwrap();
    let key = site.only_key(&format!("versions/a/{generation:012}-")).await;
    let text = String::from_utf8(site.get(&key).await.unwrap().to_vec()).unwrap();
    let version = resealed(&key, text.replacen("application/json", MARKDOWN, 1).into());
    current["record"]["media_type"] = MARKDOWN.into();
    current["record_hash"] = VersionParts::of(&version).unwrap().record_hash().to_string().into();
    site.put_raw(&key, version).await;
    site.put(HEAD, format!("{head}\n")).await;
    site.remove("workflows/a/workflow.json").await;
}

async fn workflow_of_an_unknown_media_type_is_kept_and_listed(site: Site) {
    let store = site.store().await;
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    store.save(save("b", "1", Expect::Absent)).await.unwrap();
    store.close().await.unwrap();
    write_as_markdown(&site).await;
    let head = site.get(HEAD).await.unwrap();
    let other = site.other_store(2).await;
    for lost in [false, true] {
        if lost {
            site.remove("ops/checkpoint").await;
        }
        assert_eq!(generations(&other).await, ["a@1", "b@1"]);
        assert_eq!(other.reindex().await.unwrap(), 2);
        let listing = listing(&site.other_store(3).await, Query::new()).await.unwrap();
        assert_eq!(listing.workflows[0].media_type.as_str(), MARKDOWN);
        assert_eq!(listing.unreadable, []);
    }
    let exported = &site.json("index.json").await["a"]["path"];
    assert!(exported.as_str().unwrap().starts_with(".pflow/versions/a/000000000001-"), "{exported}");
    is_newer(other.load(&id("a")).await);
    is_newer(other.load_generation(&id("a"), 1).await);
    is_newer(other.save(save("a", "2", Expect::Any)).await);
    is_newer(other.save(save("a", "2", Expect::Generation(1))).await);
    is_newer(other.delete(ChangeRequest::new(id("a"), Expect::Any)).await);
    assert_eq!(notices(&other.verify().await.unwrap()), [""; 0]);
    assert_eq!(other.status().await.unwrap().unreadable, []);
    assert_eq!(site.get(HEAD).await.unwrap(), head);
    // A lease preserves what it does not know.
    let lease =
        other.acquire(&id("a"), LeaseRequest::new("edit", Duration::from_secs(60))).await.unwrap().lease;
    other.release(&id("a"), lease.id).await.unwrap();
    assert_eq!(site.json(HEAD).await["current"]["record"]["media_type"], MARKDOWN);
    assert_eq!(other.save(save("b", "2", Expect::Any)).await.unwrap().generation, 2);
}

async fn old_version_of_an_unknown_media_type_is_refused(site: Site) {
    let store = site.store().await;
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    store.close().await.unwrap();
    write_as_markdown(&site).await;
    // A newer program saved JSON over it, or deleted it.
    let mut head = site.json(HEAD).await;
    let old = head["current"].take();
    let record = |deleted: bool| {
        let mut record = old["record"].clone();
        (record["generation"], record["depth"]) = (2.into(), 2.into());
        record["jump"] = serde_json::json!({
            "depth": 1, "generation": 1, "version_id": old["record"]["version_id"], "record_hash": old["record_hash"],
        });
        record["version_id"] = "01hm6aqh20kyyrptxv1pa56rkz".into();
        record["media_type"] = "application/json".into();
        record["parents"] = serde_json::json!([{
            "generation": 1, "version_id": old["record"]["version_id"], "record_hash": old["record_hash"],
        }]);
        if deleted {
            (record["hash"], record["deleted"], record["size"]) = (Value::Null, true.into(), 0.into());
        }
        record
    };
    for deleted in [false, true] {
        let record = record(deleted);
        let content = pflow_testkit::plan("1");
        let object = version_object(&record, (!deleted).then_some(content.as_str()));
        head["current"] = serde_json::json!({
            "record": record, "record_hash": object.record_hash(), "jumps": [],
        });
        let key = "versions/a/000000000002-01hm6aqh20kyyrptxv1pa56rkz";
        site.put_raw(key, object.object()).await;
        site.put(HEAD, format!("{head}\n")).await;
        let other = site.other_store(2).await;
        if deleted {
            is_newer(other.undelete(ChangeRequest::new(id("a"), Expect::Any)).await);
        } else {
            site.put("workflows/a/workflow.json", content.clone()).await;
            assert_eq!(other.load(&id("a")).await.unwrap().content, content);
            let merge = save("a", "ours", Expect::Generation(1));
            is_newer(other.save(merge.resolver(Arc::new(pflow_store::conflict::Policy::Merge))).await);
            site.remove("workflows/a/workflow.json").await;
        }
        is_newer(other.load_generation(&id("a"), 1).await);
        assert_eq!(damaged(&other.verify().await.unwrap()), [""; 0]);
    }
}

async fn head_of_a_newer_program_is_reported_and_hides_nothing(site: Site) {
    let store = site.store_with(site.builder().fold_after(4)).await;
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    store.save(save("b", "1", Expect::Absent)).await.unwrap();
    store.close().await.unwrap();
    let head = String::from_utf8(site.get(HEAD).await.unwrap().to_vec()).unwrap();
    site.put(HEAD, head.replacen("pflow-head/1", "pflow-head/2", 1)).await;
    let other = site.other_store_with(site.environment.clone(), |builder| builder.fold_after(4)).await;
    for lost in [false, true] {
        if lost {
            site.remove("ops/checkpoint").await;
        }
        assert_eq!(listed(&other).await, ["b"]);
        let unreadable = listing(&other, Query::new()).await.unwrap().unreadable;
        assert_eq!((unreadable.len(), &unreadable[0].id, unreadable[0].is_newer()), (1, &id("a"), true));
        assert_eq!(other.status().await.unwrap().unreadable, unreadable);
        // A full index would hide it.
        is_newer(other.reindex().await);
        let report = other.verify().await.unwrap();
        assert!(report.is_sound(), "{report:#?}");
        let newer = report.findings.iter().filter(|it| it.severity == Severity::Newer).map(|it| &it.key);
        assert_eq!(newer.collect::<Vec<_>>(), [HEAD]);
        is_newer(other.load(&id("a")).await);
        is_newer(other.save(save("a", "2", Expect::Any)).await);
        if !lost {
            // Folds of other workflows continue, and leave its record.
            for n in 2..9 {
                let saved = other.save(save("b", &n.to_string(), Expect::Any)).await.unwrap();
                assert!(saved.index_error.is_none(), "{:?}", saved.index_error);
            }
            assert!(!site.keys("ops/segments/").await.is_empty());
            assert_eq!(site.keys("ops/pending/a.").await.len(), 1);
            assert_eq!(listing(&other, Query::new()).await.unwrap().unreadable, unreadable);
        }
    }
    site.put(HEAD, head).await;
    assert_eq!(other.reindex().await.unwrap(), 2);
}

async fn damaged_head_is_reported_in_every_listing(site: Site) {
    let store = site.store().await;
    store.save(save("a", "1", Expect::Absent).tags(["t"])).await.unwrap();
    store.save(save("b", "1", Expect::Absent)).await.unwrap();
    store.close().await.unwrap();
    let head = site.get(HEAD).await.unwrap();
    site.put(HEAD, head.slice(..head.len() / 2)).await;
    for lost in [false, true] {
        if lost {
            site.remove("ops/checkpoint").await;
        }
        let other = site.other_store(2).await;
        // Whether it matches the query is unknown, so every answer names it.
        for query in ["", "nothing has this text"] {
            let query = Query::new().text(query);
            let unreadable = listing(&other, query).await.unwrap().unreadable;
            assert_eq!(
                (unreadable.len(), &unreadable[0].id, unreadable[0].kind),
                (1, &id("a"), ErrorKind::Corrupt)
            );
        }
        assert_eq!(generations(&other).await, ["b@1"]);
    }
}

/// Moves the content of generation 1 of `a` elsewhere, as a later program may, and returns its key and content.
async fn without_content(site: &Site, place: &str, field: &str, value: &str) -> (String, bytes::Bytes) {
    let key = site.only_key("versions/a/000000000001-").await;
    let mut parts = VersionParts::of(&site.get(&key).await.unwrap()).unwrap();
    parts.envelope.insert("content".to_owned(), place.into());
    parts.envelope.insert(field.to_owned(), value.into());
    let content = std::mem::take(&mut parts.content);
    site.put_raw(&key, parts.object()).await;
    (key, content)
}

async fn content_in_an_object_of_its_own_is_read(site: Site) {
    let store = site.store().await;
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    store.save(save("a", "2", Expect::Any)).await.unwrap();
    store.close().await.unwrap();
    let (_, content) = without_content(&site, "external", "object", "contents/x").await;
    let missing = site.other_store(2).await.load_generation(&id("a"), 1).await.unwrap_err();
    assert!(missing.to_string().starts_with("contents/x is corrupt: it is missing"), "{missing}");
    site.put_raw("contents/x", content.clone()).await;
    let other = site.other_store(2).await;
    assert_eq!(other.load_generation(&id("a"), 1).await.unwrap().content, content);
    assert!(other.verify().await.unwrap().is_sound());
    site.put_raw("contents/x", "other").await;
    let damaged = site.other_store(3).await.load_generation(&id("a"), 1).await.unwrap_err();
    assert_eq!(damaged.kind(), ErrorKind::Corrupt);
    assert!(!other.verify().await.unwrap().is_sound());
}

async fn pruned_version_is_kept_and_told_apart_from_damage(site: Site) {
    let store = site.store().await;
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    store.save(save("a", "2", Expect::Any)).await.unwrap();
    store.close().await.unwrap();
    without_content(&site, "pruned", "pruned_by", &"p".repeat(26)).await;
    let other = site.other_store(2).await;
    let pruned = other.load_generation(&id("a"), 1).await.unwrap_err();
    assert!(pruned.kind() == ErrorKind::NotFound && pruned.to_string().contains("pruned"), "{pruned}");
    assert!(other.verify().await.unwrap().is_sound());
    assert_eq!(other.save(save("a", "3", Expect::Generation(2))).await.unwrap().record.depth, 3);
}
