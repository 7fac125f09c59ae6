//! Which documents are accepted, and the metadata that is read from them.

use pflow_store::document::{
    ContentHash, Document, Limits, MAX_DESCRIPTION_BYTES, MAX_NAME_BYTES, MAX_NODE_TYPES, MediaType, Metadata,
};

fn document(text: &str) -> Document {
    Document::parse(text.to_owned(), &Limits::default()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn metadata(text: &str) -> Metadata {
    document(text).metadata().clone()
}

#[test]
fn the_bytes_are_kept_and_hashed_as_they_are() {
    let text =
        "\r\n{ \"z\": 1.0e0,\t\"a\":\"\\u00e4\", \"big\": 12345678901234567890123, \"huge\": -1e400 }  \n";
    let document = document(text);
    assert_eq!(document.bytes(), text.as_bytes());
    assert_eq!(document.hash(), ContentHash::of(text.as_bytes()));
    assert_eq!(document.size(), text.len() as u64);
    assert_eq!(document.media_type(), MediaType::Json);
    assert_eq!(*document.metadata(), Metadata::default());
    assert!(!format!("{document:?}").contains("1.0e0"), "debugging shows no content");
}

#[test]
fn documents_that_are_fine() {
    for text in [
        "{}",
        r#"{"name": null, "tags": null, "nodes": null, "edges": null, "ir": null, "start_node": null}"#,
        r#"{"ir_version": "10.200.3000", "unknown": [{"id": 1}, {"id": 1}]}"#,
        r#"{"nodes": [{"id": "a", "type": "t", "params": null, "batch": [], "purpose": 1}]}"#,
        // A loop, an edge to itself, the same edge twice.
        r#"{"nodes": [{"id": "a", "type": "t"}], "edges": [{"from": "a", "to": "a"}, {"from": "a", "to": "a"}]}"#,
        // Two graphs do not see each other's ids.
        r#"{"nodes": [{"id": "a", "type": "t"}], "ir": {"nodes": [{"id": "a", "type": "t"}]}}"#,
        // What a wrapper without nodes says of nodes is about the IR's.
        r#"{"start_node": "a", "ir": {"nodes": [{"id": "a", "type": "t"}]}}"#,
        // Metadata describes and runs nothing.
        r#"{"metadata": {"nodes": 3, "edges": [1], "start_node": "x", "ir_version": 1}}"#,
        r#"{"metadata": "free text"}"#,
        r#"{"params": "of the workflow"}"#,
    ] {
        document(text);
    }
}

#[test]
fn each_field_comes_from_the_first_level_that_has_it() {
    let all = metadata(
        r#"{
            "ir": { "name": "ir", "description": "ir", "tags": ["ir"], "version": "3" },
            "metadata": { "name": "plan", "description": "plan", "tags": [" "], "version": 2.5 },
            "name": "top", "description": "  "
        }"#,
    );
    assert_eq!(all.name.as_deref(), Some("top"));
    assert_eq!(all.description.as_deref(), Some("plan"), "a blank one is none");
    assert_eq!(all.tags, ["ir"]);
    assert_eq!(all.version.as_deref(), Some("2.5"));
}

#[test]
fn a_version_may_be_text_or_number() {
    for (version, expected) in [
        (r#"" 1.2.0 ""#, "1.2.0"),
        ("2", "2"),
        ("-1", "-1"),
        ("1.5", "1.5"),
        ("1.0", "1.0"),
        ("1.10", "1.10"),
        ("1e400", "1e400"),
    ] {
        let found = metadata(&format!(r#"{{"version": {version}}}"#)).version;
        assert_eq!(found.as_deref(), Some(expected));
    }
    assert_eq!(metadata(r#"{"version": ""}"#).version, None);
}

#[test]
fn node_types_are_distinct_in_order_of_first_appearance() {
    let node = |id: &str, kind: &str| format!(r#"{{"id": "{id}", "type": "{kind}"}}"#);
    let nodes = [node("1", "llm"), node("2", "read-file"), node("3", "llm"), node("4", "\\u0061")].join(",");
    let expected = ["llm", "read-file", "a"];
    assert_eq!(metadata(&format!(r#"{{"nodes": [{nodes}]}}"#)).nodes, expected);
    assert_eq!(
        metadata(&format!(r#"{{"metadata": {{"nodes": ["x"]}}, "ir": {{"nodes": [{nodes}]}}}}"#)).nodes,
        expected
    );
    let plan = r#"{"metadata": {"nodes": [{"type": "llm"}, "shell", 3, {"type": "llm"}]}}"#;
    assert_eq!(metadata(plan).nodes, ["llm", "shell"]);
}

#[test]
fn metadata_is_bounded_and_the_document_is_not_cut() {
    let long = "ä".repeat(5000);
    let nodes: Vec<_> = (0..1000).map(|n| format!(r#"{{"id": "{n}", "type": "t{n}"}}"#)).collect();
    let text = format!(r#"{{"name": "{long}", "description": "{long}", "nodes": [{}]}}"#, nodes.join(","));
    let document = document(&text);
    let Metadata { name, description, nodes, .. } = document.metadata();
    let (name, description) = (name.as_deref().unwrap(), description.as_deref().unwrap());
    assert!(name.len() <= MAX_NAME_BYTES && name.ends_with("ä…"), "{name}");
    assert!(description.len() <= MAX_DESCRIPTION_BYTES && description.ends_with("ä…"), "{description}");
    assert_eq!(nodes.len(), MAX_NODE_TYPES);
    assert_eq!(nodes[1], "t1");
    assert_eq!(document.bytes(), text.as_bytes());
}
