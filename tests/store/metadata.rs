//! The metadata of a version: its sources, its limits, and the record that stores it.

use std::{sync::Arc, time::Duration};

use pflow_store::{
    ChangeRequest, Error, Expect, Query, SaveRequest,
    backend::Environment,
    conflict::Policy,
    document::{ContentHash, MAX_DESCRIPTION_BYTES, MAX_NAME_BYTES, MAX_TAG_BYTES, MAX_TAGS},
    format::{Sourced, VersionRecord},
};
use pflow_testkit::{Site, every_backend, id, listed, listing, plan, save};

every_backend!(
    given_metadata_overrides_the_document,
    metadata_that_a_document_drops_is_gone,
    empty_field_removes_given_metadata,
    merge_keeps_given_metadata_separate,
    limits_are_enforced,
    every_record_names_its_parent_by_hash,
);

const TOLD: &str = r#"{ "name": "own", "description": "own", "tags": ["own"], "version": 1.5, "nodes": [] }"#;

async fn given_metadata_overrides_the_document(site: Site) {
    let store = site.store().await;
    let told = |expect| SaveRequest::new(id("a"), TOLD, expect);
    let seen = |saved: pflow_store::Saved| {
        let record = saved.record;
        let text = |field: &Sourced<Option<String>>| field.text().unwrap_or_default().to_owned();
        (text(&record.name), text(&record.description), record.tags.value().join(","))
    };
    let three = |name: &str, description: &str, tags: &str| (name.into(), description.into(), tags.into());

    let saved = store.save(told(Expect::Absent).name("given").tags(["x", "y", "x"])).await.unwrap();
    assert_eq!((saved.record.version.as_deref(), saved.record.nodes.len()), (Some("1.5"), 0));
    assert_eq!(seen(saved), three("given", "own", "x,y"));
    // A document without metadata keeps what was given, and drops what another document said.
    let saved = store.save(save("a", "1", Expect::Any)).await.unwrap();
    assert_eq!((saved.record.version.clone(), saved.record.nodes.clone()), (None, vec!["echo".to_owned()]));
    assert_eq!(seen(saved), three("given", "", "x,y"));
    // A given value counts until it is cleared, also over a document that has the field.
    assert_eq!(seen(store.save(told(Expect::Any)).await.unwrap()), three("given", "own", "x,y"));
    let saved = store.save(told(Expect::Any).clear_name().clear_tags()).await.unwrap();
    assert_eq!(seen(saved), three("own", "own", "own"));
    let saved = store.save(told(Expect::Any).description("given").tags([""; 0])).await.unwrap();
    assert_eq!(seen(saved), three("own", "given", ""));
    let saved = store.save(save("a", "2", Expect::Any)).await.unwrap();
    assert_eq!(seen(saved), three("", "given", ""), "the name was the document's, the description was given");
}

/// Returns a workflow whose document has these fields besides its nodes, and this text in a node.
fn saying(fields: &str, text: &str) -> String {
    format!(
        r#"{{ {fields} "nodes": [ {{ "id": "n", "type": "echo", "params": {{ "text": "{text}" }} }} ] }}"#
    )
}

fn known(record: &VersionRecord) -> (Option<&str>, Option<&str>, String) {
    (record.name.text(), record.description.text(), record.tags.value().join(","))
}

/// Returns how many of the fields were given.
fn given_fields(record: &VersionRecord) -> usize {
    let texts = [&record.name, &record.description].map(|text| text.given().is_some());
    texts.into_iter().chain([record.tags.given().is_some()]).filter(|is_given| *is_given).count()
}

const ALL: &str = r#""name": "own", "description": "own", "tags": ["own"],"#;

async fn metadata_that_a_document_drops_is_gone(site: Site) {
    let store = site.store().await;
    let request = |fields: &str| SaveRequest::new(id("a"), saying(fields, "1"), Expect::Any);
    let first = store.save(request(ALL)).await.unwrap().record;
    assert_eq!((known(&first), given_fields(&first)), ((Some("own"), Some("own"), "own".to_owned()), 0));
    let dropped = store.save(request("")).await.unwrap().record;
    assert_eq!((known(&dropped), given_fields(&dropped)), ((None, None, String::new()), 0));
    assert_eq!(listing(&store, Query::new().tags(["own"])).await.unwrap().workflows.len(), 0);
    // Given metadata survives a deletion and an undelete, and a person's edit without metadata.
    let given = |fields: &str| request(fields).name("given").description("given").tags(["given"]);
    store.save(given("")).await.unwrap();
    store.delete(ChangeRequest::new(id("a"), Expect::Any)).await.unwrap();
    store.undelete(ChangeRequest::new(id("a"), Expect::Any)).await.unwrap();
    let kept = store.save(SaveRequest::new(id("a"), saying("", "2"), Expect::Any)).await.unwrap().record;
    assert_eq!(known(&kept), (Some("given"), Some("given"), "given".to_owned()));
    let cleared = request(ALL).clear_name().clear_description().clear_tags();
    assert_eq!(
        known(&store.save(cleared).await.unwrap().record),
        (Some("own"), Some("own"), "own".to_owned())
    );
    // A blank field, an empty list and null mean that there is none.
    for none in [
        r#""name": null, "description": null, "tags": null,"#,
        r#""name": " ", "description": "", "tags": [],"#,
    ] {
        assert_eq!(known(&store.save(request(none)).await.unwrap().record), (None, None, String::new()));
    }
}

async fn empty_field_removes_given_metadata(site: Site) {
    let store = site.store().await;
    let request = |fields: &str| SaveRequest::new(id("a"), saying(fields, "1"), Expect::Any);
    let none = |fields: &str| request(fields).name("").description("").tags([""; 0]);
    for fields in ["", ALL] {
        store.save(request(fields).name("given").description("given").tags(["given"])).await.unwrap();
        let cleared = store.save(none(fields)).await.unwrap();
        assert_eq!((known(&cleared.record), cleared.unchanged), ((None, None, String::new()), false));
        assert!(store.save(none(fields)).await.unwrap().unchanged);
    }
    // That there is none was given, so it counts over a document that has the field.
    let still = store.save(request(ALL)).await.unwrap();
    assert_eq!((known(&still.record), given_fields(&still.record)), ((None, None, String::new()), 3));
    // Clearing what was not given changes nothing.
    store.save(request(ALL).clear_name().clear_description().clear_tags()).await.unwrap();
    assert!(store.save(request(ALL).clear_name()).await.unwrap().unchanged);
    // Giving what the document says already is a change: it remains when the document drops it.
    assert!(!store.save(request(ALL).name("own")).await.unwrap().unchanged);
    assert_eq!(known(&store.save(request("")).await.unwrap().record).0, Some("own"));
}

async fn merge_keeps_given_metadata_separate(site: Site) {
    let store = site.store().await;
    let name = r#""name": "own","#;
    let tags = r#""tags": ["own"],"#;
    let base = |case: &str, fields: &str| SaveRequest::new(id(case), saying(fields, "1"), Expect::Absent);
    let theirs = |case: &str, fields: &str| SaveRequest::new(id(case), saying(fields, "1"), Expect::Any);
    let ours = |case: &str, fields: &str| {
        let request = SaveRequest::new(id(case), saying(fields, "ours"), Expect::Generation(1));
        request.resolver(Arc::new(Policy::Merge))
    };
    let saves = [
        [base("a", name), theirs("a", name).tags(["t"]), ours("a", "")],
        [base("b", "").name("given"), theirs("b", "").tags(["t"]), ours("b", "")],
        [base("c", name), theirs("c", name).tags(["t"]), ours("c", name).name("mine")],
        [base("d", tags), theirs("d", ""), ours("d", tags)],
        [base("e", tags).name("given"), theirs("e", tags).name(""), ours("e", tags)],
    ];
    // The name and the tags after the merge, and which of them were given.
    let wanted = [
        (None, "t", None, Some("t")),
        (Some("given"), "t", Some("given"), Some("t")),
        (Some("mine"), "t", Some("mine"), Some("t")),
        (None, "", None, None),
        (None, "own", Some(""), None),
    ];
    for ([base, theirs, ours], wanted) in saves.into_iter().zip(wanted) {
        store.save(base).await.unwrap();
        store.save(theirs).await.unwrap();
        let record = store.save(ours).await.unwrap().record;
        let given = record.tags.given().map(|tags| tags.join(","));
        let (tags, name) = (record.tags.value().join(","), record.name.given());
        let name = name.map(|name| name.as_deref().unwrap_or_default());
        let seen = (record.name.text(), tags.as_str(), name, given.as_deref());
        assert_eq!(seen, wanted);
        assert_eq!(record.generation, 3);
    }
}

async fn limits_are_enforced(site: Site) {
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
        store.delete(ChangeRequest::new(id("a"), Expect::Any).message(long(4096))).await.unwrap_err();
    assert!(matches!(refused, Error::InvalidField { field: "message", .. }));
    assert_eq!(site.dump().await, before);
    let longest = new().name("x".repeat(MAX_NAME_BYTES)).tags((0..MAX_TAGS).map(|n| n.to_string()));
    store.save(longest.message("x".repeat(4096))).await.unwrap();
    assert_eq!(listed(&store).await, ["a"]);
    // Every bound at once, counted as it is written in JSON: the record still fits.
    let nodes: Vec<_> = (0..99)
        .map(|n| serde_json::json!({ "id": n.to_string(), "type": format!("{n}{}", "\u{1}".repeat(20)) }))
        .collect();
    let document = serde_json::json!({ "version": "\u{1}".repeat(10), "nodes": nodes }).to_string();
    let tags = (10..72).map(|n| format!("{n}{}", "\u{1}".repeat(10)));
    let fullest = SaveRequest::new(id("full"), document, Expect::Absent)
        .name("\u{1}".repeat(MAX_NAME_BYTES / 6))
        .description("\u{1}".repeat(MAX_DESCRIPTION_BYTES / 6))
        .tags(tags)
        .message("\u{1}".repeat(4096 / 6));
    store.save(fullest.clone()).await.unwrap();
    let refused = store.save(fullest.message("\u{1}".repeat(4096 / 6 + 1))).await.unwrap_err();
    assert!(refused.to_string().contains("4098 bytes when it is written in JSON"), "{refused}");
    let dump = site.dump().await;
    let (_, object) = dump.iter().find(|(key, _)| key.starts_with("versions/full/")).unwrap();
    let longest = object.split(|byte| *byte == b'\n').map(<[u8]>::len).max().unwrap();
    assert!((13_000..=16 * 1024).contains(&longest), "{longest}");
}

async fn every_record_names_its_parent_by_hash(site: Site) {
    let store = site.store().await;
    let began = site.environment.now();
    store.save(save("a", "1", Expect::Absent).message("first")).await.unwrap();
    site.environment.advance(Duration::from_secs(60));
    store.delete(ChangeRequest::new(id("a"), Expect::Any)).await.unwrap();
    let other = site.other_store(2).await;
    other.undelete(ChangeRequest::new(id("a"), Expect::Any).message("back")).await.unwrap();

    let mut parents = Vec::new();
    for (key, bytes) in site.dump().await.into_iter().filter(|(key, _)| key.starts_with("versions/a/")) {
        let mut lines = bytes.splitn(3, |byte| *byte == b'\n');
        let (envelope, line, content) = (lines.next().unwrap(), lines.next().unwrap(), lines.next().unwrap());
        let envelope: serde_json::Value = serde_json::from_slice(envelope).unwrap();
        let record: serde_json::Value = serde_json::from_slice(line).unwrap();
        assert_eq!(envelope["record_bytes"].as_u64().unwrap(), line.len() as u64);
        assert_eq!(envelope["record_hash"], serde_json::json!(ContentHash::of(line)));
        assert_eq!((&record["id"], &envelope["content_bytes"]), (&serde_json::json!("a"), &record["size"]));
        let (generation, version_id) = (&record["generation"], record["version_id"].as_str().unwrap());
        let number = generation.as_u64().unwrap();
        assert_eq!(key, format!("versions/a/{number:012}-{version_id}"));
        assert_eq!(record["parents"], serde_json::json!(parents));
        assert_eq!(record["created"], serde_json::json!(began));
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
