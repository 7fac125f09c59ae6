//! The cost of a merge and of a comparison: in proportion to the size of the documents, whatever their shape.

use super::cost;
use crate::document::{Document, Limits};
use crate::merge::{Merge, changes, merge};

/// A version of a document: the base has the plain spelling, ours has the same values spelled in another way,
/// and theirs one changed value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Base,
    Ours,
    Theirs,
}

fn list(count: usize, one: impl Fn(usize) -> String) -> String {
    (0..count).map(one).collect::<Vec<_>>().join(",")
}

/// Objects within objects, the keys of each in one order or the other.
fn deep(is_reversed: bool, text: &str) -> String {
    (0..110).fold(format!("\"{text}\""), |inner, level| match is_reversed {
        true => format!(r#"{{"b":{level},"a":{inner}}}"#),
        false => format!(r#"{{"a":{inner},"b":{level}}}"#),
    })
}

/// A document of some KiB times `size`.
fn version(shape: &str, size: usize, who: Who) -> String {
    let (is_ours, is_theirs) = (who == Who::Ours, who == Who::Theirs);
    let changed = |nth: usize, count: usize| if is_theirs && nth == count / 2 { "new" } else { "old" };
    let count = size * 20;
    match shape {
        "array" => {
            let one = |nth| match is_ours {
                true => format!(r#"{{"v":"{}","k":[{nth},{{"x":1}}],"id":{nth}}}"#, changed(nth, count)),
                false => format!(r#"{{"id":{nth},"k":[{nth},{{"x":1}}],"v":"{}"}}"#, changed(nth, count)),
            };
            format!(r#"{{"items":[{}]}}"#, list(count, one))
        }
        "nodes" => {
            let one = |nth| {
                let text = if is_ours && nth % 2 == 0 { "ours" } else { changed(nth, count + 2) };
                format!(r#"{{"id":"n{nth}","type":"echo","params":{{"text":"{text}"}}}}"#)
            };
            let edge = |nth| format!(r#"{{"from":"n{nth}","to":"n{}"}}"#, nth + 1);
            format!(r#"{{"nodes":[{}],"edges":[{}]}}"#, list(count, one), list(count - 1, edge))
        }
        "deep lists" => format!(r#"{{"items":[{}]}}"#, list(size, |nth| deep(is_ours, changed(nth, size)))),
        "deep members" => {
            let one = |nth| format!(r#""m{nth}":{}"#, deep(is_ours, changed(nth, size)));
            format!("{{{}}}", list(size, one))
        }
        "one text at the bottom" => {
            let text = format!("{}{}", "x".repeat(size * 1000), changed(0, 0));
            format!(r#"{{"m":{},"n":"{is_ours}"}}"#, deep(false, &text))
        }
        "strings" => {
            let text = if is_ours { r"\u0061\n" } else { r"a\u000a" }.repeat(size * 100);
            format!(r#"{{"a":"{text}","b":"{text}{}"}}"#, changed(0, 0))
        }
        _ => {
            let one = |nth| match is_ours {
                true => format!(r#""\u006bey{nth}":"{}""#, changed(nth, count)),
                false => format!(r#""key{nth}":"{}""#, changed(nth, count)),
            };
            format!("{{{}}}", list(count, one))
        }
    }
}

#[test]
fn what_is_read_is_in_proportion_to_the_size() {
    for shape in [
        "array",
        "nodes",
        "deep lists",
        "deep members",
        "one text at the bottom",
        "strings",
        "keys in escapes",
    ] {
        let cost = |size: usize| {
            let versions = [Who::Base, Who::Ours, Who::Theirs].map(|who| version(shape, size, who));
            let bytes: usize = versions.iter().map(String::len).sum();
            let [base, ours, theirs] =
                versions.map(|text| Document::parse(text, &Limits::default()).unwrap());
            let read = cost::of(|| {
                for (ours, theirs) in [(&ours, &theirs), (&theirs, &ours)] {
                    let merged = merge(Some(&base), ours, theirs, &Limits::default());
                    assert!(matches!(merged, Merge::Clean(_)), "{shape}: {merged:?}");
                }
                changes(&ours, &theirs).unwrap();
            });
            (bytes, read)
        };
        for size in [4, 16] {
            let (bytes, read) = cost(size);
            assert!(read < MOST * bytes, "{shape}: read {read} bytes in documents of {bytes} bytes");
        }
    }
}

/// How often a byte may be read by two merges and a comparison.
const MOST: usize = 15;
