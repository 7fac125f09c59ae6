//! Three-way merge, case by case: what does not merge, and why.

use crate::support::cases::{BASE, document, edited, lines, merged, overlaps, pretty};
use pflow_store::{
    document::{DocumentError, Limits},
    merge::{Clash, Merge, Side, merge},
};
use serde_json::{Value, json};

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
    let limits = Limits::new().max_bytes(100);
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
