//! A check that no test file is forgotten: cargo builds `tests/NAME/main.rs`, and a file beside it that no
//! `mod` names is never compiled.

use std::{
    fs,
    path::{Path, PathBuf},
};

fn children(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// Adds the folders `tests` of all packages at and below `folder`.
fn folders_of_tests(folder: &Path, found: &mut Vec<PathBuf>) {
    if folder.join("Cargo.toml").exists() && folder.join("tests").is_dir() {
        found.push(folder.join("tests"));
    }
    for path in children(folder).into_iter().filter(|path| path.is_dir()) {
        let name = path.file_name().unwrap().to_str().unwrap();
        if !name.starts_with('.') && !["src", "target"].contains(&name) {
            folders_of_tests(&path, found);
        }
    }
}

fn has_rust(folder: &Path) -> bool {
    children(folder).iter().any(|path| is_rust(path) || path.is_dir() && has_rust(path))
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
        if !(is_rust(&path) || path.is_dir() && has_rust(&path)) {
            continue;
        }
        let name = path.file_stem().unwrap().to_str().unwrap();
        let declared = |line: &str| {
            ["", "pub ", "pub(crate) "].iter().any(|start| line == format!("{start}mod {name};"))
        };
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
    let (mut folders, mut programs, mut forgotten) = (Vec::new(), 0, Vec::new());
    folders_of_tests(&repository, &mut folders);
    for folder in folders {
        for path in children(&folder) {
            if is_rust(&path) {
                // It would be one more program.
                forgotten.push(path);
            } else if path.is_dir() && !path.join("Cargo.toml").exists() && has_rust(&path) {
                programs += 1;
                undeclared(&path, &path.join("main.rs"), &mut forgotten);
            }
        }
    }
    assert!(programs > 10, "only {programs} test programs were found");
    assert!(forgotten.is_empty(), "no `mod` names these, so no test program has them: {forgotten:#?}");
}
