//! Three-way merge, case by case: what merges.

use crate::support::cases::{BASE, clean, document, edited, pretty};
use pflow_store::document::{DocumentFormat, DocumentReader, Limits};
use pflow_store::merge::{Merge, changes, merge};
use serde_json::{Value, json};

/// No rule of pflow applies to the JSON of another tool: nodes without an id are no nodes with one name.
#[test]
fn lists_of_other_tools_are_merged_as_wholes() {
    let read = |text: &str| {
        let reader = DocumentReader::new().format(DocumentFormat::OtherJson);
        reader.read(text.to_owned()).unwrap()
    };
    let base = read(r#"{"nodes": [{"name": "a"}, {"name": "b"}], "edges": [{"from": "x"}], "name": "n"}"#);
    let ours = read(r#"{"nodes": [{"name": "A"}, {"name": "b"}], "edges": [{"from": "x"}], "name": "n"}"#);
    let theirs = read(r#"{"nodes": [{"name": "a"}, {"name": "b"}], "edges": [], "name": "m"}"#);
    let Merge::Clean(merged) = merge(Some(&base), &ours, &theirs, &Limits::default()) else {
        panic!("not clean")
    };
    let value: Value = serde_json::from_slice(merged.bytes()).unwrap();
    assert_eq!(value, json!({"nodes": [{"name": "A"}, {"name": "b"}], "edges": [], "name": "m"}));
    let theirs = read(r#"{"nodes": [{"name": "a"}, {"name": "B"}], "edges": [{"from": "x"}], "name": "n"}"#);
    let Merge::Overlapping(overlaps) = merge(Some(&base), &ours, &theirs, &Limits::default()) else {
        panic!("not overlapping")
    };
    assert_eq!(overlaps.iter().map(|it| it.path.to_string()).collect::<Vec<_>>(), ["nodes"]);
    assert_eq!(changes(&base, &theirs).unwrap().len(), 1);
}

#[test]
fn edits_of_different_parameters_merge_and_leave_everything_else_as_it_was_written() {
    let ours = edited(&[("https://a", "https://b"), (r#""daily","#, r#""nightly","#)]);
    let theirs =
        edited(&[(r#""retries": 3"#, r#""retries": 1.0e2"#), (r#""path": "out""#, r#""path":"in""#)]);
    let expected = edited(&[
        (
            r#""params": { "url": "https://a", "retries": 3 } }"#,
            "\"params\": {\n        \"url\": \"https://b\",\n        \"retries\": 1.0e2\n      }\n    }",
        ),
        (
            r#"{ "id": "fetch", "type": "http", "#,
            "{\n      \"id\": \"fetch\",\n      \"type\": \"http\",\n      ",
        ),
        (r#""path": "out""#, r#""path":"in""#),
        (r#""daily","#, r#""nightly","#),
    ]);
    let merged = clean(&document(BASE), &ours, &theirs);
    assert_eq!(merged.bytes(), expected.bytes(), "only the node that both sides edited has a new layout");
}

#[test]
fn tags_merge_as_a_set() {
    let ours = edited(&[(r#"["etl", "daily"]"#, r#"["etl", "daily", "urgent"]"#)]);
    let theirs = edited(&[(r#"["etl", "daily"]"#, r#"["new", "daily"]"#)]);
    let merged = clean(&document(BASE), &ours, &theirs);
    assert_eq!(merged.metadata().tags, ["new", "daily", "urgent"]);
}

#[test]
fn nodes_and_edges_that_each_side_adds_stand_behind_what_they_followed() {
    let base = document(BASE);
    let ours = edited(&[
        ("\"retries\": 3 } },", "\"retries\": 3 } },\n    { \"id\": \"check\", \"type\": \"x\" },"),
        (
            r#"{ "from": "fetch", "to": "store" }"#,
            r#"{ "from": "fetch", "to": "check" }, { "from": "check", "to": "store" }"#,
        ),
    ]);
    let theirs = edited(&[
        (r#"{ "path": "out" } }"#, r#"{ "path": "out" } }, { "id": "tell", "type": "mail" }"#),
        (
            r#"{ "from": "fetch", "to": "store" }"#,
            r#"{ "from": "fetch", "to": "store" }, { "from": "store", "to": "tell" }"#,
        ),
    ]);
    let value: Value = serde_json::from_slice(clean(&base, &ours, &theirs).bytes()).unwrap();
    let ids: Vec<_> = value["nodes"].as_array().unwrap().iter().map(|node| node["id"].clone()).collect();
    assert_eq!(ids, ["fetch", "check", "store", "tell"]);
    let edges = [("fetch", "check"), ("check", "store"), ("store", "tell")];
    assert_eq!(
        value["edges"],
        edges.map(|(from, to)| json!({ "from": from, "to": to })).into_iter().collect::<Value>()
    );
}

#[test]
fn a_table_of_clean_merges() {
    let node = |id: &str| json!({ "id": id, "type": "t" });
    let edge = |from: &str, to: &str| json!({ "from": from, "to": to });
    let all = || vec![node("a"), node("b"), node("c")];
    for (what, base, ours, theirs, expected) in [
        (
            "both make the same edit",
            json!({ "x": 1, "y": 1 }),
            json!({ "x": 2, "y": 1 }),
            json!({ "x": 2, "y": 1, "z": 1 }),
            json!({ "x": 2, "y": 1, "z": 1 }),
        ),
        (
            "one side removes a node with its edge, the other edits another node",
            json!({ "nodes": all(), "edges": [edge("a", "b"), edge("b", "c")] }),
            json!({ "nodes": [node("a"), node("b")], "edges": [edge("a", "b")] }),
            json!({ "nodes": [{ "id": "a", "type": "u" }, node("b"), node("c")], "edges": [edge("a", "b"), edge("b", "c")] }),
            json!({ "nodes": [{ "id": "a", "type": "u" }, node("b")], "edges": [edge("a", "b")] }),
        ),
        (
            "one side reorders, the other adds",
            json!({ "nodes": all() }),
            json!({ "nodes": [node("c"), node("a"), node("b")] }),
            json!({ "nodes": [node("a"), node("x"), node("b"), node("c")] }),
            json!({ "nodes": [node("c"), node("a"), node("x"), node("b")] }),
        ),
        (
            "the first node is replaced by one side",
            json!({ "nodes": all() }),
            json!({ "nodes": [node("x"), node("b"), node("c")] }),
            json!({ "nodes": [node("a"), node("b"), node("c"), node("y")] }),
            json!({ "nodes": [node("x"), node("b"), node("c"), node("y")] }),
        ),
        (
            "one end and one label of an edge",
            json!({ "nodes": all(), "edges": [edge("a", "b")] }),
            json!({ "nodes": all(), "edges": [edge("a", "c")] }),
            json!({ "nodes": all(), "edges": [{ "from": "a", "to": "b", "action": "default", "label": "x" }] }),
            json!({ "nodes": all(), "edges": [{ "from": "a", "to": "c", "action": "default", "label": "x" }] }),
        ),
        (
            "where an action has several edges, they are a set",
            json!({ "nodes": all(), "edges": [edge("a", "a"), edge("a", "b")] }),
            json!({ "nodes": all(), "edges": [edge("a", "b")] }),
            json!({ "nodes": all(), "edges": [edge("a", "a"), edge("a", "b"), edge("a", "c")] }),
            json!({ "nodes": all(), "edges": [edge("a", "b"), edge("a", "c")] }),
        ),
        (
            "collections that were not there count as empty",
            json!({ "nodes": [node("a")], "tags": null }),
            json!({ "nodes": [{ "id": "a", "type": "t", "params": { "x": 1 } }], "tags": ["o"], "inputs": { "o": {} } }),
            json!({ "nodes": [{ "id": "a", "type": "t", "params": { "y": { "z": 1 } } }], "tags": ["t"], "inputs": { "t": {} } }),
            json!({
                "nodes": [{ "id": "a", "type": "t", "params": { "x": 1, "y": { "z": 1 } } }],
                "tags": ["o", "t"],
                "inputs": { "o": {}, "t": {} }
            }),
        ),
        (
            "within a wrapper",
            json!({ "name": "n", "ir": { "nodes": all(), "edges": [] }, "tags": [], "metadata": { "tags": ["x"] } }),
            json!({ "name": "m", "ir": { "nodes": all(), "edges": [edge("a", "b")] }, "tags": [], "metadata": { "tags": [] } }),
            json!({ "name": "n", "ir": { "nodes": all(), "edges": [edge("b", "c")] }, "tags": ["t"], "metadata": { "tags": ["x", "y"] } }),
            json!({
                "name": "m", "ir": { "nodes": all(), "edges": [edge("a", "b"), edge("b", "c")] }, "tags": ["t"],
                "metadata": { "tags": ["y"] }
            }),
        ),
    ] {
        let merged = clean(&pretty(&base), &pretty(&ours), &pretty(&theirs));
        let mut value: Value = serde_json::from_slice(merged.bytes()).unwrap();
        let mut expected = expected;
        for value in [&mut value, &mut expected] {
            // Sets.
            for path in ["/edges", "/ir/edges", "/tags"] {
                if let Some(Value::Array(list)) = value.pointer_mut(path) {
                    list.sort_by_key(ToString::to_string);
                }
            }
        }
        assert_eq!(value, expected, "{what}");
    }
}

#[test]
fn a_side_that_changed_nothing_gives_the_other_one_byte_for_byte() {
    let base = document(BASE);
    let other = document("{\"name\":\"x\", \"nodes\" :[ ]}  ");
    assert_eq!(clean(&base, &base, &other).bytes(), other.bytes());
    assert_eq!(clean(&base, &other, &other).bytes(), other.bytes());
    let reformatted = pretty(&serde_json::from_str(BASE).unwrap());
    assert_ne!(reformatted.bytes(), base.bytes());
    let edits = edited(&[("https://a", "https://b")]);
    let merged = clean(&base, &reformatted, &edits);
    let value: Value = serde_json::from_slice(merged.bytes()).unwrap();
    assert_eq!(value, serde_json::from_slice::<Value>(edits.bytes()).unwrap());
}

#[test]
fn the_style_is_that_of_the_side_that_changed_it() {
    let base = document("{\"a\":1,\"b\":{\"c\":1,\"d\":[1,2]}}");
    let ours = document(
        "{\r\n\t\"a\": 1,\r\n\t\"b\": {\r\n\t\t\"c\": 2,\r\n\t\t\"d\": [\r\n\t\t\t1,\r\n\t\t\t2\r\n\t\t]\r\n\t}\r\n}\r\n",
    );
    let theirs = document("{\"a\":1,\"b\":{\"c\":1,\"d\":[1,2,{\"e\":[]}]}}");
    let expected = "{\r\n\t\"a\": 1,\r\n\t\"b\": {\r\n\t\t\"c\": 2,\r\n\t\t\"d\": [\r\n\t\t\t1,\r\n\t\t\t2,\r\n\t\t\t{\r\n\t\t\t\t\"e\": []\r\n\
                    \t\t\t}\r\n\t\t]\r\n\t}\r\n}\r\n";
    assert_eq!(clean(&base, &ours, &theirs).bytes(), expected);
}

#[test]
fn numbers_keys_and_texts_keep_their_spelling() {
    let base =
        document(r#"{"big": 123456789012345678901234567890, "z": 1.10, "\u0061": 1, "x": 1, "y": "\u00e9"}"#);
    let ours =
        document(r#"{"big": 123456789012345678901234567890, "z": 1.10, "\u0061": 1, "x": 2, "y": "\u00e9"}"#);
    let theirs = document(r#"{"big": 123456789012345678901234567891, "z": 1.10, "a": 3, "x": 1, "y": "é"}"#);
    assert_eq!(
        clean(&base, &ours, &theirs).bytes(),
        r#"{"big": 123456789012345678901234567891, "z": 1.10, "a": 3, "x": 2, "y": "é"}"#
    );
}

#[test]
fn changes_are_lines_that_people_can_read() {
    let after = edited(&[
        ("https://a", "https://b"),
        (r#", "retries": 3"#, ""),
        (r#"["etl", "daily"]"#, r#"["daily", "new"]"#),
        (
            r#"{ "from": "fetch", "to": "store" }"#,
            r#"{ "from": "store", "to": "fetch", "action": "on error" }"#,
        ),
    ]);
    let shown = |changes: Vec<pflow_store::merge::Change>| {
        changes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(
        shown(changes(&document(BASE), &after).unwrap()),
        "+ tags[new]: \"new\"\n\
         - tags[etl]: \"etl\"\n\
         ~ nodes[id=fetch].params.url: \"https://a\" -> \"https://b\"\n\
         - nodes[id=fetch].params.retries: 3\n\
         + edges[from=store,action=\"on error\"]: {\"from\":\"store\",\"to\":\"fetch\",\"action\":\"on error\"}\n\
         - edges[from=fetch,action=default]: {\"from\":\"fetch\",\"to\":\"store\"}"
    );
    let node = |id: &str| json!({ "id": id, "type": "t" });
    let (a, b) = (json!({ "nodes": [node("a"), node("b")] }), json!({ "nodes": [node("b"), node("a")] }));
    assert_eq!(
        shown(changes(&pretty(&a), &pretty(&b)).unwrap()),
        r#"~ nodes (order): ["a","b"] -> ["b","a"]"#
    );
    assert_eq!(shown(changes(&document(BASE), &pretty(&serde_json::from_str(BASE).unwrap())).unwrap()), "");
}
