//! A check that no test file is forgotten: cargo builds `tests/NAME/main.rs`, and a file beside it that no
//! `mod` names is never compiled.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The folders of test programs, from the root of the repository.
const FOLDERS: [&str; 6] = [
    "tests",
    "cli/tests",
    "backends/fs/tests",
    "backends/memory/tests",
    "backends/object/tests",
    "tests/endpoints/tests",
];

/// Packages and scripts in the folders above.
const OTHERS: [&str; 3] = ["tests/endpoints", "tests/servers", "tests/testkit"];

fn children(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}

/// Adds the files below `folder` that its module file, `root`, does not declare.
fn undeclared(folder: &Path, root: &Path, forgotten: &mut Vec<PathBuf>) {
    let Ok(text) = fs::read_to_string(root) else {
        forgotten.push(folder.to_owned());
        return;
    };
    for path in children(folder).into_iter().filter(|path| path != root) {
        if !path.is_dir() && !is_rust(&path) {
            continue;
        }
        let name = path.file_stem().unwrap().to_str().unwrap();
        let declared =
            |line: &str| line.strip_suffix(&format!("mod {name};")).is_some_and(|start| start.len() < 20);
        if !text.lines().any(declared) {
            forgotten.push(path);
        } else if path.is_dir() {
            // The modules below `name.rs` are in a folder of that name.
            let file = folder.join(format!("{name}.rs"));
            undeclared(&path, &if file.exists() { file } else { path.join("mod.rs") }, forgotten);
        }
    }
}

#[test]
fn every_test_file_belongs_to_a_program() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let (mut programs, mut forgotten) = (0, Vec::new());
    for folder in FOLDERS {
        for path in children(&repository.join(folder)) {
            if is_rust(&path) {
                // It would be one more program.
                forgotten.push(path);
            } else if path.is_dir() && !OTHERS.iter().any(|it| repository.join(it) == path) {
                programs += 1;
                undeclared(&path, &path.join("main.rs"), &mut forgotten);
            }
        }
    }
    assert!(programs > 10, "only {programs} test programs were found");
    assert!(forgotten.is_empty(), "no `mod` names these, so no test program has them: {forgotten:#?}");
}
