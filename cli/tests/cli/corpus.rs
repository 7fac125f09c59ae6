//! Real workflows through the program. `PFLOW_TEST_CORPUS` names a folder with `pflow/json`, `pflow/markdown` and
//! others.

use std::{ffi::OsStr, fs, path::PathBuf};

use crate::support::Place;

/// The files of `pflow/<folder>`, or nothing if there is no corpus.
fn corpus(folder: &str) -> Vec<PathBuf> {
    let Some(root) = std::env::var_os("PFLOW_TEST_CORPUS") else {
        println!("skipped: PFLOW_TEST_CORPUS is not set");
        return Vec::new();
    };
    let folder = PathBuf::from(root).join("pflow").join(folder);
    let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    files.sort();
    files
}

#[test]
fn current_workflows_come_back_byte_for_byte() {
    let place = Place::with_store();
    let folders = ["json", "markdown", "markdown-2026-02", "markdown-strict-invalid"];
    let files: Vec<_> = folders.into_iter().flat_map(corpus).collect();
    for (number, file) in files.iter().enumerate() {
        let id = format!("w{number}");
        place.run([OsStr::new("save"), OsStr::new(&id), file.as_os_str()]).succeeds();
        assert_eq!(
            place.run(["load", &id]).succeeds().0.stdout,
            fs::read(file).unwrap(),
            "{}",
            file.display()
        );
    }
    for folder in ["json", "markdown"] {
        let files = corpus(folder);
        let Some(folder) = files.first().and_then(|file| file.parent()) else { return };
        let place = Place::with_store();
        place.run([OsStr::new("save-all"), folder.as_os_str()]).succeeds();
        place.run(["verify"]).succeeds();
        assert_eq!(place.run(["status", "--json"]).json()["workflows"], files.len());
    }
}

#[test]
fn invalid_workflows_are_refused_with_the_place_and_leave_nothing() {
    let place = Place::with_store();
    place.save("there", "already").succeeds();
    let before = place.dump();
    let files: Vec<_> = ["json-invalid", "markdown-invalid"].into_iter().flat_map(corpus).collect();
    for file in &files {
        for id in ["new", "there"] {
            let args = [OsStr::new("save"), OsStr::new(id), file.as_os_str()];
            let refused = place.run(args).fails(5, "is refused: ").err();
            let reason = refused.split("is refused: ").nth(1).unwrap();
            println!("{}: {reason}", file.display());
            let places = ["nodes", "edges", "ir_version", "line "];
            assert!(places.iter().any(|place| reason.starts_with(place)), "{reason}");
        }
    }
    place.is_as(&before);
    for file in &files {
        place.run([OsStr::new("save-all"), file.as_os_str()]).fails(3, "is refused: ");
    }
    assert_eq!(place.run(["status", "--json"]).json()["workflows"], 1);
    assert_eq!(fs::read_dir(place.path().join(".pflow/versions")).unwrap().count(), 1);
}
