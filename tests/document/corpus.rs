//! Real workflows. `PFLOW_TEST_CORPUS` names a folder with
//! `pflow/{json,json-invalid,json-strict-invalid,library}`.

use std::fs;
use std::path::PathBuf;

use bytes::Bytes;
use pflow_store::document::{ContentHash, Document, DocumentError, DocumentFormat, DocumentReader};

/// The files of `pflow/<folder>` by name, or nothing if there is no corpus.
fn corpus(folder: &str) -> Option<Vec<(String, Bytes)>> {
    let Some(root) = std::env::var_os("PFLOW_TEST_CORPUS") else {
        println!("skipped: PFLOW_TEST_CORPUS is not set");
        return None;
    };
    let folder = PathBuf::from(root).join("pflow").join(folder);
    let files: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap().into()))
        .collect();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    Some(files)
}

fn parse(bytes: &Bytes, format: DocumentFormat) -> Result<Document, DocumentError> {
    DocumentReader::new().format(format).read(bytes.clone())
}

#[test]
fn current_workflows_are_accepted_and_hashed_as_they_are() {
    for (name, bytes) in corpus("json").into_iter().flatten() {
        for format in [DocumentFormat::Json, DocumentFormat::Ir] {
            let document = parse(&bytes, format).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(document.bytes(), &bytes, "{name}");
            assert_eq!(document.hash(), ContentHash::of(&bytes), "{name}");
            assert!(!document.metadata().nodes.is_empty(), "{name}");
        }
    }
}

#[test]
fn invalid_workflows_are_refused_with_a_place() {
    for (name, bytes) in corpus("json-invalid").into_iter().flatten() {
        let error = parse(&bytes, DocumentFormat::Json).expect_err(&name);
        println!("{name}: {error}");
        let DocumentError::Invalid { defects, .. } = error else { panic!("{name}: {error:?}") };
        for defect in defects {
            assert!(
                ["nodes", "edges", "ir_version"].iter().any(|key| defect.place.starts_with(key)),
                "{defect}"
            );
        }
    }
}

#[test]
fn incomplete_ir_is_refused_only_when_complete_ir_is_asked_for() {
    for (name, bytes) in corpus("json-strict-invalid").into_iter().flatten() {
        parse(&bytes, DocumentFormat::Json).unwrap_or_else(|error| panic!("{name}: {error}"));
        let error = parse(&bytes, DocumentFormat::Ir).expect_err(&name);
        assert!(matches!(error, DocumentError::Invalid { .. }), "{name}: {error:?}");
    }
}

#[test]
fn a_library_of_saved_workflows_is_read_as_it_is() {
    for (name, bytes) in corpus("library").into_iter().flatten() {
        let read = parse(&bytes, DocumentFormat::Json);
        match name.as_str() {
            "invalid-bad-json.json" => {
                let error = read.expect_err(&name);
                assert!(matches!(error, DocumentError::Syntax { line: 5, column: 26, .. }), "{error:?}");
            }
            "invalid-missing-name.json" => assert_eq!(read.unwrap().metadata().name, None),
            _ => {
                let document = read.unwrap_or_else(|error| panic!("{name}: {error}"));
                let metadata = document.metadata();
                assert_eq!(metadata.name.as_deref(), name.strip_suffix(".json"));
                let tagged = String::from_utf8_lossy(&bytes).contains("\"tags\"");
                assert_eq!(!metadata.tags.is_empty(), tagged, "{name}: {metadata:?}");
            }
        }
    }
}
