//! Real workflows, merged with edited versions of themselves. `PFLOW_TEST_CORPUS` names a folder with
//! `pflow/{json,library}`.

use std::{fs, path::PathBuf};

use crate::support::said;
use pflow_store::document::{Document, Limits};
use pflow_store::merge::{Merge, changes, merge};
use serde_json::{Value, json};

/// The valid documents by name, or nothing if there is no corpus.
fn corpus() -> Vec<(String, Document)> {
    let Some(root) = std::env::var_os("PFLOW_TEST_CORPUS") else {
        println!("skipped: PFLOW_TEST_CORPUS is not set");
        return Vec::new();
    };
    let folders = ["json", "library"].map(|folder| PathBuf::from(&root).join("pflow").join(folder));
    let files =
        folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path());
    let documents: Vec<_> = files
        .filter_map(|file| {
            let document = Document::parse(fs::read(&file).unwrap(), &Limits::default()).ok()?;
            Some((file.display().to_string(), document))
        })
        .collect();
    assert!(documents.len() > 10, "only {} valid documents", documents.len());
    documents
}

fn text(document: &Document) -> &str {
    std::str::from_utf8(document.bytes()).unwrap()
}

fn parse(text: String) -> Document {
    Document::parse(text, &Limits::default()).unwrap()
}

fn merged(base: &Document, ours: &Document, theirs: &Document) -> Merge {
    merge(Some(base), ours, theirs, &Limits::default())
}

/// The graph's own object.
fn level(value: &mut Value) -> &mut Value {
    if value.get("nodes").is_some() { value } else { &mut value["ir"] }
}

#[test]
fn edits_of_the_first_and_of_the_last_node_leave_every_other_byte() {
    for (name, base) in corpus() {
        let starts: Vec<_> =
            text(&base).match_indices("\"type\": \"").map(|(at, found)| at + found.len()).collect();
        let with = |places: &[usize], word: &str| {
            let mut text = text(&base).to_owned();
            for at in places.iter().rev() {
                text.insert_str(*at, word);
            }
            parse(text)
        };
        let (first, last) = (starts[0], *starts.last().unwrap());
        match merged(&base, &with(&[first], "new-"), &with(&[last], "new-")) {
            Merge::Clean(merged) if first < last => {
                assert_eq!(text(&merged), text(&with(&[first, last], "new-")), "{name}");
            }
            Merge::Clean(merged) => assert_eq!(text(&merged), text(&with(&[first], "new-")), "{name}"),
            other => panic!("{name}: {other:?}"),
        }
        let clash = merged(&base, &with(&starts, "ours-"), &with(&starts, "theirs-"));
        let Merge::Overlapping(overlaps) = clash else { panic!("{name}: {clash:?}") };
        // In a list that is no list of nodes several types are one overlap.
        assert!(!overlaps.is_empty() && overlaps.len() <= starts.len(), "{name}");
        for overlap in overlaps {
            assert!(overlap.ours.unwrap().as_json().contains("ours-"), "{name}: {}", overlap.path);
        }
    }
}

#[test]
fn new_nodes_and_parameters_of_both_sides_are_all_there() {
    for (name, base) in corpus() {
        let edited = |who: &[&str]| {
            let mut value: Value = serde_json::from_slice(base.bytes()).unwrap();
            let level = level(&mut value);
            let last = level["nodes"].as_array().unwrap().last().unwrap()["id"].clone();
            for who in who {
                for node in level["nodes"].as_array_mut().unwrap() {
                    node["params"][format!("of_{who}")] = json!({ "by": who });
                }
            }
            for who in who {
                level["nodes"]
                    .as_array_mut()
                    .unwrap()
                    .push(json!({ "id": format!("new-{who}"), "type": "t", "params": {} }));
                let edge = json!({ "from": last, "to": format!("new-{who}"), "action": who });
                let edges = level.as_object_mut().unwrap().entry("edges").or_insert(json!([]));
                edges.as_array_mut().unwrap().push(edge);
            }
            parse(format!("{value:#}\n"))
        };
        let (ours, theirs) = (edited(&["ours"]), edited(&["theirs"]));
        let Merge::Clean(one) = merged(&base, &ours, &theirs) else {
            panic!("{name}: {:?}", merged(&base, &ours, &theirs))
        };
        assert_eq!(said(&one), said(&edited(&["ours", "theirs"])), "{name}");
        let Merge::Clean(other) = merged(&base, &theirs, &ours) else { panic!("{name}") };
        assert_eq!(one.bytes(), other.bytes(), "{name}");
        let nodes =
            level(&mut serde_json::from_slice(base.bytes()).unwrap())["nodes"].as_array().unwrap().len();
        assert_eq!(
            changes(&ours, &one).unwrap().len(),
            nodes + 2,
            "{name}: a parameter for each node, a node and an edge"
        );
    }
}

#[test]
fn a_reformatted_side_keeps_the_changes_of_the_other() {
    for (name, base) in corpus() {
        let value: Value = serde_json::from_slice(base.bytes()).unwrap();
        for reformatted in [value.to_string(), format!("{value:#}")] {
            let reformatted = parse(reformatted);
            assert_eq!(changes(&base, &reformatted).unwrap(), [], "{name}");
            let edited = parse(text(&base).replacen("\"type\": \"", "\"type\": \"new-", 1));
            let Merge::Clean(merged) = merged(&base, &reformatted, &edited) else { panic!("{name}") };
            assert_eq!(said(&merged), said(&edited), "{name}");
        }
    }
}
