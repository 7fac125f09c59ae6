//! Real workflows in pflow's markdown. `PFLOW_TEST_CORPUS` names a folder with `pflow/{markdown,bundles,…}`.

use std::fs;
use std::path::{Path, PathBuf};

use pflow_store::document::MAX_DEFECTS;
use pflow_store::document::markdown::{PflowMarkdown, parse};

/// The folders whose documents pflow takes.
pub(crate) const TAKEN: [&str; 5] =
    ["markdown", "markdown-2026-02", "markdown-strict-invalid", "bundles", "saved"];
pub(crate) const REFUSED: &str = "markdown-invalid";

/// The documents of `pflow/<folder>` and its folders by name, or nothing if there is no corpus.
pub(crate) fn documents(folder: &str) -> Option<Vec<(String, String)>> {
    let Some(root) = std::env::var_os("PFLOW_TEST_CORPUS") else {
        println!("skipped: PFLOW_TEST_CORPUS is not set");
        return None;
    };
    let root = PathBuf::from(root).join("pflow");
    let mut found = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(".pflow.md") {
                let name = path.strip_prefix(&root).unwrap().display().to_string();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "{folder} has no documents");
    Some(found)
}

/// Checks what must hold for every document that was taken.
pub(crate) fn check_taken(name: &str, text: &str, workflow: &PflowMarkdown) {
    let tiles: String = workflow.outline.leaves().into_iter().map(|leaf| text.get(leaf).unwrap()).collect();
    assert_eq!(tiles, text, "{name}");
    let nodes = workflow.to_ir()["nodes"].as_array().map_or(0, Vec::len);
    assert!(nodes > 0 && nodes == workflow.steps.len(), "{name}");
    assert!(text.is_char_boundary(workflow.body_start), "{name}");
    assert_eq!(workflow.outline.front_matter, 0..workflow.body_start, "{name}");
}

fn file_name(name: &str) -> &str {
    Path::new(name).file_name().unwrap().to_str().unwrap().strip_suffix(".pflow.md").unwrap()
}

#[test]
fn documents_that_pflow_takes_are_taken() {
    for folder in TAKEN {
        for (name, text) in documents(folder).into_iter().flatten() {
            let workflow = parse(&text).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
            check_taken(&name, &text, &workflow);
            // All of them have a title, but the one that tests just that.
            assert_eq!(workflow.title.is_none(), file_name(&name) == "synthetic-no-title", "{name}");
        }
    }
}

#[test]
fn documents_that_pflow_refuses_are_refused_at_its_line() {
    let expected = [
        ("bare-code-block", 13, "the fence does not say"),
        ("duplicate-ids", 14, "duplicate id \"fetch\""),
        ("duplicate-param", 14, "the parameter \"command\" is both"),
        ("missing-description", 7, "\"fetch\" has no description"),
        ("missing-steps", 1, "the section Steps is missing"),
        ("missing-type", 7, "the step \"fetch\" has no type"),
        ("older-error-handling", 27, "the step \"save-result\" falls into \"log-error\""),
        ("synthetic-bad-front-matter-yaml", 1, "the front matter is not YAML: line 2"),
        ("synthetic-bad-heading-id-in-other-section", 7, "invalid id \"My Notes\""),
        ("synthetic-branch-target-without-next", 16, "the step \"fix\" is the target"),
        ("synthetic-cache-chunk-twice", 8, "duplicate cached value \"x\""),
        ("synthetic-cache-unknown-key", 7, "the section Cache has no parameter \"tll\""),
        ("synthetic-dash-bullet-without-key", 7, "\"just a note\" is not a parameter"),
        ("synthetic-duplicate-section", 14, "duplicate section Steps"),
        ("synthetic-inputs-with-text-but-no-item", 7, "the section Inputs has text"),
        ("synthetic-reserved-step-id-end", 7, "a step cannot have the id"),
        ("synthetic-unknown-next-target", 7, "the step \"a\" leads to \"nowhere\""),
        ("synthetic-unterminated-quote", 7, "the quoted value of \"command\""),
        ("unclosed-fence", 13, "the fence is not closed"),
        ("yaml-syntax-error", 7, "a parameter of \"fetch\" is not YAML: line 14"),
    ];
    let Some(documents) = documents(REFUSED) else { return };
    for (name, text) in &documents {
        let refusal = parse(text).expect_err(name);
        assert!(!refusal.defects.is_empty() && refusal.defects.len() <= MAX_DEFECTS, "{name}: {refusal:?}");
        let first = &refusal.defects[0];
        // A file that is new in the corpus is compared with the real parser by `oracle`.
        if let Some((_, line, begins)) = expected.iter().find(|(known, ..)| *known == file_name(name)) {
            assert_eq!(first.line, *line, "{name}: {refusal}");
            assert!(first.reason.to_string().starts_with(begins), "{name}: {refusal}");
        }
    }
    for (known, ..) in expected {
        assert!(documents.iter().any(|(name, _)| file_name(name) == known), "{known} is gone");
    }
}
