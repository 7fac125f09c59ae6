//! Documents of 15 MB in several shapes are merged: ours is spelled in another way, theirs has one new value.

use pflow_store::{
    document::{Document, Limits},
    merge::{Merge, changes, merge},
};

const BYTES: usize = 15_000_000;

/// One version of a document: whether it has the other spelling, and the text in the middle of it.
#[derive(Debug, Clone, Copy)]
struct Version {
    is_other: bool,
    text: &'static str,
}

impl Version {
    /// As many parts as fit into the document, each made from its number and a text of `bytes`, to which it
    /// adds at most a tenth.
    fn list(self, bytes: usize, one: impl Fn(usize, &str) -> String) -> String {
        let long = "x".repeat(bytes);
        let count = BYTES / (bytes + bytes / 10);
        let text = |nth| if nth == count / 2 { self.text } else { &long };
        (0..count).map(|nth| one(nth, text(nth))).collect::<Vec<_>>().join(",")
    }
}

fn is_merged(of: impl Fn(Version) -> String) {
    let document =
        |is_other, text| Document::parse(of(Version { is_other, text }), &Limits::default()).unwrap();
    let (base, ours, theirs) = (document(false, "old"), document(true, "old"), document(false, "new"));
    assert_eq!(changes(&base, &ours).unwrap(), []);
    assert_eq!(changes(&ours, &theirs).unwrap().len(), 1);
    let merged = |ours, theirs| match merge(Some(&base), ours, theirs, &Limits::default()) {
        Merge::Clean(merged) => merged,
        other => panic!("{other:?}"),
    };
    let one = merged(&ours, &theirs);
    assert_eq!(changes(&theirs, &one).unwrap(), []);
    assert_eq!(one.bytes(), merged(&theirs, &ours).bytes());
}

#[test]
fn array_of_objects() {
    is_merged(|version| {
        let items = version.list(2_000, |nth, text| match version.is_other {
            true => format!(r#"{{"list":[{{"text":"{text}"}}],"id":{nth}}}"#),
            false => format!(r#"{{"id":{nth},"list":[{{"text":"{text}"}}]}}"#),
        });
        format!(r#"{{"items":[{items}]}}"#)
    });
}

#[test]
fn many_nodes() {
    is_merged(|version| {
        let nodes = version.list(2_000, |nth, text| match version.is_other {
            true => format!(r#"{{"params":{{"text":"{text}"}},"type":"echo","id":"{nth}"}}"#),
            false => format!(r#"{{"id":"{nth}","type":"echo","params":{{"text":"{text}"}}}}"#),
        });
        format!(r#"{{"nodes":[{nodes}]}}"#)
    });
}

#[test]
fn objects_of_110_levels_with_reversed_keys() {
    let deep = |version: Version, text: &str| {
        (0..110).fold(format!("\"{text}\""), |inner, level| match version.is_other {
            true => format!(r#"{{"b":{level},"a":{inner}}}"#),
            false => format!(r#"{{"a":{inner},"b":{level}}}"#),
        })
    };
    is_merged(|version| format!(r#"{{"items":[{}]}}"#, version.list(20_000, |_, text| deep(version, text))));
}

#[test]
fn few_long_texts() {
    is_merged(|version| {
        let long = if version.is_other { r"\u0061\n" } else { r"a\u000a" }.repeat(BYTES / 40);
        let member = |nth| format!(r#""{nth}":"{long}{}""#, if nth == 4 { version.text } else { "" });
        format!("{{{}}}", (0..5).map(member).collect::<Vec<_>>().join(","))
    });
}

#[test]
fn many_keys_that_differ_in_escapes() {
    is_merged(|version| {
        let members = version.list(2_000, |nth, text| match version.is_other {
            true => format!(r#""\u006bey {nth}":"{text}""#),
            false => format!(r#""key {nth}":"{text}""#),
        });
        format!("{{{members}}}")
    });
}
