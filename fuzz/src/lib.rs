//! The functions of the fuzz targets. Each uses the public API of the library, and panics on a wrong answer.
//! `tests/histories/fuzz.rs` of the library runs the same functions as property tests.
//!
//! Invariants: no panic, no hang, memory in proportion to the input, errors of the documented kinds, and
//! never a value that was not stored.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    reason = "a target reports by a panic"
)]

use std::{fs, path::Path, sync::Arc, sync::OnceLock};

use bytes::Bytes;
use futures::TryStreamExt;
use pflow_backend::{
    Batch, Commit, Environment, Key, ManualEnvironment, Operation, StorageBackend, SystemEnvironment,
};
use pflow_backend_memory::MemoryBackend;
use pflow_store::{
    Error, ErrorKind, Expect, LeaseRequest, Location, Query, SaveRequest, Store, WorkflowId,
    document::{ContentHash, DocumentFormat, DocumentReader, Limits, MAX_DEFECTS, markdown},
    merge::{Merge, changes, merge},
};

/// The workflow of the known store.
const ID: &str = "a";
/// The contents of the workflow by generation.
const CONTENTS: [&str; 3] = [
    r#"{ "nodes": [ { "id": "n", "type": "echo", "params": { "text": "1" } } ] }"#,
    r#"{ "nodes": [ { "id": "n", "type": "echo", "params": { "text": "2" } } ] }"#,
    r#"{ "nodes": [ { "id": "n", "type": "echo", "params": { "text": "3" } } ] }"#,
];
pub const HEAD: &str = "workflows/a/metadata.json";
pub const LOCKFILE: &str = "workflows/a/workflow.lock";
pub const CONFIG: &str = "config.json";
const VERSION: &str = "versions/a/000000000002-";

/// Returns the objects of the known store.
pub fn known_objects() -> &'static [(String, Bytes)] {
    static OBJECTS: OnceLock<Vec<(String, Bytes)>> = OnceLock::new();
    OBJECTS.get_or_init(|| {
        runtime().block_on(async {
            let environment = Arc::new(ManualEnvironment::new(1));
            let backend = Arc::new(MemoryBackend::new(environment.clone()));
            let store = Store::on(backend.clone()).environment(environment).init().await.unwrap();
            fill(&store).await;
            store.reindex().await.unwrap();
            store.close().await.unwrap();
            let mut objects = Vec::new();
            for name in known_names(&store).await {
                let object = backend.get(&key(&name)).await.unwrap().unwrap();
                objects.push((name, object.bytes));
            }
            objects
        })
    })
}

/// Returns the key of the version that [`version`] replaces.
pub fn version_key() -> &'static str {
    let found = known_objects().iter().find(|(name, _)| name.starts_with(VERSION));
    &found.expect("the second generation").0
}

async fn fill(store: &Store) {
    for content in CONTENTS {
        let request = SaveRequest::new(id(), content, Expect::Any).name("name").tags(["etl"]);
        store.save(request).await.unwrap();
    }
    let lease = LeaseRequest::new("t", std::time::Duration::from_secs(60));
    store.acquire(&id(), lease).await.unwrap();
}

async fn known_names(store: &Store) -> Vec<String> {
    let listing = store.backend().list(&pflow_backend::Prefix::root(), None);
    listing.map_ok(|listed| listed.key.to_string()).try_collect().await.unwrap()
}

fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
    })
}

fn id() -> WorkflowId {
    WorkflowId::parse(ID).unwrap()
}

fn key(name: &str) -> Key {
    Key::parse(name).unwrap()
}

/// A document is kept byte for byte, or refused with a message for people.
pub fn document(data: &[u8]) {
    let limits = Limits::default();
    // Markdown has a target of its own.
    let reader = DocumentReader::new().format(DocumentFormat::Json);
    match reader.read(data.to_vec()) {
        Ok(document) => {
            assert_eq!(document.bytes(), data);
            assert_eq!(document.hash(), ContentHash::of(data));
            let mut spaced = b" \n".to_vec();
            spaced.extend_from_slice(data);
            spaced.push(b'\t');
            let spaced = reader.read(spaced).expect("white space around a document");
            assert_eq!(spaced.metadata(), document.metadata());
            if let Ok(changes) = changes(&document, &spaced) {
                assert!(changes.is_empty(), "{changes:?}");
            }
            match merge(Some(&document), &document, &spaced, &limits) {
                Merge::Clean(merged) => assert_eq!(merged.bytes(), spaced.bytes()),
                other => panic!("{other:?}"),
            }
            match merge(None, &spaced, &document, &limits) {
                Merge::Clean(_) | Merge::TooMuch(_) => {}
                other => panic!("{other:?}"),
            }
        }
        Err(refusal) => {
            let message = refusal.to_string();
            assert!(!message.is_empty() && message.len() < 2000, "{message}");
            assert!(!message.chars().any(char::is_control), "{message:?}");
        }
    }
}

/// A markdown workflow is taken, and then its outline has every byte in order, or refused with a message for
/// people; in both cases always in the same way.
pub fn markdown(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match (markdown::parse(&text), markdown::parse(&text)) {
        (Ok(workflow), Ok(again)) => {
            // Not the workflows themselves: a number that is none equals nothing.
            assert_eq!(workflow.to_ir(), again.to_ir());
            assert_eq!(workflow.outline, again.outline);
            let tiles: String =
                workflow.outline.leaves().into_iter().map(|leaf| text.get(leaf).unwrap()).collect();
            assert_eq!(tiles, text);
            assert!(!workflow.to_ir()["nodes"].as_array().unwrap().is_empty());
        }
        (Err(refusal), Err(again)) => {
            assert_eq!(refusal, again);
            assert!((1..=MAX_DEFECTS).contains(&refusal.defects.len()));
            let message = refusal.to_string();
            assert!(!message.is_empty() && message.len() < 2000, "{message}");
            assert!(!message.chars().any(char::is_control), "{message:?}");
        }
        (one, other) => panic!("{one:?} {other:?}"),
    }
}

/// Replaces the head.
pub fn head(data: &[u8]) {
    object(HEAD, data, &[ErrorKind::Corrupt, ErrorKind::Incompatible]);
}

/// Replaces a version. One that is cut off after its line counts as pruned.
pub fn version(data: &[u8]) {
    object(version_key(), data, &[ErrorKind::Corrupt, ErrorKind::Incompatible, ErrorKind::NotFound]);
}

/// Replaces a mirror of a lease. No decision depends on it, so no operation fails because of it.
pub fn lockfile(data: &[u8]) {
    object(LOCKFILE, data, &[]);
}

/// Replaces the config. A config of another program is a failure, since the location is not ours then.
pub fn config(data: &[u8]) {
    object(CONFIG, data, &[ErrorKind::Corrupt, ErrorKind::Incompatible, ErrorKind::Failed]);
}

fn object(name: &str, data: &[u8], kinds: &[ErrorKind]) {
    // Computed here, because it blocks on the runtime itself.
    let known = known_objects();
    runtime().block_on(async {
        let environment = Arc::new(ManualEnvironment::new(2));
        let backend = MemoryBackend::new(environment.clone());
        let puts = known.iter().map(|(known, bytes)| {
            let bytes = if known == name { Bytes::copy_from_slice(data) } else { bytes.clone() };
            Operation::put(key(known), bytes)
        });
        let mut batch: Vec<Operation> = puts.collect();
        if !known.iter().any(|(known, _)| known == name) {
            batch.push(Operation::put(key(name), data.to_vec()));
        }
        assert!(matches!(backend.commit(Batch::new().stage(batch)).await, Ok(Commit::Committed(_))));
        let store = Store::on(Arc::new(backend)).environment(environment).open().await;
        read_everything(store, kinds, &CONTENTS).await;
    });
}

/// Reads the store in every way. Answers must be values that were stored, and refusals must be of `kinds`.
/// The content of the workflow must be one of `contents`.
async fn read_everything(store: Result<Store, Error>, kinds: &[ErrorKind], contents: &[&str]) {
    let refused = |error: &Error| {
        assert!(kinds.contains(&error.kind()), "{:?}: {error:?}", error.kind());
        assert!(!error.to_string().is_empty());
    };
    let store = match store {
        Ok(store) => store,
        Err(error) => return refused(&error),
    };
    let is_expected = |content: &Bytes| contents.iter().any(|known| *known == content);
    match store.load(&id()).await {
        Ok(loaded) => assert!(is_expected(&loaded.content), "{loaded:?}"),
        Err(error) => refused(&error),
    }
    for (generation, content) in (1..).zip(CONTENTS) {
        match store.load_generation(&id(), generation).await {
            Ok(loaded) => assert_eq!(loaded.content, content),
            Err(error) => refused(&error),
        }
    }
    match store.list(Query::new()).try_collect::<Vec<_>>().await {
        Ok(list) => {
            let ids: Vec<&str> = list.iter().map(|entry| entry.id.as_str()).collect();
            assert!(ids.iter().all(|id| *id == ID), "{ids:?}");
            assert!(list.iter().all(|entry| (1..=3).contains(&entry.generation)), "{list:?}");
        }
        Err(error) => refused(&error),
    }
    if let Err(error) = store.verify().await {
        refused(&error);
    }
    match store.inspect_lock(&id()).await {
        Ok(lock) => assert!(lock.state.lease.is_none_or(|lease| lease.fence == 1 && lease.operation == "t")),
        Err(error) => refused(&error),
    }
}

/// Replaces the file `.journal/journal` of a folder with a store. The state covers the records, so an answer
/// older than the last of them is wrong.
pub fn journal(data: &[u8]) {
    folder("journal", data, &CONTENTS[2..]);
}

/// Replaces the file `.journal/state` of a folder with a store. A valid state may say that the journal has
/// ended; then the files count, which may be older.
pub fn state(data: &[u8]) {
    folder("state", data, &CONTENTS);
}

/// Replaces a file of the disk backend's own folder, in a store that was killed with work in its journal. The
/// disk may report its own damage with any of several kinds of errors, but a value that was not stored is
/// always wrong.
fn folder(name: &str, data: &[u8], contents: &[&str]) {
    let place = tempfile::tempdir().unwrap();
    copy(known_folder(), place.path());
    fs::write(place.path().join(".journal").join(name), data).unwrap();
    runtime().block_on(async {
        let environment: Arc<dyn Environment> = Arc::new(SystemEnvironment::new().unwrap());
        let location = Location::Folder(place.path().to_owned());
        let store = Store::builder(&location).environment(environment).open().await;
        let opened = store.as_ref().ok().cloned();
        let kinds = [
            ErrorKind::Corrupt,
            ErrorKind::Incompatible,
            ErrorKind::Failed,
            ErrorKind::NotFound,
            ErrorKind::Conflict,
            ErrorKind::Unsafe,
        ];
        read_everything(store, &kinds, contents).await;
        if let Some(store) = opened {
            // Damage may make the close fail.
            drop(store.close().await);
        }
    });
}

/// Returns a folder with the known store, whose last changes are only in its journal.
pub fn known_folder() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            let (live, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            runtime().block_on(async {
                let environment: Arc<dyn Environment> = Arc::new(SystemEnvironment::new().unwrap());
                let location = Location::Folder(live.path().to_owned());
                let store = Store::builder(&location).environment(environment).init().await.unwrap();
                fill(&store).await;
                // Copied before the files are written back, like after a kill.
                copy(live.path(), kept.path());
                // Otherwise it counts as a copy, whose damage is no error: it is read as far as it can be.
                fs::remove_file(kept.path().join(".journal/instance")).unwrap();
                store.close().await.unwrap();
            });
            kept
        })
        .path()
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => {
                fs::create_dir_all(&target).unwrap();
                copy(&entry.path(), &target);
            }
            // A file may be renamed away by the write-back in the meantime; the journal has its content.
            _ => drop(fs::copy(entry.path(), &target)),
        }
    }
}
