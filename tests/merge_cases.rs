//! Three-way merge, case by case.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use bytes::Bytes;
use pflow_store::{
    document::{Document, DocumentError, Limits},
    merge::{Clash, Merge, Overlap, Side, changes, merge},
};
use serde_json::{Value, json};

fn document(text: impl Into<Bytes>) -> Document {
    Document::parse(text, &Limits::default()).unwrap()
}

fn pretty(value: &Value) -> Document {
    document(format!("{value:#}\n"))
}

/// Merges both ways, which must not make a difference.
fn merged(base: Option<&Document>, ours: &Document, theirs: &Document) -> Merge {
    let limits = Limits::default();
    let merged = merge(base, ours, theirs, &limits);
    match (&merged, merge(base, theirs, ours, &limits)) {
        (Merge::Clean(one), Merge::Clean(other)) => assert_eq!(one.bytes(), other.bytes()),
        (Merge::Overlapping(one), Merge::Overlapping(other)) => {
            let exchanged = |overlap: &Overlap| {
                let clash = match &overlap.clash {
                    Clash::RemovedNode { id, by } => Clash::RemovedNode { id: id.clone(), by: by.other() },
                    clash => clash.clone(),
                };
                (
                    overlap.path.clone(),
                    clash,
                    overlap.base.clone(),
                    overlap.theirs.clone(),
                    overlap.ours.clone(),
                )
            };
            let as_it_is = |overlap: &Overlap| {
                let Overlap { path, clash, base, ours, theirs, .. } = overlap.clone();
                (path, clash, base, ours, theirs)
            };
            assert_eq!(
                one.iter().map(as_it_is).collect::<Vec<_>>(),
                other.iter().map(exchanged).collect::<Vec<_>>()
            );
        }
        (Merge::Refused(one), Merge::Refused(other)) => assert_eq!(*one, other),
        (one, other) => panic!("{one:?}\n{other:?}"),
    }
    merged
}

fn clean(base: &Document, ours: &Document, theirs: &Document) -> Document {
    match merged(Some(base), ours, theirs) {
        Merge::Clean(document) => document,
        other => panic!("{other:?}"),
    }
}

fn overlaps(base: Option<&Document>, ours: &Document, theirs: &Document) -> Vec<Overlap> {
    match merged(base, ours, theirs) {
        Merge::Overlapping(overlaps) => overlaps,
        other => panic!("{other:?}"),
    }
}

fn lines(overlaps: &[Overlap]) -> String {
    overlaps.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// A workflow in the layout that people use, which serde_json would not keep.
const BASE: &str = r#"{
  "name": "daily",
  "tags": ["etl", "daily"],
  "nodes": [
    { "id": "fetch", "type": "http", "params": { "url": "https://a", "retries": 3 } },
    { "id": "store", "type": "write", "params": { "path": "out" } }
  ],
  "edges": [
    { "from": "fetch", "to": "store" }
  ]
}
"#;

/// The base with some texts replaced, each of which it has just once.
fn edited(edits: &[(&str, &str)]) -> Document {
    document(edits.iter().fold(BASE.to_owned(), |text, (from, to)| {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        text.replace(from, to)
    }))
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
    assert_eq!(
        merged.bytes(),
        expected.bytes(),
        "only the node that has edits of both sides is laid out anew"
    );
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
fn what_both_changed_differently_is_listed_with_all_three_values() {
    let ours = edited(&[("https://a", "https://b"), (r#""daily","#, r#""nightly","#)]);
    let theirs = edited(&[("https://a", "https://c"), ("\"name\": \"daily\",\n  ", "")]);
    let overlaps = overlaps(Some(&document(BASE)), &ours, &theirs);
    assert_eq!(
        lines(&overlaps),
        "name: ours \"nightly\", theirs nothing, before \"daily\"\n\
         nodes[id=fetch].params.url: ours \"https://b\", theirs \"https://c\", before \"https://a\""
    );
    let texts = [&overlaps[1].base, &overlaps[1].ours, &overlaps[1].theirs]
        .map(|value| value.as_ref().unwrap().as_json());
    assert_eq!(texts, [r#""https://a""#, r#""https://b""#, r#""https://c""#]);
}

#[test]
fn a_table_of_clashes() {
    let node = |id: &str| json!({ "id": id, "type": "t" });
    let edge = |from: &str, to: &str| json!({ "from": from, "to": to });
    let base = json!({ "nodes": [node("a"), node("b"), node("c")], "edges": [edge("a", "b")] });
    let with = |changes: Value| {
        let mut value = base.clone();
        value.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        value
    };
    for (what, ours, theirs, expected) in [
        (
            "a node that the other side edits is removed",
            with(json!({ "nodes": [node("a"), node("b")] })),
            with(json!({ "nodes": [node("a"), node("b"), { "id": "c", "type": "u" }] })),
            r#"nodes[id=c]: ours nothing, theirs {"id":"c","type":"u"}, before {"id":"c","type":"t"}"#,
        ),
        (
            "an edge leads to a node that the other side removed",
            with(json!({ "nodes": [node("a"), node("b")] })),
            with(json!({ "edges": [edge("a", "b"), edge("b", "c")] })),
            r#"edges[from=b,action=default]: theirs leads to "c", which ours removed"#,
        ),
        (
            "an edge is edited here and goes with its node there",
            with(json!({ "edges": [{ "from": "a", "label": "x", "to": "b" }] })),
            with(json!({ "nodes": [node("a"), node("c")], "edges": [] })),
            r#"edges[from=a,action=default]: ours {"from":"a","label":"x","to":"b"}, theirs nothing, before {"from":"a","to":"b"}"#,
        ),
        (
            "a new start was removed by the other side",
            with(json!({ "nodes": [node("a"), node("b")] })),
            with(json!({ "start_node": "c" })),
            r#"start_node: theirs leads to "c", which ours removed"#,
        ),
        (
            "an edge gets two new ends",
            with(json!({ "edges": [edge("a", "a")] })),
            with(json!({ "edges": [edge("a", "c")] })),
            r#"edges[from=a,action=default].to: ours "a", theirs "c", before "b""#,
        ),
        (
            "an edge is removed here and led elsewhere there",
            with(json!({ "edges": [] })),
            with(json!({ "edges": [edge("a", "c")] })),
            r#"edges[from=a,action=default]: ours nothing, theirs {"from":"a","to":"c"}, before {"from":"a","to":"b"}"#,
        ),
        (
            "a node gets two successors for one action",
            with(json!({ "edges": [edge("a", "b"), edge("b", "c")] })),
            with(json!({ "edges": [edge("a", "b"), edge("b", "a")] })),
            r#"edges[from=b,action=default].to: ours "c", theirs "a", before nothing"#,
        ),
        (
            "two nodes are added under one id",
            with(
                json!({ "nodes": [node("a"), node("b"), node("c"), { "id": "x", "type": "1", "batch": 1 }] }),
            ),
            with(
                json!({ "nodes": [node("a"), node("b"), node("c"), { "id": "x", "type": "2", "params": {} }] }),
            ),
            "nodes[id=x].batch: ours 1, theirs nothing, before nothing\n\
             nodes[id=x].params: ours nothing, theirs {}, before nothing\n\
             nodes[id=x].type: ours \"1\", theirs \"2\", before nothing",
        ),
        (
            "nodes are reordered in two ways",
            with(json!({ "nodes": [node("a"), node("c"), node("b")] })),
            with(json!({ "nodes": [node("c"), node("a"), node("b")] })),
            r#"nodes (order): ours ["a","c","b"], theirs ["c","a","b"], before ["a","b","c"]"#,
        ),
        (
            "two nodes want to be the first",
            with(json!({ "nodes": [node("x"), node("a"), node("b"), node("c")] })),
            with(json!({ "nodes": [node("y"), node("a"), node("b"), node("c")] })),
            r#"start_node: ours "x", theirs "y", before "a""#,
        ),
        (
            "one side starts elsewhere by name and the other by order",
            with(json!({ "start_node": "b" })),
            with(json!({ "nodes": [node("x"), node("a"), node("b"), node("c")] })),
            r#"start_node: ours "b", theirs "x", before "a""#,
        ),
        (
            "a list is changed twice",
            with(json!({ "list": [1, 2] })),
            with(json!({ "list": [1, 3] })),
            "list: ours [1,2], theirs [1,3], before nothing",
        ),
        (
            "an object becomes something else",
            with(
                json!({ "edges": [edge("a", "b")], "nodes": [{ "id": "a", "type": "t", "x": { "y": 1 } }, node("b"), node("c")] }),
            ),
            with(
                json!({ "edges": [edge("a", "b")], "nodes": [{ "id": "a", "type": "t", "x": 1 }, node("b"), node("c")] }),
            ),
            r#"nodes[id=a].x: ours {"y":1}, theirs 1, before nothing"#,
        ),
    ] {
        assert_eq!(
            lines(&overlaps(Some(&pretty(&base)), &pretty(&ours), &pretty(&theirs))),
            expected,
            "{what}"
        );
    }
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
fn without_an_ancestor_everything_that_differs_overlaps() {
    let ours = edited(&[("https://a", "https://b"), (r#""retries": 3"#, r#""ours": 3"#)]);
    let theirs = edited(&[(r#""etl", "#, "")]);
    assert_eq!(
        lines(&overlaps(None, &ours, &theirs)),
        "tags[etl]: ours \"etl\", theirs nothing, before nothing\n\
         nodes[id=fetch].params.url: ours \"https://b\", theirs \"https://a\", before nothing\n\
         nodes[id=fetch].params.retries: ours nothing, theirs 3, before nothing\n\
         nodes[id=fetch].params.ours: ours 3, theirs nothing, before nothing"
    );
    let respelled = pretty(&serde_json::from_slice(ours.bytes()).unwrap());
    assert!(matches!(merged(None, &ours, &respelled), Merge::Clean(_)));
}

#[test]
fn a_merge_that_is_no_valid_document_is_refused() {
    let base = document(r#"{"a": "", "b": ""}"#);
    let ours = document(format!(r#"{{"a": "{}", "b": ""}}"#, "x".repeat(80)));
    let theirs = document(format!(r#"{{"a": "", "b": "{}"}}"#, "y".repeat(80)));
    let limits = Limits { max_bytes: 100, ..Limits::default() };
    let refused = merge(Some(&base), &ours, &theirs, &limits);
    assert!(matches!(refused, Merge::Refused(DocumentError::TooLarge { limit: 100, .. })), "{refused:?}");

    // The outer edge means the outer node once there is one.
    let base = document(r#"{"ir": {"nodes": [{"id": "a", "type": "t"}]}}"#);
    let ours =
        document(r#"{"ir": {"nodes": [{"id": "a", "type": "t"}]}, "edges": [{"from": "a", "to": "a"}]}"#);
    let theirs =
        document(r#"{"ir": {"nodes": [{"id": "a", "type": "t"}]}, "nodes": [{"id": "b", "type": "t"}]}"#);
    let refused = merged(Some(&base), &ours, &theirs);
    assert!(matches!(refused, Merge::Refused(DocumentError::Invalid { .. })), "{refused:?}");
}

#[test]
fn both_sides_removed_what_the_other_one_needs() {
    let node = |id: &str| json!({ "id": id, "type": "t" });
    let base = pretty(&json!({ "nodes": [node("a"), node("b"), node("c")] }));
    let ours = pretty(&json!({ "nodes": [node("a"), node("b")], "edges": [{ "from": "a", "to": "b" }] }));
    let theirs = pretty(&json!({ "nodes": [node("a"), node("c")], "edges": [{ "from": "c", "to": "a" }] }));
    let found = overlaps(Some(&base), &ours, &theirs);
    let clashes: Vec<_> = found.iter().map(|overlap| overlap.clash.clone()).collect();
    let removed = |id: &str, by| Clash::RemovedNode { id: id.to_owned(), by };
    assert_eq!(clashes.len(), 2);
    assert!(
        clashes.contains(&removed("b", Side::Theirs)) && clashes.contains(&removed("c", Side::Ours)),
        "{clashes:?}"
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
        shown(changes(&document(BASE), &after)),
        "+ tags[new]: \"new\"\n\
         - tags[etl]: \"etl\"\n\
         ~ nodes[id=fetch].params.url: \"https://a\" -> \"https://b\"\n\
         - nodes[id=fetch].params.retries: 3\n\
         + edges[from=store,action=\"on error\"]: {\"from\":\"store\",\"to\":\"fetch\",\"action\":\"on error\"}\n\
         - edges[from=fetch,action=default]: {\"from\":\"fetch\",\"to\":\"store\"}"
    );
    let node = |id: &str| json!({ "id": id, "type": "t" });
    let (a, b) = (json!({ "nodes": [node("a"), node("b")] }), json!({ "nodes": [node("b"), node("a")] }));
    assert_eq!(shown(changes(&pretty(&a), &pretty(&b))), r#"~ nodes (order): ["a","b"] -> ["b","a"]"#);
    assert_eq!(shown(changes(&document(BASE), &pretty(&serde_json::from_str(BASE).unwrap()))), "");
}
