//! Measures what a merge and a comparison of documents of 15 MB take, as ratios to the time that serde_json
//! takes to read one of them into a `Value`, in the same run. Reports and fails if a ratio, or the peak of
//! memory, is worse than promised.
//!
//! Each shape of document is measured in a process of its own, which this program starts, so that each has
//! its own peak of memory.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "a bench measures with a real clock, talks, and may panic"
)]

#[path = "cell/memory.rs"]
mod memory;

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use pflow_store::document::{Document, Limits};
use pflow_store::merge::{Merge, changes, merge};

/// The size of a document. The one that is spelled in another way may be a little larger.
const BYTES: usize = 14_500_000;
const ROUNDS: usize = 3;

/// The shapes, and the promise: a merge takes so many times as long as serde_json takes to read one of the
/// three documents. Reading the documents for the merge is not included, checking the result is.
const SHAPES: [(&str, f64); 7] = [
    ("array", 3.0),
    ("nodes", 3.0),
    ("edges", 6.0),
    ("deep-lists", 3.0),
    ("deep-members", 3.0),
    ("texts", 16.0),
    ("keys", 9.0),
];

/// The peak of memory in MiB, with the three documents and the result.
const MOST_MIB: u64 = 200;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    if let Some(shape) = arguments.next() {
        let promise = SHAPES.iter().find(|(name, _)| *name == shape).unwrap().1;
        return if is_kept(&shape, promise) { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    println!("| shape | serde_json | merge | ratio | changes | ratio | peak |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    let one = |shape| Command::new(std::env::current_exe().unwrap()).arg(shape).status().unwrap().success();
    let broken: Vec<_> = SHAPES.iter().filter(|(shape, _)| !one(shape)).map(|(shape, _)| *shape).collect();
    if broken.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("worse than promised: {}", broken.join(", "));
    ExitCode::FAILURE
}

/// Measures one shape. The peak of memory is taken before serde_json reads anything.
fn is_kept(shape: &str, promise: f64) -> bool {
    let limits = Limits::default();
    let [base, ours, theirs] = [(false, "old"), (true, "old"), (false, "new")]
        .map(|(is_ours, text)| Document::parse(version(shape, is_ours, text), &limits).unwrap());
    let merged = median(|| {
        let merged = merge(Some(&base), &ours, &theirs, &limits);
        assert!(matches!(merged, Merge::Clean(_)), "{merged:?}");
    });
    let compared = median(|| assert!(!changes(&ours, &theirs).unwrap().is_empty()));
    let peak = memory::peak_kib() / 1024;
    let read = median(|| drop(serde_json::from_slice::<serde_json::Value>(base.bytes()).unwrap()));
    let ratio = |time: Duration| time.as_secs_f64() / read.as_secs_f64();
    println!(
        "| `{shape}` | {read:.0?} | {merged:.0?} | {:.1} | {compared:.0?} | {:.1} | {peak} MiB |",
        ratio(merged),
        ratio(compared)
    );
    ratio(merged) <= promise && peak <= MOST_MIB
}

fn median(act: impl Fn()) -> Duration {
    let mut times: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let begin = Instant::now();
            act();
            begin.elapsed()
        })
        .collect();
    times.sort();
    times[times.len() / 2]
}

/// A version of a document. Ours has the same values as the base in another spelling, or changes every second
/// node or edge; theirs has one new text.
fn version(shape: &str, is_ours: bool, new: &str) -> String {
    let list = |bytes: usize, one: &dyn Fn(usize, &str) -> String| {
        let count = BYTES / bytes;
        let text = |nth| if nth == count / 2 { new } else { "old" };
        (0..count).map(|nth| one(nth, text(nth))).collect::<Vec<_>>().join(",")
    };
    match shape {
        "array" => {
            let items = list(72, &|nth, text| match is_ours {
                true => {
                    format!(r#"{{"text":"{text}","name":"item-{nth:08}","number":1{nth:07},"id":{nth}}}"#)
                }
                false => {
                    format!(r#"{{"id":{nth},"number":1{nth:07},"name":"item-{nth:08}","text":"{text}"}}"#)
                }
            });
            format!(r#"{{"items":[{items}]}}"#)
        }
        "nodes" => {
            let node = |nth, text: &str| {
                let text = changed(is_ours && nth % 2 != BYTES / 72 / 2 % 2, text);
                format!(r#"{{"id":"node-{nth:010}","type":"echo","params":{{"text":"{text}","n":1}}}}"#)
            };
            format!(r#"{{"nodes":[{}]}}"#, list(72, &node))
        }
        "edges" => {
            let node = |nth, _: &str| format!(r#"{{"id":"n{nth:07}","type":"echo"}}"#);
            let edge = |nth, text: &str| {
                let text = changed(is_ours && nth % 2 != BYTES / 110 / 2 % 2, text);
                format!(r#"{{"from":"n{nth:07}","to":"n0000000","action":"{nth}","label":"{text}"}}"#)
            };
            format!(r#"{{"nodes":[{}],"edges":[{}]}}"#, list(110, &node), list(110, &edge))
        }
        "deep-lists" => format!(r#"{{"items":[{}]}}"#, list(1700, &|_, text| deep(is_ours, text))),
        "deep-members" => {
            format!("{{{}}}", list(1700, &|nth, text| format!(r#""m{nth}":{}"#, deep(is_ours, text))))
        }
        "texts" => {
            let long = if is_ours { r"\u0061\n" } else { r"a\u000a" }.repeat(BYTES / 40);
            let member = |nth| format!(r#""{nth}":"{long}{}""#, if nth == 4 { new } else { "old" });
            format!("{{{}}}", (0..5).map(member).collect::<Vec<_>>().join(","))
        }
        _ => {
            let member = |nth, text: &str| match is_ours {
                true => format!(r#""\u006bey {nth}":"{text}""#),
                false => format!(r#""key {nth}":"{text}""#),
            };
            format!("{{{}}}", list(24, &member))
        }
    }
}

/// The text of a node or an edge: ours changes every second one, and not the middle one.
fn changed(is_it: bool, text: &str) -> &str {
    if is_it { "our" } else { text }
}

/// Objects within objects, the keys of each in one order or the other.
fn deep(is_reversed: bool, text: &str) -> String {
    (0..110).fold(format!("\"{text}\""), |inner, level| match is_reversed {
        true => format!(r#"{{"b":{level},"a":{inner}}}"#),
        false => format!(r#"{{"a":{inner},"b":{level}}}"#),
    })
}
