//! Real workflows on every backend. `PFLOW_TEST_CORPUS` names a folder with `pflow/json`, `pflow/markdown` and
//! others.

use std::{fs, path::PathBuf};

use bytes::Bytes;
use pflow_store::{
    Error, Expect, SaveRequest,
    document::{ContentHash, DocumentError},
};
use pflow_testkit::{Site, every_backend, id, listed, notices};

every_backend!(real_workflows_are_loaded_byte_for_byte, invalid_workflows_leave_nothing);

fn corpus(folder: &str) -> Vec<(String, Bytes)> {
    let Some(root) = std::env::var_os("PFLOW_TEST_CORPUS") else {
        println!("skipped: PFLOW_TEST_CORPUS is not set");
        return Vec::new();
    };
    let path = PathBuf::from(root).join("pflow").join(folder);
    let read = |entry: fs::DirEntry| {
        let name = entry.file_name().to_string_lossy().to_lowercase();
        let stem = name.split('.').next().unwrap();
        (format!("{folder}.{stem}"), Bytes::from(fs::read(entry.path()).unwrap()))
    };
    let mut files: Vec<_> = fs::read_dir(path).unwrap().map(|entry| read(entry.unwrap())).collect();
    assert!(!files.is_empty());
    files.sort();
    files
}

async fn real_workflows_are_loaded_byte_for_byte(site: Site) {
    let store = site.store().await;
    let folders = ["json", "library", "markdown", "markdown-2026-02", "markdown-strict-invalid"];
    let mut files: Vec<_> = folders.into_iter().flat_map(corpus).collect();
    // The only file there that is no JSON.
    files.retain(|(name, _)| name != "library.invalid-bad-json");
    files.sort();
    for (name, bytes) in &files {
        let saved = store.save(SaveRequest::new(id(name), bytes.clone(), Expect::Absent)).await.unwrap();
        assert_eq!(saved.hash, Some(ContentHash::of(bytes)));
        assert!(!saved.record.nodes.is_empty(), "{name}");
    }
    let other = site.other_store(2).await;
    for (name, bytes) in &files {
        assert_eq!(other.load(&id(name)).await.unwrap().content, bytes, "{name}");
        let copy = if name.starts_with("markdown") { "workflow.pflow.md" } else { "workflow.json" };
        assert_eq!(site.get(&format!("workflows/{name}/{copy}")).await.unwrap(), bytes, "{name}");
    }
    assert_eq!(listed(&other).await, files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>());
    assert_eq!(notices(&other.verify().await.unwrap()), [""; 0]);
}

async fn invalid_workflows_leave_nothing(site: Site) {
    let store = site.store().await;
    let before = site.dump().await;
    for (name, bytes) in ["json-invalid", "markdown-invalid"].into_iter().flat_map(corpus) {
        let is_markdown = name.starts_with("markdown");
        let refused = store.save(SaveRequest::new(id(&name), bytes, Expect::Absent)).await.unwrap_err();
        let Error::Document { source: DocumentError::Invalid { defects, .. }, .. } = refused else {
            panic!("{name}: {refused}");
        };
        assert!(defects.iter().all(|defect| !defect.place.is_empty()), "{name}");
        assert!(
            !is_markdown || defects.iter().all(|it| it.place.starts_with("line ")),
            "{name}: {defects:?}"
        );
    }
    assert_eq!(site.dump().await, before);
}
