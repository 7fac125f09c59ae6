//! Workflows in pflow's markdown: named cases, and properties over real workflows with random edits.

use std::{collections::BTreeMap, fs, path::PathBuf, sync::LazyLock};

use pflow_store::{
    document::{Document, DocumentFormat, DocumentReader, Limits, markdown},
    merge::{Clash, Merge, Overlap, changes, merge},
};
use proptest::prelude::*;
use serde_json::Value;

fn read(text: impl Into<String>) -> Option<Document> {
    DocumentReader::new().format(DocumentFormat::Markdown).read(text.into()).ok()
}

fn text(document: &Document) -> &str {
    std::str::from_utf8(document.bytes()).unwrap()
}

fn merged(base: &str, ours: &str, theirs: &str) -> Merge {
    let [base, ours, theirs] =
        [base, ours, theirs].map(|text| read(text).unwrap_or_else(|| panic!("{text}")));
    let one = merge(Some(&base), &ours, &theirs, &Limits::default());
    let other = merge(Some(&base), &theirs, &ours, &Limits::default());
    match (&one, &other) {
        (Merge::Clean(one), Merge::Clean(other)) => assert_eq!(text(one), text(other)),
        (Merge::Overlapping(one), Merge::Overlapping(other)) => {
            let paths =
                |overlaps: &[Overlap]| overlaps.iter().map(|it| it.path.to_string()).collect::<Vec<_>>();
            assert_eq!(paths(one), paths(other));
        }
        (Merge::Refused(_), Merge::Refused(_)) => {}
        other => panic!("{other:?}"),
    }
    one
}

fn clean(base: &str, ours: &str, theirs: &str) -> String {
    match merged(base, ours, theirs) {
        Merge::Clean(document) => text(&document).to_owned(),
        other => panic!("{other:?}"),
    }
}

/// The places of the overlaps.
fn overlaps(base: &str, ours: &str, theirs: &str) -> Vec<String> {
    match merged(base, ours, theirs) {
        Merge::Overlapping(overlaps) => overlaps.iter().map(|overlap| overlap.path.to_string()).collect(),
        other => panic!("{other:?}"),
    }
}

const REPORT: &str = include_str!("../../examples/workflows/daily-report.pflow.md");
const LOOP: &str = include_str!("../../examples/workflows/retry-until-green.pflow.md");

/// Three steps in a row.
const ROW: &str = "# Row\n\nText.\n\n## Steps\n\n### a\n\nFirst.\n\n- type: shell\n- command: echo a\n\n\
                   ### b\n\nSecond.\n\n- type: llm\n\n```prompt\none\ntwo\nthree\nfour\n```\n\n\
                   ### c\n\nThird.\n\n- type: shell\n- command: echo c\n";

fn step(id: &str) -> String {
    format!("### {id}\n\nAdded.\n\n- type: shell\n- command: echo {id}\n\n")
}

#[test]
fn parameters_of_one_step_merge_side_by_side() {
    let ours = REPORT.replace("- timeout: 30", "- timeout: 60");
    let theirs = REPORT.replace("- url: ${orders_url}", "- url: ${orders_url}?day=1");
    assert_eq!(clean(REPORT, &ours, &theirs), ours.replace("${orders_url}", "${orders_url}?day=1"));
    let ours = REPORT.replace("- temperature: 0.2", "- temperature: 0.2\n- model: small");
    let theirs = REPORT.replace("- temperature: 0.2\n", "");
    assert_eq!(clean(REPORT, &ours, &theirs), ours.replace("- temperature: 0.2\n", ""));
}

#[test]
fn prompts_merge_by_line_and_overlap_by_line() {
    let ours = ROW.replace("one\n", "ONE\n");
    let theirs = ROW.replace("four\n", "four\nfive\n");
    assert_eq!(clean(ROW, &ours, &theirs), ours.replace("four\n", "four\nfive\n"));
    let places = overlaps(ROW, &ours, &ROW.replace("one\n", "1\n"));
    assert_eq!(places, ["steps[id=b].prompt (line 1)"]);
    // A fence that became another one, or a parameter inline, overlaps as a whole.
    let inline = ROW.replace("```prompt\none\ntwo\nthree\nfour\n```", "- prompt: short");
    assert_eq!(overlaps(ROW, &ours, &inline), ["steps[id=b].prompt"]);
}

#[test]
fn yaml_in_a_fence_overlaps_as_a_whole() {
    let base =
        ROW.replace("- command: echo c\n", "- command: echo c\n\n```yaml batch\nitems: [1]\nas: x\n```\n");
    let (ours, theirs) = (base.replace("[1]", "[1, 2]"), base.replace("as: x", "as: y"));
    assert_eq!(overlaps(&base, &ours, &theirs), ["steps[id=c].batch"]);
}

#[test]
fn steps_that_both_sides_added_in_different_places_are_both_there() {
    let ours = ROW.replace("### b", &format!("{}### b", step("x")));
    let theirs = ROW.replace("- command: echo c\n", &format!("- command: echo c\n\n{}", step("y")));
    let both = ours.replace("- command: echo c\n", &format!("- command: echo c\n\n{}", step("y")));
    assert_eq!(clean(ROW, &ours, &theirs), both);
}

/// pflow runs steps in their order, so two steps at one place would follow each other, which neither side meant.
#[test]
fn steps_that_both_sides_added_at_one_place_overlap() {
    let with = |id: &str| ROW.replace("### b", &format!("{}### b", step(id)));
    assert_eq!(overlaps(ROW, &with("x"), &with("y")), ["steps (order)"]);
    let at_end = |id: &str| format!("{ROW}\n{}", step(id));
    assert_eq!(overlaps(ROW, &at_end("x"), &at_end("y")), ["steps (order)"]);
    // At the beginning it would not be clear where the workflow starts.
    let first = |id: &str| ROW.replace("### a", &format!("{}### a", step(id)));
    assert_eq!(overlaps(ROW, &first("x"), &first("y")), ["steps (order)"]);
}

#[test]
fn step_that_one_side_removed_and_the_other_changed_overlaps() {
    let start = ROW.find("### b").unwrap();
    let end = ROW.find("### c").unwrap();
    let without = format!("{}{}", &ROW[..start], &ROW[end..]);
    assert_eq!(overlaps(ROW, &without, &ROW.replace("two\n", "2\n")), ["steps[id=b]"]);
    assert_eq!(clean(ROW, &without, &ROW.replace("First.", "1st.")), without.replace("First.", "1st."));
    // A step that follows the removed one.
    let after = ROW.replace("### c", &format!("{}### c", step("x")));
    assert_eq!(overlaps(ROW, &without, &after), ["steps (order)"]);
}

#[test]
fn order_that_both_sides_changed_overlaps() {
    let swapped = |first: &str, second: &str| {
        let part = |id: &str| {
            let start = LOOP.find(&format!("### {id}")).unwrap();
            let end = LOOP[start + 1..].find("### ").map_or(LOOP.len(), |at| start + 1 + at);
            (start, end)
        };
        let ((a, b), (c, d)) = (part(first), part(second));
        let gap = if LOOP[c..d].ends_with("\n\n") { "" } else { "\n" };
        let text = [&LOOP[..a], &LOOP[c..d], gap, &LOOP[b..c], &LOOP[a..b], &LOOP[d..]].concat();
        format!("{}\n", text.trim_end())
    };
    let (ours, theirs) = (swapped("test", "fix"), swapped("fix", "apply"));
    assert_eq!(overlaps(LOOP, &ours, &theirs), ["steps (order)"]);
    let edited = LOOP.replace("Let a model write a patch.", "Let a model mend it.");
    let both = ours.replace("Let a model write a patch.", "Let a model mend it.");
    assert_eq!(clean(LOOP, &ours, &edited), both);
}

#[test]
fn what_pflow_notes_never_overlaps_and_the_later_values_count() {
    let noted = |runs: u32, tags: &str| {
        let key = format!("execution_count: {runs}\nlast_execution_timestamp: 't{runs}'\nversion: 1.2.0\n");
        REPORT.replace("version: 1.2.0\n", &key).replace("[report, daily, llm]", tags)
    };
    let merged =
        clean(&noted(1, "[report, daily, llm]"), &noted(5, "[report]"), &noted(3, "[report, daily, llm]"));
    assert_eq!(merged, noted(5, "[report]"));
    // Front matter that a first run added on both sides.
    let first = |runs: u32| format!("---\nexecution_count: {runs}\n---\n\n{ROW}");
    assert_eq!(
        clean(ROW, &first(2), &first(1).replace("Text.", "More.")),
        first(2).replace("Text.", "More.")
    );
    let places = overlaps(REPORT, &REPORT.replace("1.2.0", "1.3.0"), &REPORT.replace("1.2.0", "2.0.0"));
    assert_eq!(places, ["front_matter.version"]);
}

#[test]
fn line_ends_are_layout() {
    let crlf = ROW.replace("First.", "1st.").replace('\n', "\r\n");
    let theirs = ROW.replace("Third.", "3rd.");
    let both = theirs.replace("First.", "1st.").replace('\n', "\r\n");
    assert_eq!(clean(ROW, &crlf, &theirs), both);
}

#[test]
fn end_of_a_file_without_a_line_end_is_no_obstacle() {
    let base = ROW.trim_end();
    let ours = format!("{base}\n\n{}", step("x").trim_end());
    assert_eq!(clean(base, &ours, &base.replace("First.", "1st.")), ours.replace("First.", "1st."));
    let outputs = format!("{base}\n\n## Outputs\n\n### o\n\nIt.\n\n- source: ${{c.stdout}}");
    let merged = clean(base, &ours, &outputs);
    assert!(merged.contains("### x") && merged.contains("## Outputs"), "{merged}");
    assert!(!merged.contains("x## ") && !merged.contains("}###"), "{merged}");
}

/// An indented line of one side would continue a parameter of the other.
#[test]
fn block_that_would_be_read_as_another_one_overlaps() {
    let base = ROW.replace("First.\n\n- type: shell\n- command: echo a\n", "First.\n\n- type: shell\n");
    let ours =
        base.replace("First.\n\n- type: shell\n", "First.\n\n- type: shell\n\n```command\nx\n```\n  note\n");
    let theirs = base.replace("First.\n\n- type: shell\n", "First.\n\n- type: shell\n- cwd: /\n");
    match merged(&base, &ours, &theirs) {
        Merge::Clean(document) => {
            let steps = &markdown::parse(text(&document)).unwrap().to_ir()["nodes"][0];
            assert_eq!((&steps["params"]["command"], &steps["params"]["cwd"]), (&"x".into(), &"/".into()));
        }
        Merge::Overlapping(_) => {}
        other => panic!("{other:?}"),
    }
}

/// Each of these lost or invented an edit once.
#[test]
fn edits_that_look_like_each_other_are_not_mixed_up() {
    let prompt = |lines: &str| ROW.replace("one\ntwo\nthree\nfour\n", lines);
    let merged = clean(&prompt("a\nm\nX\nb\n"), &prompt("a\nm\nX\nX\nb\n"), &prompt("p\na\nm\nX\nX\nb\n"));
    assert_eq!(merged, prompt("p\na\nm\nX\nX\nb\n"));
    let (ours, theirs) = (prompt("- a\n- a\nz\n"), prompt("0\n- a\n- a\nz\n"));
    assert_eq!(overlaps(&prompt("- a\n- a\n- a\nz\n"), &ours, &theirs), ["steps[id=b].prompt (line 1)"]);
    // Paragraphs, and sections of one name.
    let text = |text: &str| ROW.replace("Text.", text);
    let merged = clean(&text("A\n\nB\n\nC\n\nD"), &text("B\n\nC\n\nD"), &text("A\n\nB\n\nC"));
    assert_eq!(merged, text("B\n\nC"));
    let notes = |notes: &[&str]| {
        let sections = notes.iter().map(|note| format!("\n## Notes\n\n{note}\n"));
        format!("{ROW}{}", sections.collect::<String>())
    };
    let merged = clean(&notes(&["a", "b", "c"]), &notes(&["b", "c"]), &notes(&["a", "b"]));
    assert_eq!(merged, notes(&["b"]));
}

#[test]
fn equal_keys_of_which_the_last_counts_overlap() {
    let with = |lines: &str| ROW.replace("- command: echo a\n", &format!("- command: echo a\n{lines}"));
    assert_eq!(
        overlaps(&with("- cwd: a\n"), &with("- cwd: a\n- cwd: b\n"), &with("- cwd: c\n")),
        ["steps[id=a].cwd"]
    );
    assert_eq!(overlaps(&with(""), &with("- x: 1\n  y: 2\n"), &with("- y: 9\n")), ["steps[id=a].y"]);
    assert_eq!(overlaps(&with(""), &with("- \"y\":\n    k: 1\n"), &with("- y: 9\n")), ["steps[id=a].y"]);
    let front = |lines: &str| format!("---\n{lines}---\n{ROW}");
    let places = overlaps(&front("version: 1\n"), &front("version: 1\nversion: 2\n"), &front("version: 3\n"));
    assert_eq!(places, ["front_matter.version"]);
    let places = overlaps(&front("a: 1\n"), &front("a: 1\n\"k\": 1\n"), &front("a: 1\nk: 2\n"));
    assert!(!places.is_empty());
}

#[test]
fn lines_of_front_matter_beside_noted_values_are_kept() {
    let front = |lines: &str| format!("---\n{lines}---\n{ROW}");
    for (ours, kept) in [
        ("execution_count: 1\n\"owner\": bob\n", "bob"),
        ("execution_count: 1\nteam.owner: bob\n\"owner\": alice\n", "team.owner: bob"),
        ("execution_count: 1\ngr\u{f6}\u{df}e: 5\n\"owner\": alice\n", "gr\u{f6}\u{df}e: 5"),
    ] {
        let (base, theirs) = (
            front("execution_count: 1\n\"owner\": alice\n"),
            front("execution_count: 2\n\"owner\": alice\n"),
        );
        match merged(&base, &front(ours), &theirs) {
            Merge::Clean(document) => assert!(text(&document).contains(kept), "{}", text(&document)),
            Merge::Overlapping(_) => {}
            other => panic!("{other:?}"),
        }
    }
    let base = front("execution_count: 1\nowner: alice\n");
    let (ours, theirs) =
        (front("# note\nexecution_count: 1\nowner: bob\n"), front("execution_count: 2\nowner: alice\n"));
    assert_eq!(clean(&base, &ours, &theirs), front("# note\nexecution_count: 2\nowner: bob\n"));
    // All values of one run, not some of each.
    let run = |count: u32, ended: bool| {
        front(&format!("execution_count: {count}\nlast_execution_success: {ended}\n"))
    };
    assert_eq!(clean(&run(1, true), &run(2, false), &run(3, true)), run(3, true));
    // One side removed the front matter, and the other only ran.
    assert_eq!(clean(&front("execution_count: 1\n"), ROW, &front("execution_count: 2\n")), ROW);
}

#[test]
fn mixed_line_ends_stay_as_they_are() {
    let base = ROW.replace('\n', "\r\n").replacen("\r\n", "\n", 1);
    let (ours, theirs) = (base.replace("First.", "1st."), base.replace("Third.", "3rd."));
    assert_eq!(clean(&base, &ours, &theirs), ours.replace("Third.", "3rd."));
    let ours = ROW.replace("one\n", "one\nnew\r\n");
    let theirs = ROW.replace('\n', "\r\n");
    // The line end within the text of one side is not layout.
    assert_eq!(overlaps(ROW, &ours, &theirs), ["the document"]);
}

#[test]
fn cache_and_ignored_sections_are_merged_too() {
    let cache = "## Cache\n\n- ttl: 5m\n\n```cache\nOne:\n${x}\n\nTwo:\n${y}\n```\n\n## Notes\n\nKeep this.\n\n## Steps";
    let base = ROW.replace("## Steps", cache);
    let ours = base.replace("ttl: 5m", "ttl: 1h").replace("Two:", "Second:");
    let theirs = base.replace("One:", "First:").replace("Keep this.", "Keep that.");
    let both = ours.replace("One:", "First:").replace("Keep this.", "Keep that.");
    assert_eq!(clean(&base, &ours, &theirs), both);
}

/// Neither side meant a line end that is missing at the end.
#[test]
fn last_line_end_is_layout() {
    let base = ROW.trim_end();
    let theirs = base.replace("echo c", "echo d");
    assert_eq!(clean(base, ROW, &theirs), format!("{theirs}\n"));
    assert_eq!(changes(&read(base).unwrap(), &read(ROW).unwrap()).unwrap(), []);
}

#[test]
fn without_an_ancestor_only_the_same_is_clean() {
    let [ours, theirs] = [ROW, &ROW.replace("First.", "1st.")].map(|text| read(text).unwrap());
    let Merge::Overlapping(overlaps) = merge(None, &ours, &theirs, &Limits::default()) else {
        panic!("clean")
    };
    assert_eq!(overlaps[0].path.to_string(), "steps[id=a].text");
    assert_eq!(overlaps[0].clash, Clash::Value);
}

#[test]
fn differences_are_listed_by_place_and_line() {
    let shown = |before: &str, after: &str| -> Vec<String> {
        let [before, after] = [before, after].map(|text| read(text).unwrap());
        changes(&before, &after).unwrap().iter().map(ToString::to_string).collect()
    };
    let after = ROW
        .replace("two\n", "2\n")
        .replace("- command: echo a\n", "- command: echo A\n- cwd: /\n")
        .replace("# Row", "# Rows");
    assert_eq!(
        shown(ROW, &after),
        [
            r##"~ title: "# Row" -> "# Rows""##,
            r#"~ steps[id=a].command: "echo a" -> "echo A""#,
            r#"+ steps[id=a].cwd: "/""#,
            r#"~ steps[id=b].prompt (line 2): "two\n" -> "2\n""#,
        ]
    );
    assert_eq!(shown(ROW, &ROW.replace('\n', "\r\n")), [""; 0]);
    let noted = format!("---\nexecution_count: 3\n---\n{ROW}");
    assert_eq!(shown(&noted, &noted.replace('3', "4")), [""; 0]);
}

/// All workflows that can be edited: those of the examples, and of the corpus if there is one.
static WORKFLOWS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut texts: Vec<String> = [REPORT, LOOP, ROW].map(str::to_owned).into();
    let Some(root) = std::env::var_os("PFLOW_TEST_CORPUS") else { return texts };
    for folder in ["markdown", "markdown-2026-02"] {
        let folder = PathBuf::from(&root).join("pflow").join(folder);
        for file in fs::read_dir(folder).unwrap() {
            texts.push(fs::read_to_string(file.unwrap().path()).unwrap());
        }
    }
    assert!(texts.len() > 40, "only {} workflows", texts.len());
    texts
});

/// A random change of one line.
#[derive(Debug, Clone)]
enum LineEdit {
    Drop,
    Append(String),
    Add(String),
    Double,
    Swap,
}

fn line_edit() -> impl Strategy<Value = (prop::sample::Index, LineEdit)> {
    let word = "[a-z]{1,4}";
    let edit = prop_oneof![
        2 => Just(LineEdit::Drop),
        4 => word.prop_map(LineEdit::Append),
        2 => word.prop_map(|word| LineEdit::Add(format!("{word} text"))),
        2 => word.prop_map(|word| LineEdit::Add(format!("- {word}: 1"))),
        1 => word.prop_map(|word| LineEdit::Add(format!("\n### n{word}\n\nNew.\n\n- type: shell\n"))),
        1 => Just(LineEdit::Double),
        1 => Just(LineEdit::Swap),
    ];
    (any::<prop::sample::Index>(), edit)
}

/// Makes those of the edits after which the text is still a workflow.
fn edited(text: &str, edits: &[(prop::sample::Index, LineEdit)]) -> String {
    let mut text = text.to_owned();
    for (place, edit) in edits {
        let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
        let at = place.index(lines.len());
        match edit {
            LineEdit::Drop => drop(lines.remove(at)),
            LineEdit::Append(word) => {
                let end = lines[at].trim_end().len();
                lines[at].insert_str(end, word);
            }
            LineEdit::Add(line) => lines.insert(at, format!("{line}\n")),
            LineEdit::Double => lines.insert(at, lines[at].clone()),
            LineEdit::Swap => lines.swap(at, place.index(at + 1)),
        }
        let next = lines.concat();
        if read(next.clone()).is_some() {
            text = next;
        }
    }
    text
}

/// What a workflow says, by place: the merge must take each from the side that changed it.
fn said(text: &str) -> BTreeMap<String, Value> {
    let workflow = markdown::parse(text).unwrap();
    let ir = workflow.to_ir();
    let mut said = BTreeMap::new();
    said.insert("title".to_owned(), workflow.title.into());
    said.insert("description".to_owned(), workflow.description.into());
    // The chunks are one fence.
    said.insert(
        "cache".to_owned(),
        ir.get("cache").map_or(Value::Null, |cache| cache["items"].to_string().into()),
    );
    said.insert("cache.ttl".to_owned(), ir.get("cache").and_then(|cache| cache.get("ttl")).cloned().into());
    for (key, value) in workflow.front_matter.map(|map| map.to_json()).unwrap_or_default() {
        said.insert(format!("front_matter.{key}"), value);
    }
    for group in ["inputs", "outputs"] {
        for (id, fields) in ir.get(group).and_then(Value::as_object).into_iter().flatten() {
            for (key, value) in fields.as_object().unwrap() {
                said.insert(format!("{group}.{id}.{key}"), value.clone());
            }
        }
    }
    for node in ir["nodes"].as_array().unwrap() {
        let id = node["id"].as_str().unwrap();
        for (key, value) in node.as_object().unwrap() {
            match (key.as_str(), value) {
                ("params", Value::Object(params)) => {
                    said.extend(
                        params.iter().map(|(key, value)| (format!("steps.{id}.{key}"), value.clone())),
                    );
                }
                ("_routes_to_end", _) => {}
                _ => drop(said.insert(format!("steps.{id}.{key}"), value.clone())),
            }
        }
    }
    said
}

/// Every value that only one side changed is that side's; what both changed is a text that has lines of both.
fn assert_nothing_is_lost(base: &str, ours: &str, theirs: &str, merged: &str) {
    let [base, ours, theirs, merged] = [base, ours, theirs, merged].map(said);
    let keys = base.keys().chain(ours.keys()).chain(theirs.keys()).chain(merged.keys());
    for key in keys {
        let (b, o, t, m) = (base.get(key), ours.get(key), theirs.get(key), merged.get(key));
        match () {
            () if o == t => assert_eq!(m, o, "{key}"),
            () if o == b => assert_eq!(m, t, "{key}: only theirs"),
            () if t == b => assert_eq!(m, o, "{key}: only ours"),
            () => {
                let is_text = |value: Option<&Value>| value.is_some_and(|value| value.as_str().is_some());
                assert!(
                    is_text(b) && is_text(o) && is_text(t) && is_text(m),
                    "{key}: {b:?} {o:?} {t:?} {m:?}"
                );
            }
        }
    }
}

/// So many cases, or more if `PROPTEST_CASES` says so.
fn at_least(cases: u32) -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig { cases: config.cases.max(cases), ..config }
}

proptest! {
    #![proptest_config(at_least(2_000))]

    #[test]
    fn random_edits_are_all_there_or_overlap(
        which in any::<prop::sample::Index>(),
        ours in prop::collection::vec(line_edit(), 1..4),
        theirs in prop::collection::vec(line_edit(), 1..4),
    ) {
        let base = which.get(&WORKFLOWS);
        let (ours, theirs) = (edited(base, &ours), edited(base, &theirs));
        match merged(base, &ours, &theirs) {
            Merge::Clean(document) => {
                let result = text(&document);
                prop_assert!(read(result).is_some(), "a merged document is valid");
                assert_nothing_is_lost(base, &ours, &theirs, result);
                // What is merged has the edits of each side already.
                for side in [&ours, &theirs] {
                    let again = merged(base, side, result);
                    let Merge::Clean(again) = again else { panic!("{base}\n@@@ {side}\n@@@ {result}\n@@@ {again:?}") };
                    // But for blank lines between blocks, which are layout.
                    let lines = |text: &str| {
                        let lines = text.lines().filter(|line| !line.trim().is_empty());
                        lines.map(str::to_owned).collect::<Vec<_>>()
                    };
                    prop_assert_eq!(lines(text(&again)), lines(result));
                    prop_assert_eq!(said(text(&again)), said(result));
                }
            }
            Merge::Overlapping(overlaps) => {
                prop_assert!(!overlaps.is_empty());
                prop_assert!(ours != *base && theirs != *base && ours != theirs, "{:?}", overlaps);
            }
            Merge::Refused(_) => {}
            other => panic!("{other:?}"),
        }
    }
}
