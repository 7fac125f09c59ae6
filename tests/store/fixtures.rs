//! Stores of the format, written once and kept in the repository. This program and every later one opens them.
//!
//! `cargo test --workspace --test store fixtures:: -- --ignored` writes them again. Do that only before the
//! first release: afterwards a change of these files is a change of the format.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use pflow_store::{
    ChangeRequest, ErrorKind, Expect, LeaseId, LeaseRequest, SaveRequest, Store,
    backend::{ManualEnvironment, SystemEnvironment},
    format::Operation,
    fs::FsBackend,
};
use pflow_testkit::{copy_files, generations, id, notices};
use tempfile::TempDir;

const AT_REST: &str = "at-rest";
/// Nothing of the last changes is in the files.
const IN_THE_JOURNAL: &str = "in-the-journal";
const LOCKED: &str = "locked";

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/format-1").join(name)
}

async fn at(path: &Path) -> Store {
    // Locks of other handles are waited for by a real clock.
    let backend = FsBackend::create(path, Arc::new(SystemEnvironment::new().unwrap())).await.unwrap();
    Store::on(Arc::new(backend)).environment(Arc::new(ManualEnvironment::new(1))).init().await.unwrap()
}

/// A copy of a fixture, opened.
async fn opened(name: &str) -> (TempDir, Store) {
    let place = tempfile::tempdir().unwrap();
    copy_files(&folder(name), place.path());
    let store = at(place.path()).await;
    (place, store)
}

fn greet(text: &str) -> String {
    format!(r#"{{ "nodes": [ {{ "id": "hello", "type": "echo", "params": {{ "text": "{text}" }} }} ] }}"#)
}

fn save(name: &str, text: &str) -> SaveRequest {
    SaveRequest::new(id(name), greet(text), Expect::Any)
}

/// Where `tail` is in `.journal/state`; 0 at rest.
fn tail(folder: &Path) -> u64 {
    let state = fs::read(folder.join(".journal/state")).unwrap();
    u64::from_le_bytes(state[48..56].try_into().unwrap())
}

#[test]
fn each_fixture_is_what_its_name_says() {
    assert_eq!(tail(&folder(AT_REST)), 0);
    assert!(tail(&folder(IN_THE_JOURNAL)) > 4096);
    assert!(!folder(IN_THE_JOURNAL).join("workflows/greet/metadata.json").exists(), "only in the journal");
    assert!(folder(LOCKED).join("workflows/greet/workflow.lock").exists());
}

#[tokio::test]
async fn stores_that_were_kept_are_opened_read_and_written() {
    for name in [AT_REST, IN_THE_JOURNAL, LOCKED] {
        let (place, store) = opened(name).await;
        assert_eq!(generations(&store).await, ["daily@7", "greet@3"], "{name}");
        for (generation, text) in (1..).zip(["1", "2", "3"]) {
            let loaded = store.load_generation(&id("greet"), generation).await.unwrap();
            assert_eq!(loaded.content, greet(text), "{name}");
        }
        let record = store.load(&id("greet")).await.unwrap().record;
        assert_eq!((record.name.text(), record.message.as_deref()), (Some("Greeting"), Some("third")));
        assert_eq!(
            (record.depth, record.operation, record.author.as_str()),
            (3, Operation::SAVE, "tester@host-1")
        );
        for generation in 1..=7 {
            store.load_generation(&id("daily"), generation).await.unwrap();
        }
        assert_eq!(store.load(&id("gone")).await.unwrap_err().kind(), ErrorKind::NotFound);
        let lock = store.lock_state(&id("greet")).await.unwrap();
        let held = lock.lease.map(|lease| (lease.id.to_string(), lease.fence, lease.operation));
        let expected = ("kept".to_owned(), 1, "edit".to_owned());
        assert_eq!(held, (name == LOCKED).then_some(expected), "{name}");
        assert!(store.verify().await.unwrap().is_sound(), "{name}");

        let next = save("greet", "4").lease(LeaseId::parse("kept").unwrap());
        store.save(if name == LOCKED { next } else { save("greet", "4") }).await.unwrap();
        store.undelete(ChangeRequest::new(id("gone"), Expect::Generation(2))).await.unwrap();
        store.reindex().await.unwrap();
        store.close().await.unwrap();
        drop(store);
        let again = at(place.path()).await;
        assert_eq!(generations(&again).await, ["daily@7", "gone@3", "greet@4"], "{name}");
        assert_eq!(notices(&again.verify().await.unwrap()), [""; 0], "{name}");
    }
}

#[tokio::test]
#[ignore = "writes the files that the other tests read"]
async fn write_the_fixtures() {
    let place = tempfile::tempdir().unwrap();
    let store = at(place.path()).await;
    let first = [save("greet", "1").name("Greeting").tags(["demo"]).message("first"), save("greet", "2")];
    for request in first {
        store.save(request).await.unwrap();
    }
    store.save(save("greet", "3").message("third")).await.unwrap();
    for n in 0..7 {
        store.save(save("daily", &n.to_string())).await.unwrap();
    }
    store.save(save("gone", "1")).await.unwrap();
    store.delete(ChangeRequest::new(id("gone"), Expect::Any)).await.unwrap();
    // A copy while everything is in the journal: the files follow when nothing was committed for a while.
    keep(place.path(), IN_THE_JOURNAL);
    store.reindex().await.unwrap();
    store.close().await.unwrap();
    keep(place.path(), AT_REST);
    let lease = LeaseRequest::new("edit", Duration::from_secs(600)).id(LeaseId::parse("kept").unwrap());
    let store = at(place.path()).await;
    store.acquire(&id("greet"), lease.detached()).await.unwrap();
    store.close().await.unwrap();
    keep(place.path(), LOCKED);
}

fn keep(from: &Path, name: &str) {
    let to = folder(name);
    if to.exists() {
        fs::remove_dir_all(&to).unwrap();
    }
    copy_files(from, &to);
    // What belongs to one machine, and what is left of a moment.
    for left in ["lock", "waiting"] {
        drop(fs::remove_file(to.join(".journal").join(left)));
    }
}
