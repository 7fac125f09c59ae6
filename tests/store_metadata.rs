//! What is known of a version: where it comes from, its limits, and the record that tells it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

mod support;

use std::time::Duration;

use pflow_store::{
    DeleteRequest, Error, Expect, SaveRequest, UndeleteRequest,
    document::{ContentHash, MAX_DESCRIPTION_BYTES, MAX_NAME_BYTES, MAX_TAG_BYTES, MAX_TAGS},
    pflow_backend::Environment,
};
use support::{Site, every_backend, id, listed, plan, save};

every_backend!(
    the_caller_knows_better_than_the_document_and_that_better_than_before,
    limits_are_kept,
    every_record_names_its_parent_by_its_hash,
);

const TOLD: &str = r#"{ "name": "own", "description": "own", "tags": ["own"], "version": 1.5, "nodes": [] }"#;

async fn the_caller_knows_better_than_the_document_and_that_better_than_before(site: Site) {
    let store = site.store().await;
    let told = |expect| SaveRequest::new(id("a"), TOLD, expect);
    let seen = |saved: pflow_store::Saved| {
        let record = saved.record;
        (record.name.unwrap_or_default(), record.description.unwrap_or_default(), record.tags.join(","))
    };
    let three = |name: &str, description: &str, tags: &str| (name.into(), description.into(), tags.into());

    let saved = store.save(told(Expect::Absent).name("given").tags(["x", "y", "x"])).await.unwrap();
    assert_eq!((saved.record.version.as_deref(), saved.record.nodes.len()), (Some("1.5"), 0));
    assert_eq!(seen(saved), three("given", "own", "x,y"));
    // A document that says nothing of itself leaves what is known.
    let saved = store.save(save("a", "1", Expect::Any)).await.unwrap();
    assert_eq!((saved.record.version.clone(), saved.record.nodes.clone()), (None, vec!["echo".to_owned()]));
    assert_eq!(seen(saved), three("given", "own", "x,y"));
    // One that says something is heard.
    assert_eq!(seen(store.save(told(Expect::Any)).await.unwrap()), three("own", "own", "own"));
    let saved = store.save(told(Expect::Any).description("given").tags([""; 0])).await.unwrap();
    assert_eq!(seen(saved), three("own", "given", ""));
    let saved = store.save(save("a", "2", Expect::Any)).await.unwrap();
    assert_eq!(seen(saved), three("own", "given", ""), "no tags are known too");
}

async fn limits_are_kept(site: Site) {
    let store = site.store().await;
    let before = site.dump().await;
    let new = || save("a", "1", Expect::Absent);
    let long = |bytes: usize| "x".repeat(bytes + 1);
    let many = (0..=MAX_TAGS).map(|n| n.to_string());
    for (request, name) in [
        (new().name(" "), "name"),
        (new().name(long(MAX_NAME_BYTES)), "name"),
        (new().name("a\0"), "name"),
        (new().description(long(MAX_DESCRIPTION_BYTES)), "description"),
        (new().tags(["a", ""]), "tag"),
        (new().tags([long(MAX_TAG_BYTES)]), "tag"),
        (new().tags(many), "tags"),
        (new().message(""), "message"),
        (new().message(long(4096)), "message"),
    ] {
        let refused = store.save(request).await.unwrap_err();
        assert!(matches!(&refused, Error::InvalidField { field, .. } if *field == name), "{refused}");
    }
    let refused =
        store.delete(DeleteRequest::new(id("a"), Expect::Any).message(long(4096))).await.unwrap_err();
    assert!(matches!(refused, Error::InvalidField { field: "message", .. }));
    assert_eq!(site.dump().await, before);
    let longest = new().name("x".repeat(MAX_NAME_BYTES)).tags((0..MAX_TAGS).map(|n| n.to_string()));
    store.save(longest.message("x".repeat(4096))).await.unwrap();
    assert_eq!(listed(&store).await, ["a"]);
}

async fn every_record_names_its_parent_by_its_hash(site: Site) {
    let store = site.store().await;
    let began = site.environment.now();
    store.save(save("a", "1", Expect::Absent).message("first")).await.unwrap();
    site.environment.advance(Duration::from_secs(60));
    store.delete(DeleteRequest::new(id("a"), Expect::Any)).await.unwrap();
    let other = site.other_store(2).await;
    other.undelete(UndeleteRequest::new(id("a"), Expect::Any).message("back")).await.unwrap();

    let mut parents = Vec::new();
    for (key, bytes) in site.dump().await.into_iter().filter(|(key, _)| key.starts_with("versions/a/")) {
        let line = bytes.split(|byte| *byte == b'\n').next().unwrap();
        let record: serde_json::Value = serde_json::from_slice(line).unwrap();
        let record = &record["record"];
        let (generation, version_id) = (&record["generation"], record["version_id"].as_str().unwrap());
        let number = generation.as_u64().unwrap();
        assert_eq!(key, format!("versions/a/{number:012}-{version_id}"));
        assert_eq!(record["parents"], serde_json::json!(parents));
        assert_eq!(record["created"], serde_json::json!(began));
        let content = &bytes[line.len() + 1..];
        let (author, message, text) = match number {
            1 => ("tester@host-1", serde_json::json!("first"), plan("1")),
            2 => ("tester@host-1", serde_json::Value::Null, String::new()),
            _ => ("tester@host-2", serde_json::json!("back"), plan("1")),
        };
        assert_eq!((record["author"].as_str().unwrap(), &record["message"]), (author, &message));
        assert_eq!((content, record["size"].as_u64().unwrap()), (text.as_bytes(), text.len() as u64));
        let hash = (number != 2).then(|| ContentHash::of(text.as_bytes()));
        assert_eq!(record["hash"], serde_json::json!(hash));
        assert_eq!(record["deleted"], number == 2);
        assert_eq!(record["operation"], ["save", "delete", "undelete"][number as usize - 1]);
        let record_hash = ContentHash::of(line);
        parents = vec![serde_json::json!(
            { "generation": generation, "version_id": version_id, "record_hash": record_hash }
        )];
    }
    let head = store.show(&id("a")).await.unwrap();
    assert_eq!(serde_json::json!([head.current.unwrap().reference()]), serde_json::json!(parents));
}
