//! Stores by path or URL, and the folder layout that the seed requires.

use std::{fs, path::Path, sync::Arc, time::Duration};

use pflow_store::{Error, Expect, LeaseRequest, Store, StoreBuilder, backend::ManualEnvironment};
use pflow_testkit::{id, listed, plan, save};
use tempfile::TempDir;

fn at(location: &str) -> StoreBuilder {
    Store::builder(location).environment(Arc::new(ManualEnvironment::new(1)))
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != ".journal")
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn folder_gets_the_layout_of_the_seed() {
    let place = TempDir::new().unwrap();
    let folder = place.path().join("on the way/.pflow");
    let path = folder.to_str().unwrap();
    assert!(matches!(at(path).open().await, Err(Error::StoreMissing { .. })));
    assert_eq!(names(place.path()), [""; 0], "looking makes nothing");

    let store = at(path).init().await.unwrap();
    store.close().await.unwrap();
    assert_eq!(names(&folder), [".gitattributes", ".gitignore", "config.json", "ops"]);
    assert!(fs::read_to_string(folder.join(".gitignore")).unwrap().contains("workflow.lock"));
    let request =
        save("workflow-id-1", "1", Expect::Absent).hold(LeaseRequest::new("t", Duration::from_millis(1)));
    store.save(request).await.unwrap();
    store.reindex().await.unwrap();
    store.save(save("workflow-id-2", "1", Expect::Absent)).await.unwrap();
    store.reindex().await.unwrap();
    store.close().await.unwrap();
    let seed = [
        ".gitattributes",
        ".gitignore",
        "config.json",
        "index.bak",
        "index.json",
        "ops",
        "versions",
        "workflows",
    ];
    assert_eq!(names(&folder), seed);
    let workflow = folder.join("workflows/workflow-id-1");
    assert_eq!(names(&workflow), ["metadata.json", "workflow.json", "workflow.lock"]);
    assert_eq!(fs::read_to_string(workflow.join("workflow.json")).unwrap(), plan("1"));

    let url = format!("file://{}", path.replace(' ', "%20"));
    let again = at(&url).open().await.unwrap();
    assert_eq!(again.config(), store.config());
    assert_eq!(again.load(&id("workflow-id-1")).await.unwrap().content, plan("1"));
    assert_eq!(listed(&at(path).init().await.unwrap()).await.len(), 2);
}

/// A process that is killed in its first checkpoint may have written some files, and its config only to the
/// journal.
#[tokio::test]
async fn store_without_a_checkpoint_is_opened() {
    let place = TempDir::new().unwrap();
    let [first, copy] = ["first", "copy"].map(|name| place.path().join(name));
    let store = at(first.to_str().unwrap()).init().await.unwrap();
    assert_eq!(names(&first), [""; 0], "everything is in the journal");
    fs::create_dir_all(copy.join(".journal")).unwrap();
    for entry in fs::read_dir(first.join(".journal")).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), copy.join(".journal").join(entry.file_name())).unwrap();
        }
    }
    fs::write(copy.join(".gitattributes"), "* -text\n").unwrap();
    let again = at(copy.to_str().unwrap()).init().await.unwrap();
    assert_eq!(again.config(), store.config());
}

#[tokio::test]
async fn folder_of_another_program_is_not_changed() {
    let place = TempDir::new().unwrap();
    let path = place.path().to_str().unwrap();
    assert!(matches!(at(path).open().await, Err(Error::StoreMissing { .. })), "an empty one");
    for (name, text) in [("settings.json", "{}"), ("config.json", r#"{ "version": "1.0" }"#)] {
        fs::write(place.path().join(name), text).unwrap();
        let before = names(place.path());
        for refused in [at(path).init().await, at(path).open().await] {
            assert!(matches!(refused, Err(Error::Foreign { .. })), "{name}");
        }
        assert_eq!(names(place.path()), before);
        assert!(!place.path().join(".journal").exists(), "not even a lock is made");
        assert_eq!(fs::read_to_string(place.path().join(name)).unwrap(), text);
    }
}

#[tokio::test]
async fn memory_store_starts_empty_each_time() {
    assert!(matches!(at("memory:").open().await, Err(Error::StoreMissing { .. })));
    let store = at("memory:").init().await.unwrap();
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    assert_eq!(listed(&at("memory:").init().await.unwrap()).await, [""; 0]);
    assert!(matches!(at("ftp://host").open().await, Err(Error::InvalidLocation { .. })));
}

#[tokio::test]
async fn folder_with_other_files_is_foreign() {
    for kind in ["file with a space", "link", "folder"] {
        let place = TempDir::new().unwrap();
        let folder = place.path().join(".pflow");
        fs::create_dir(&folder).unwrap();
        match kind {
            "link" => std::os::unix::fs::symlink(place.path(), folder.join("workflows")).unwrap(),
            "folder" => fs::create_dir(folder.join("debug")).unwrap(),
            _ => fs::write(folder.join("my flow.pflow.md"), "# Mine").unwrap(),
        }
        let before = names(&folder);
        let refused = at(folder.to_str().unwrap()).init().await.unwrap_err();
        assert!(matches!(refused, Error::Foreign { .. }), "{kind}: {refused}");
        assert_eq!(names(&folder), before, "{kind}");
    }
    // The disk backend's own files do not make it foreign: a first `init` may have died.
    let place = TempDir::new().unwrap();
    let folder = place.path().join(".pflow");
    fs::create_dir_all(folder.join(".journal/staging")).unwrap();
    at(folder.to_str().unwrap()).init().await.unwrap();
}
