//! A workflow that is edited by hand, and its merges.

use bytes::Bytes;
use pflow_store::{
    document::{Document, Limits},
    merge::{Clash, Merge, Overlap, merge},
};
use serde_json::Value;

pub(crate) fn document(text: impl Into<Bytes>) -> Document {
    Document::parse(text, &Limits::default()).unwrap()
}

pub(crate) fn pretty(value: &Value) -> Document {
    document(format!("{value:#}\n"))
}

/// Merges in both directions and checks that the results are equal.
pub(crate) fn merged(base: Option<&Document>, ours: &Document, theirs: &Document) -> Merge {
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

pub(crate) fn clean(base: &Document, ours: &Document, theirs: &Document) -> Document {
    match merged(Some(base), ours, theirs) {
        Merge::Clean(document) => document,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn overlaps(base: Option<&Document>, ours: &Document, theirs: &Document) -> Vec<Overlap> {
    match merged(base, ours, theirs) {
        Merge::Overlapping(overlaps) => overlaps,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn lines(overlaps: &[Overlap]) -> String {
    overlaps.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// A workflow in the layout that people use, which serde_json would not keep.
pub(crate) const BASE: &str = r#"{
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
pub(crate) fn edited(edits: &[(&str, &str)]) -> Document {
    document(edits.iter().fold(BASE.to_owned(), |text, (from, to)| {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        text.replace(from, to)
    }))
}
